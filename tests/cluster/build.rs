//! Says whether this machine can run a real node, so that its test is listed as ignored where it cannot.

#[path = "src/real_node/preflight.rs"]
#[allow(dead_code, reason = "only one of its questions is asked here")]
mod preflight;

/// Sets the cfg `real_node` where one can run. Other crates with tests on it take this file in.
pub fn main() {
    println!("cargo::rustc-check-cfg=cfg(real_node)");
    // Not on folders that may be missing, nor on PATH: either would build the crate anew again and again.
    println!("cargo::rerun-if-changed=build.rs");
    if preflight::missing().is_empty() {
        println!("cargo::rustc-cfg=real_node");
    }
}
