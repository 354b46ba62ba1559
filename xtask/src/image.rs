//! `cargo xtask image`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use plimsoll_e2e::binaries::checkout;
use plimsoll_images::{Program, Workspace, sha256};
use tokio::process::Command;

/// Write container images of the operator, the agent and the demo trainer, without a container engine
///
/// Each becomes an archive of the OCI image layout in target/images, with a list of what went into it beside it. The same
/// programs give the same bytes: the digest says whether two images are one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to write: operator, agent, trainer [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<Program>,
    /// Cargo profile of the programs; `demo` is built in less time
    #[arg(long, default_value = "release")]
    profile: String,
    /// What stands before an image's name
    #[arg(long, value_name = "TEXT", default_value = "localhost")]
    registry: String,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let workspace = Workspace::read(&checkout())?;
        let folder = workspace.target().join("images");
        std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        let programs = if self.names.is_empty() { &Program::ALL[..] } else { &self.names };
        for program in programs {
            let started = Instant::now();
            let path = self.build(&workspace, *program).await?;
            self.write(&workspace, *program, &path, &folder)?;
            println!("  written after {:.1?}", started.elapsed());
        }
        Ok(())
    }

    /// Builds a program by itself: beside another it would get that one's features as well.
    async fn build(&self, workspace: &Workspace, program: Program) -> anyhow::Result<PathBuf> {
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
        Ok(workspace.target().join(folder).join(package))
    }

    fn write(&self, workspace: &Workspace, program: Program, path: &Path, folder: &Path) -> anyhow::Result<()> {
        let (package, version) = (program.package(), workspace.version(program)?);
        let name = format!("{}/{package}:{version}", self.registry.trim_end_matches('/'));
        let recipe = workspace.recipe(program, &name, path);
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
