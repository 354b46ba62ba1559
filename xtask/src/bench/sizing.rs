//! `cargo xtask bench sizing`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use plimsoll_calibration::{Published, evaluate, report};

/// Compare what sizing predicts with published measurements
///
/// Reads every CSV file of a folder by the columns it has and prints, for each table and question, how far predictions
/// are from what was published, and which bars hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of tables; those of the repository unless given
    #[arg(long)]
    tables: Option<PathBuf>,
    /// Print every row's prediction beside its observation
    #[arg(long)]
    residuals: bool,
    /// Measure instead how fast sizing itself is, in CPU time of one core
    #[arg(long, conflicts_with_all = ["tables", "residuals"])]
    speed: bool,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.speed {
            return speed();
        }
        let published = match &self.tables {
            Some(folder) => Published::read(folder)?,
            None => Published::of_repository()?,
        };
        print!("{}", report::text(&published, &evaluate(&published), self.residuals));
        Ok(())
    }
}

/// Runs the release build of sizing's example.
fn speed() -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["run", "--quiet", "--release", "--package", "plimsoll-sizing", "--example", "speed"];
    let status = Command::new(cargo).args(arguments).status().context("failed to start cargo")?;
    anyhow::ensure!(status.success(), "failed to measure how fast sizing is: cargo ended with {status}");
    Ok(())
}
