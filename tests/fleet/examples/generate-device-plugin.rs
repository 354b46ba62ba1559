//! Writes the Rust of the device plugin API from its proto: `cargo run --example generate-device-plugin`.

use std::path::Path;

use anyhow::{Context, Result};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/device_plugin/generated");

fn main() -> Result<()> {
    generate(Path::new(COMMITTED))
}

fn generate(folder: &Path) -> Result<()> {
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["deviceplugin.proto"], [protos]).context("failed to compile the proto")?;
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(folder)
        .compile_fds(files)
        .context("failed to write the code")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_committed_code_is_fresh() {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path()).unwrap();
        let fresh = fs::read_to_string(folder.path().join("v1beta1.rs")).unwrap();
        let committed = fs::read_to_string(Path::new(COMMITTED).join("v1beta1.rs")).unwrap();
        assert_eq!(committed, fresh, "run cargo run --package plimsoll-test-fleet --example generate-device-plugin");
    }
}
