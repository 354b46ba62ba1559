//! What the command line says.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::size::{ClassArgument, Gpus};

/// Rightsizes training jobs.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say on how much a TrainingJob or a model fits, without a cluster
    ///
    /// Exits with 3 when the job is valid but fits nowhere.
    #[command(override_usage = "plimsoll size (-f FILE | --hf CONFIG) [--gpus CLASS:COUNT]... [OPTIONS]")]
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
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present = "hugging_face")]
    pub(crate) file: Option<PathBuf>,
    /// A model's config.json of Hugging Face, trained as most programs can: every layout that sizing knows
    #[arg(long = "hf", value_name = "CONFIG", conflicts_with = "file")]
    pub(crate) hugging_face: Option<PathBuf>,
    /// Devices to size for, such as h100:8; may be given several times
    #[arg(long, value_name = "CLASS:COUNT")]
    pub(crate) gpus: Vec<Gpus>,
    /// A class of the built-in catalogue, such as h100-sxm5-80gb, with the devices in a node and the nodes; may be given
    /// several times. Without it and --gpus: the job's classes, else H100 SXM5, A100 40 GB and T4
    #[arg(long = "class", value_name = "NAME[=GPUSxNODES]")]
    pub(crate) classes: Vec<ClassArgument>,
    /// Tokens of a sample, for --hf; the model's longest, and at most 2048, unless given
    #[arg(long, value_name = "TOKENS", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sequence_length: Option<u32>,
    /// Samples of an optimizer step, for --hf; 256 unless given
    #[arg(long, value_name = "SAMPLES", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub(crate) global_batch: Option<u32>,
    /// Arithmetic, for --hf; Bf16Mixed unless given
    #[arg(long, conflicts_with = "file", value_parser = PossibleValuesParser::new(PRECISIONS))]
    pub(crate) precision: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Show where every number of the first choice comes from
    #[arg(long)]
    pub(crate) explain: bool,
    /// Draw device memory and speed against micro-batch and GPUs into an SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

/// What a TrainingJob calls its precisions.
const PRECISIONS: [&str; 5] = ["Fp32", "Tf32", "Fp16Mixed", "Bf16Mixed", "Bf16"];

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// The same with speed, GPU-hours and energy.
    Wide,
    /// For programs.
    Json,
    /// The same as YAML.
    Yaml,
}
