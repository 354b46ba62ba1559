//! What a change passes: gates, each a command that can be run alone.

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
    /// The script ends with the first command that fails.
    Shell,
}

/// The gates of every change, the quickest first.
pub(super) fn ordinary() -> Vec<Gate> {
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

/// The slower proofs, which come after the ordinary gates.
pub(super) fn slower() -> Vec<Gate> {
    let cargo =
        |name, arguments: &[&'static str]| Gate { name, program: Program::Cargo, arguments: arguments.to_vec() };
    vec![
        // The laws fix how many cases they draw, so PROPTEST_CASES does not raise it; every run draws others.
        Gate::shell(
            "laws",
            "for run in $(seq 20); do cargo test --locked --quiet -p plimsoll-scheduling -p plimsoll-sizing \
             -p plimsoll-lifecycle --test laws --test shrink; done",
        ),
        cargo(
            "planner",
            &["test", "--release", "--locked", "-p", "plimsoll-scheduling", "--test", "laws", "how_long_a_plan_takes"]
                .into_iter()
                .chain(["--", "--ignored", "--nocapture"])
                .collect::<Vec<_>>(),
        ),
        cargo("bench", &["xtask", "bench", "--name", "long-bench"]),
        cargo("seed-2", &["xtask", "demo", "--check", "--seed", "2", "--name", "long-seed-2"]),
        cargo("seed-3", &["xtask", "demo", "--check", "--seed", "3", "--name", "long-seed-3"]),
        cargo(
            "other-truth",
            &["xtask", "demo", "--check", "--truth", "tests/fleet/truth/other.yaml", "--name", "long-truth"],
        ),
        cargo("failover-4", &["xtask", "demo", "--check", "--kill-leader", "--seed", "4", "--name", "long-failover-4"]),
        // Only a clean checkout gives the same images as its clone: an image names its commit and whether it is changed.
        Gate::shell(
            "images",
            "rm -rf target/long/clone; git clone --quiet . target/long/clone; cargo xtask image; \
             (cd target/long/clone; cargo xtask image); \
             for file in target/long/clone/target/images/*; do cmp $file target/images/${file##*/}; done; \
             rm -rf target/long/clone",
        ),
        cargo("fake-only", &["xtask", "demo", "--check", "--fake-only", "--name", "long-fake"]),
        cargo("oldest", &["xtask", "demo", "--check", "--kubernetes", "1.34", "--name", "long-oldest"]),
        Gate::shell(
            "oldest-chart",
            "PLIMSOLL_TEST_KUBERNETES=1.34 cargo test --locked --quiet -p plimsoll-e2e --test chart --test admission --test contract",
        ),
    ]
}

impl Gate {
    /// A gate that is a shell script.
    pub(super) fn shell(name: &'static str, script: &'static str) -> Self {
        Self { name, program: Program::Shell, arguments: vec![script] }
    }

    /// The command as a person would type it.
    pub(super) fn shown(&self) -> String {
        let arguments = self.arguments.join(" ");
        match self.program {
            Program::Cargo => format!("cargo {arguments}"),
            Program::CargoDeny => format!("cargo deny {arguments}"),
            Program::Helm => format!("helm {arguments}"),
            Program::Shell => format!("sh -ec '{arguments}'"),
        }
    }

    /// The command that runs it in the checkout.
    pub(super) async fn command(&self) -> anyhow::Result<std::process::Command> {
        let program = match self.program {
            Program::Cargo => PathBuf::from(option_env!("CARGO").unwrap_or("cargo")),
            Program::CargoDeny => cargo_deny().await?,
            Program::Helm => Toolchain::ensure(&|line| println!("{line}")).await?.helm,
            Program::Shell => PathBuf::from("sh"),
        };
        let mut command = std::process::Command::new(program);
        if let Program::Shell = self.program {
            command.arg("-ec");
        }
        command.args(&self.arguments).current_dir(checkout());
        Ok(command)
    }

    /// Runs it on this terminal. Returns whether it passed.
    pub(super) async fn run(&self) -> anyhow::Result<bool> {
        let mut command = Command::from(self.command().await?);
        let status = command.status().await.with_context(|| format!("failed to run {}", self.shown()))?;
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
