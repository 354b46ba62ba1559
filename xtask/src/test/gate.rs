//! The gates that a change passes, each a command.

use std::path::PathBuf;

use anyhow::Context as _;
use plimsoll_e2e::binaries::checkout;
use plimsoll_test_cluster::Toolchain;
use tokio::process::Command;

/// Version of cargo-deny, built once into the cache.
const CARGO_DENY: &str = "0.20.2";

/// One gate.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Its name.
    pub(super) name: &'static str,
    program: Program,
    arguments: Vec<&'static str>,
}

/// What a gate runs.
#[derive(Clone, Copy, Debug)]
enum Program {
    Cargo,
    CargoDeny,
    Helm,
}

/// All gates, the quickest first.
pub(super) fn all() -> Vec<Gate> {
    let gate = |name, program, arguments: &[&'static str]| Gate { name, program, arguments: arguments.to_vec() };
    vec![
        gate("format", Program::Cargo, &["fmt", "--all", "--check"]),
        gate("lints", Program::Cargo, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        gate("licences", Program::CargoDeny, &["check", "licenses", "bans", "sources"]),
        gate("generated", Program::Cargo, &["xtask", "generate", "--check"]),
        gate("chart", Program::Helm, &["lint", "--strict", "charts/plimsoll"]),
        gate("tests", Program::Cargo, &["test", "--workspace", "--locked", "--quiet"]),
        gate("story", Program::Cargo, &["xtask", "demo", "--check", "--name", "test-story"]),
        gate(
            "failover",
            Program::Cargo,
            &["xtask", "demo", "--check", "--kill-leader", "--seed", "1", "--name", "test-failover"],
        ),
    ]
}

impl Gate {
    /// The command as a person would type it.
    pub(super) fn shown(&self) -> String {
        let program = match self.program {
            Program::Cargo => "cargo",
            Program::CargoDeny => "cargo deny",
            Program::Helm => "helm",
        };
        format!("{program} {}", self.arguments.join(" "))
    }

    /// Runs it. Returns whether it passed.
    pub(super) async fn run(&self) -> anyhow::Result<bool> {
        let program = match self.program {
            Program::Cargo => PathBuf::from(option_env!("CARGO").unwrap_or("cargo")),
            Program::CargoDeny => cargo_deny().await?,
            Program::Helm => Toolchain::ensure(&|line| println!("{line}")).await?.helm,
        };
        let mut command = Command::new(&program);
        command.args(&self.arguments).current_dir(checkout());
        let status = command.status().await.with_context(|| format!("failed to run {}", program.display()))?;
        Ok(status.success())
    }
}

/// cargo-deny, built on first use into the cache of the pinned tools.
async fn cargo_deny() -> anyhow::Result<PathBuf> {
    let root = Toolchain::from_environment()?.cache().join("gates").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        println!("building cargo-deny {CARGO_DENY}");
        let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        command.args(["install", "cargo-deny", "--locked", "--quiet", "--version", CARGO_DENY, "--root"]).arg(&root);
        let status = command.status().await.context("failed to run cargo install")?;
        anyhow::ensure!(status.success(), "failed to build cargo-deny: cargo ended with {status}");
    }
    Ok(program)
}
