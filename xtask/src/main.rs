//! Everything a developer runs on a checkout: `cargo xtask <command>`.
//!
//! A command is one file with a clap `Args` struct that has `async fn run(self) -> anyhow::Result<()>`; to add one, add
//! its file and a line to [`Command`] and to [`Command::run`].
#![allow(clippy::print_stdout, reason = "a command line tool speaks to its user on stdout")]

mod down;
mod interrupt;
mod up;

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
    /// Stop a cluster that `up` started, and remove what it wrote
    Down(down::Args),
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Up(args) => args.run().await,
            Self::Down(args) => args.run().await,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    interrupt::or_interrupted(cli.command.run()).await
}
