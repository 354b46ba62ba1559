//! What the command line says.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::size::ClassArgument;

/// Rightsizes training jobs.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say on how much a TrainingJob fits, without a cluster
    ///
    /// Exits with 3 when the job is valid but fits nowhere.
    Size(SizeArgs),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SizeArgs {
    /// File with the TrainingJob; - reads standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A class of the built-in catalogue, such as h100-sxm5-80gb, with the devices in a node and the nodes; may be given
    /// several times. Without it: the job's classes, else H100 SXM5, A100 40 GB and T4
    #[arg(long = "class", value_name = "NAME[=GPUSxNODES]")]
    pub(crate) classes: Vec<ClassArgument>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Show where every number of the first choice comes from
    #[arg(long)]
    pub(crate) explain: bool,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}
