//! What the command line says.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use plimsoll_simulator::Cluster;

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
    /// Run a workload under several policies in virtual time, and compare them
    Simulate(SimulateArgs),
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

#[derive(Debug, ClapArgs)]
pub(crate) struct SimulateArgs {
    /// Workload: a file of jobs (CSV as Pollux and Sia have it, JSON lines, or a list of Philly), or pollux-1 to pollux-8,
    /// which are built in
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: String,
    /// Cluster, as kinds of GPU with their nodes and GPUs of each, such as t4=16x4 or aws=6x4,rtx=3x8
    #[arg(long, value_name = "KIND=NODESxGPUS", default_value = "t4=16x4")]
    pub(crate) cluster: Cluster,
    /// Policies, with commas between them
    #[arg(long = "policy", value_name = "NAME", value_delimiter = ',', default_value = "plimsoll-b,sia,tiresias")]
    pub(crate) policies: Vec<String>,
    /// Folder with a folder of profiles for each application; those of the Pollux paper on T4 unless given
    #[arg(long, value_name = "DIR")]
    pub(crate) profiles: Option<PathBuf>,
    /// Rules: those of a published simulator, or of a real cluster, in which moves are paid and things go wrong
    #[arg(long, value_enum, default_value_t = World::Real)]
    pub(crate) world: World,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Largest error of predicted step times, as a share
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub(crate) error: f64,
    /// Write a report with charts into an HTML file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// Rules of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum World {
    /// Of a real cluster.
    Real,
    /// Of the Sia paper's simulator.
    Sia,
    /// Of the Pollux paper's simulator.
    Pollux,
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
