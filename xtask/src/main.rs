//! Everything a developer runs on a checkout: `cargo xtask <command>`.
//!
//! A command is one file with a clap `Args` struct that has `async fn run(self) -> anyhow::Result<()>`; to add one, add
//! its file and a line to [`Command`] and to [`Command::run`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its user")]

mod bench;
mod calibrate;
mod demo;
mod down;
mod generate;
mod image;
mod interrupt;
mod test;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything a developer runs on a checkout of Plimsoll.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a Kubernetes cluster with fake GPU nodes on this machine
    Up(up::Args),
    /// Run the whole story on a real Kubernetes: from kubectl apply to corrected allocations
    Demo(demo::Args),
    /// Measure how long it takes from applying a job that fits until all its pods are bound; or how well sizing predicts
    Bench(bench::Args),
    /// Fit sizing's constants to the published tables of the repository and write them as data
    Calibrate(calibrate::Args),
    /// Run every test: format, lints, licences, unit and property tests, generated files, the chart, the story
    Test(test::Args),
    /// Stop a cluster that `up` started, and remove what it wrote
    Down(down::Args),
    /// Write the generated files: the API's definitions into crds/manifests and into the chart
    Generate(generate::Args),
    /// Write container images of the operator, the agent and the demo trainer, without a container engine
    Image(image::Args),
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Up(args) => args.run().await,
            Self::Demo(args) => args.run().await,
            Self::Bench(args) => args.run().await,
            Self::Calibrate(args) => args.run(),
            Self::Test(args) => args.run().await,
            Self::Down(args) => args.run().await,
            Self::Generate(args) => args.run().await,
            Self::Image(args) => args.run().await,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match interrupt::or_interrupted(cli.command.run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes on one line, and never a backtrace: the causes say what to do.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
