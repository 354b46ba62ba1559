//! `cargo xtask image`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use cargo_metadata::{Metadata, MetadataCommand};
use clap::ValueEnum;
use plimsoll_e2e::binaries::checkout;
use plimsoll_images::{Recipe, sha256};
use tokio::process::Command;

/// Write container images of the operator, the agent and the demo trainer, without a container engine
///
/// Each becomes an archive of the OCI image layout in target/images, with a list of what went into it beside it. The same
/// programs give the same bytes: the digest says whether two images are one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to write [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<Program>,
    /// Cargo profile of the programs; `demo` is built in less time
    #[arg(long, default_value = "release")]
    profile: String,
    /// What stands before an image's name
    #[arg(long, value_name = "TEXT", default_value = "localhost")]
    registry: String,
}

/// A program that has an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    Operator,
    Agent,
    Trainer,
}

impl Program {
    fn package(self) -> &'static str {
        match self {
            Self::Operator => "plimsoll-operator",
            Self::Agent => "plimsoll-agent",
            Self::Trainer => "plimsoll-demo-trainer",
        }
    }

    fn libraries(self) -> &'static [&'static str] {
        match self {
            // The driver's library comes from the node and was linked against these, which are empty by now.
            Self::Agent => &["libdl.so.2", "libpthread.so.0", "librt.so.1"],
            Self::Operator | Self::Trainer => &[],
        }
    }
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let metadata = metadata()?;
        let revision = revision().await?;
        let folder = metadata.target_directory.join("images").into_std_path_buf();
        std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        let programs = if self.names.is_empty() { Program::value_variants() } else { &self.names };
        for program in programs {
            let started = Instant::now();
            let path = self.build(&metadata, *program).await?;
            self.write(&metadata, *program, &path, &revision, &folder)?;
            println!("  written after {:.1?}", started.elapsed());
        }
        Ok(())
    }

    /// Builds a program by itself: beside another it would get that one's features as well.
    async fn build(&self, metadata: &Metadata, program: Program) -> anyhow::Result<PathBuf> {
        let package = program.package();
        let flags = serde_json::json!(remapped());
        let status = Command::new(option_env!("CARGO").unwrap_or("cargo"))
            .args(["build", "--quiet", "--locked", "--profile", &self.profile, "--package", package, "--bin", package])
            .arg(format!("--config=build.rustflags={flags}"))
            .current_dir(checkout())
            .status()
            .await
            .context("failed to run cargo")?;
        ensure!(status.success(), "failed to build {package}: cargo ended with {status}");
        let folder = if self.profile == "dev" { "debug" } else { &self.profile };
        Ok(metadata.target_directory.join(folder).join(package).into_std_path_buf())
    }

    fn write(
        &self,
        metadata: &Metadata,
        program: Program,
        path: &Path,
        revision: &str,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let (package, libraries) = (program.package(), program.libraries());
        let found = metadata.workspace_packages().into_iter().find(|one| one.name.as_str() == package);
        let version = &found.with_context(|| format!("failed to find the package {package}"))?.version;
        let name = format!("{}/{package}:{version}", self.registry.trim_end_matches('/'));
        let recipe = Recipe { name: &name, package, program: path, libraries, metadata, revision };
        let built = recipe.build().with_context(|| format!("failed to make the image {name}"))?;
        println!("{name}\n  digest  {}", built.digest);
        for (ending, content) in [
            ("oci.tar", built.image.as_slice()),
            ("sbom.oci.tar", &built.sbom_artifact),
            ("cdx.json", built.sbom.as_bytes()),
        ] {
            let file = folder.join(format!("{package}-{version}.{ending}"));
            std::fs::write(&file, content).with_context(|| format!("failed to write {}", file.display()))?;
            let shown = file.strip_prefix(checkout()).unwrap_or(&file);
            println!("  sha256  {}  {}", sha256(content), shown.display());
        }
        Ok(())
    }
}

/// Flags that take this machine's folders out of the programs, whose messages name source files.
fn remapped() -> Vec<String> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let folders = [(Some(checkout()), "/plimsoll"), (cargo, "/cargo")];
    let flag = |(from, to): (Option<PathBuf>, &str)| Some(format!("--remap-path-prefix={}={to}", from?.display()));
    folders.into_iter().filter_map(flag).collect()
}

/// What cargo knows of the workspace, for the platform that the programs are built for.
fn metadata() -> anyhow::Result<Metadata> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let options = ["--locked", "--filter-platform", &platform].map(str::to_owned);
    let mut command = MetadataCommand::new();
    command.current_dir(checkout()).other_options(options);
    command.exec().context("failed to read the workspace's metadata")
}

/// The commit of the checkout, marked when tracked files differ from it; `unknown` for sources without their history.
async fn revision() -> anyhow::Result<String> {
    let git = async |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(checkout()).output().await;
        let output = output.context("failed to run git")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        anyhow::Ok(output.status.success().then_some(text))
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]).await? else { return Ok("unknown".to_owned()) };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]).await?;
    Ok(if changes.is_some_and(|changes| changes.is_empty()) { commit } else { format!("{commit}-changed") })
}
