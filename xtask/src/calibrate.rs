//! `cargo xtask calibrate`.

use std::path::Path;

use anyhow::Context as _;
use plimsoll_calibration::{Published, fit_memory, fit_time};
use serde::Serialize;

/// Fit sizing's constants to the published tables of the repository and write them as data
///
/// The same tables give the same files, byte for byte. `cargo xtask bench sizing` says what the constants are worth, each
/// row predicted without its own group.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let published = Published::of_repository()?;
        write("memory.json", &fit_memory::calibrate(&published))?;
        write("time.json", &fit_time::calibrate(&published))
    }
}

fn write(name: &str, constants: &impl Serialize) -> anyhow::Result<()> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/sizing/src/calibration"));
    let file = folder.join(name);
    let text = serde_json::to_string_pretty(constants).context("failed to write constants as JSON")?;
    std::fs::write(&file, text + "\n").with_context(|| format!("failed to write {}", file.display()))?;
    println!("wrote core/sizing/src/calibration/{name}");
    Ok(())
}
