//! Runs `go build` for one module: once, by one process at a time, all or nothing.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::module::{GoModule, Target};
use crate::Progress;

/// Why a module was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Go is not on the PATH.
    #[error("failed to find Go: the test cluster is built from source, so install Go 1.26 or newer and put it on PATH")]
    NoGo,
    /// `go` ran and failed.
    #[error("failed to run go {command}: {tail}")]
    Go {
        /// The subcommand.
        command: &'static str,
        /// Its last lines.
        tail: String,
    },
    /// The cache folder is not writable, or full.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The lock file cannot be locked.
    #[error("failed to lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Folder beside `bin/` for kwok's node stages.
pub(super) const STAGES: &str = "stages";
const NODE_STAGES: [&str; 2] = ["fast/node-initialize.yaml", "heartbeat-with-lease/node-heartbeat-with-lease.yaml"];
const POLL: Duration = Duration::from_millis(200);

/// Returns the module's folder in the cache, building it when it is not there.
pub(super) async fn ensure(module: &GoModule, cache: &Path, progress: Progress<'_>) -> Result<PathBuf, BuildError> {
    let folder = cache.join(&module.key);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(cache).map_err(write_error(cache))?;
    let _lock = lock(&cache.join(format!("{}.lock", module.recipe.folder)), module, progress).await?;
    if folder.is_dir() {
        return Ok(folder); // built by another process while this one waited
    }
    let (name, version) = (module.recipe.folder, &module.version);
    progress(&format!("building {name} {version} from source ({}, once)", module.recipe.first_build));
    let started = Instant::now();
    let prefix = format!(".draft-{name}-");
    remove_drafts(cache, &prefix);
    let draft = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache).map_err(write_error(cache))?;
    build_binaries(module, draft.path()).await?;
    if module.recipe.stages {
        copy_stages(module, draft.path()).await?;
    }
    // One rename makes it all appear: whoever sees the folder sees it complete.
    let draft = draft.keep();
    std::fs::rename(&draft, &folder).map_err(write_error(&folder))?;
    progress(&format!("built {name} {version} in {:.0?}", started.elapsed()));
    Ok(folder)
}

/// Holds the module's lock until dropped.
async fn lock(path: &Path, module: &GoModule, progress: Progress<'_>) -> Result<File, BuildError> {
    let error = |source| BuildError::Lock { path: path.to_owned(), source };
    let file = File::create(path).map_err(error)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(error(source)),
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    progress(&format!("waiting for another process that builds {}", module.recipe.folder));
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

/// What a killed build left behind; the lock is held, so no build is using it.
fn remove_drafts(cache: &Path, prefix: &str) {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        // A leftover that stays costs space only.
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

async fn build_binaries(module: &GoModule, draft: &Path) -> Result<(), BuildError> {
    let bin = draft.join("bin");
    std::fs::create_dir(&bin).map_err(write_error(&bin))?;
    let mut output = bin.as_os_str().to_owned();
    output.push("/"); // a folder, even when there is one binary only
    let mut go = go(module);
    let target = match module.recipe.target {
        Target::Tools => "tool",
        Target::Main => ".",
    };
    go.args(["build", "-trimpath", "-ldflags", &module.ldflags, "-o"]).arg(output).arg(target);
    run("build", go, draft).await?;
    for (theirs, ours) in module.recipe.binaries {
        std::fs::rename(bin.join(theirs), bin.join(ours)).map_err(write_error(&bin.join(ours)))?;
    }
    Ok(())
}

async fn copy_stages(module: &GoModule, draft: &Path) -> Result<(), BuildError> {
    let mut go = go(module);
    go.args(["list", "-m", "-f", "{{.Dir}}", module.recipe.package]);
    let source = run("list", go, draft).await?;
    let source = Path::new(source.trim()).join("kustomize/stage/node");
    let target = draft.join(STAGES);
    std::fs::create_dir(&target).map_err(write_error(&target))?;
    for stage in NODE_STAGES.map(Path::new) {
        let target = target.join(stage.file_name().unwrap_or_default());
        // By content: files of the module cache are read-only, and a copy would be as well.
        let text = std::fs::read(source.join(stage)).map_err(write_error(&source.join(stage)))?;
        std::fs::write(&target, text).map_err(write_error(&target))?;
    }
    Ok(())
}

/// `go` in the module's folder. No C compiler is needed, and a workspace file around the checkout does not matter.
fn go(module: &GoModule) -> Command {
    let mut go = Command::new("go");
    go.current_dir(&module.path).env("CGO_ENABLED", "0").env("GOWORK", "off");
    go
}

/// Runs it to its end and returns what it printed. Its own process group lets it be ended with its compilers.
async fn run(command: &'static str, mut go: Command, draft: &Path) -> Result<String, BuildError> {
    let file = |name: &str| {
        let path = draft.join(name);
        File::create(&path).map_err(write_error(&path)).map(|file| (path, file))
    };
    let ((out_path, out), (err_path, err)) = (file("stdout")?, file("stderr")?);
    let spawned = go.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn();
    let mut child = Running(spawned.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => BuildError::NoGo,
        _ => BuildError::Go { command, tail: source.to_string() },
    })?);
    let status = child.finished().await.map_err(|error| BuildError::Go { command, tail: error.to_string() })?;
    let (printed, complaints) = (read_lossy(&out_path), read_lossy(&err_path));
    for path in [out_path, err_path] {
        std::fs::remove_file(&path).map_err(write_error(&path))?;
    }
    if status.success() {
        return Ok(printed);
    }
    let mut tail: Vec<&str> = complaints.lines().rev().take(8).collect();
    tail.reverse();
    Err(BuildError::Go { command, tail: tail.join("\n") })
}

/// A child that dies with this value.
struct Running(Child);

impl Running {
    async fn finished(&mut self) -> io::Result<ExitStatus> {
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(status),
                None => tokio::time::sleep(POLL).await,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let group = Pid::from_raw(self.0.id().cast_signed());
            // Nothing is left to do about a group that cannot be signalled: it has ended.
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

fn read_lossy(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    |source| BuildError::Write { path, source }
}
