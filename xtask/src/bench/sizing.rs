//! `cargo xtask bench sizing`.

use std::path::PathBuf;

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
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let published = match &self.tables {
            Some(folder) => Published::read(folder)?,
            None => Published::of_repository()?,
        };
        print!("{}", report::text(&published, &evaluate(&published), self.residuals));
        Ok(())
    }
}
