//! The programs under test, built as a user would run them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// Paths of the programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `plimsoll-operator`.
    pub operator: PathBuf,
    /// `plimsoll-agent`.
    pub agent: PathBuf,
    /// `plimsoll-fleet`.
    pub fleet: PathBuf,
    /// The library that stands in for the driver.
    pub nvml_mock: PathBuf,
    /// `plimsoll-demo-trainer`.
    pub trainer: PathBuf,
}

/// The checkout that this crate was built from.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

impl Binaries {
    /// Builds them with the `demo` profile: optimized like a release, so that resident memory means something, but quicker to
    /// build.
    ///
    /// # Errors
    /// When cargo fails; its output goes to the terminal.
    pub async fn build(progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Self> {
        let started = Instant::now();
        progress("building operator, agent, demo trainer, fleet and the NVML library");
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--profile", "demo"])
            .args(["-p", "plimsoll-operator", "-p", "plimsoll-agent", "-p", "plimsoll-test-fleet", "-p", "nvml-mock"])
            .args(["-p", "plimsoll-demo-trainer"])
            .current_dir(checkout())
            .status()
            .await
            .context("failed to run cargo")?;
        if !status.success() {
            bail!("failed to build the programs: cargo ended with {status}");
        }
        progress(&format!("built in {:.0} s", started.elapsed().as_secs_f64()));
        let folder = target_folder()?.join("demo");
        Ok(Self {
            operator: folder.join("plimsoll-operator"),
            agent: folder.join("plimsoll-agent"),
            fleet: folder.join("plimsoll-fleet"),
            nvml_mock: folder.join("libnvidia_ml_mock.so"),
            trainer: folder.join("plimsoll-demo-trainer"),
        })
    }
}

/// Where cargo builds to: the folder that this very program was built in.
fn target_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("failed to find this program")?;
    let target = program.ancestors().find(|p| p.join("CACHEDIR.TAG").exists());
    target.map(Path::to_owned).context("failed to find cargo's target folder above this program")
}
