//! What the command line says.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::Timestamp;
use plimsoll_simulator::Cluster;

use crate::size::{ClassArgument, Gpus, Price, overhead, positive};

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
    #[command(
        override_usage = "plimsoll size (-f FILE | --hf CONFIG | --preset NAME) [--gpus CLASS:COUNT]... [OPTIONS]"
    )]
    Size(Box<SizeArgs>),
    /// Plan a saved snapshot, such as one that is attached to a bug report, as the operator would
    ///
    /// The same snapshot and time give the same plan, byte for byte. Exits with 1 when the plan breaks a law.
    Plan(PlanArgs),
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
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present_any = ["hugging_face", "preset"])]
    pub(crate) file: Option<PathBuf>,
    /// A model's config.json of Hugging Face, trained as most programs can: every layout that sizing knows
    #[arg(long = "hf", value_name = "CONFIG", conflicts_with = "file")]
    pub(crate) hugging_face: Option<PathBuf>,
    /// A well-known model by its name, such as llama-3-8b or resnet50, trained the same way
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "hugging_face"])]
    pub(crate) preset: Option<String>,
    /// Devices to size for, such as h100:8; may be given several times
    #[arg(long, value_name = "CLASS:COUNT")]
    pub(crate) gpus: Vec<Gpus>,
    /// A class of the built-in catalogue, such as h100-sxm5-80gb, with the devices in a node and the nodes; may be given
    /// several times. Without it and --gpus: the job's classes, else H100 SXM5, A100 40 GB and T4
    #[arg(long = "class", value_name = "NAME[=GPUSxNODES]")]
    pub(crate) classes: Vec<ClassArgument>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Show where every number of the first choice comes from
    #[arg(long)]
    pub(crate) explain: bool,
    /// Draw device memory and speed against micro-batch and GPUs into an SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

/// How a model is trained that no TrainingJob describes.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "For --hf and --preset")]
pub(crate) struct TrainingArgs {
    /// Tokens of a sample; the model's longest, and at most 2048, unless given
    #[arg(long, value_name = "TOKENS", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sequence_length: Option<u32>,
    /// Samples of an optimizer step; 256 unless given
    #[arg(long, value_name = "SAMPLES", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub(crate) global_batch: Option<u32>,
    /// Arithmetic; Bf16Mixed unless given
    #[arg(long, conflicts_with = "file", value_parser = PossibleValuesParser::new(PRECISIONS))]
    pub(crate) precision: Option<String>,
    /// Optimizer; AdamW unless given
    #[arg(long, conflicts_with = "file", value_parser = PossibleValuesParser::new(OPTIMIZERS))]
    pub(crate) optimizer: Option<String>,
    /// How the model is trained; Pretrain unless given
    #[arg(long, conflicts_with = "file", value_parser = PossibleValuesParser::new(METHODS))]
    pub(crate) method: Option<String>,
    /// Rank of low-rank adapters, for methods Lora and Qlora (16 unless given) and Preference (no adapters unless given)
    #[arg(long, value_name = "RANK", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) lora_rank: Option<u32>,
    /// Layers that method Transfer trains, counted from the end; 1 unless given
    #[arg(long, value_name = "LAYERS", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) trained_units: Option<u32>,
    /// What the program can be told of its layout, as in MicroBatch,Data,Sharding; all but Offload unless given
    #[arg(long, value_name = "WORDS", value_delimiter = ',', conflicts_with = "file", value_parser = PossibleValuesParser::new(WORDS))]
    pub(crate) accepts: Option<Vec<String>>,
    /// Tokens of one pass over the data, which may be written as 15e12
    #[arg(long, conflicts_with = "file", value_parser = positive)]
    pub(crate) tokens: Option<f64>,
    /// Samples of one pass over the data
    #[arg(long, conflicts_with_all = ["file", "tokens"], value_parser = positive)]
    pub(crate) samples: Option<f64>,
    /// Passes over the data; 1 unless given
    #[arg(long, conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) epochs: Option<u32>,
    /// Tokens that the model is expected to read and write once it is trained
    #[arg(long, value_name = "TOKENS", conflicts_with = "file", value_parser = positive)]
    pub(crate) inference_tokens: Option<f64>,
}

/// What devices cost and draw beyond themselves, and how often they fail.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "The site, for -o wide, json and yaml")]
pub(crate) struct SiteArgs {
    /// What a device costs an hour, for all classes or for one; may be given several times
    #[arg(long = "price", value_name = "[CLASS=]MONEY")]
    pub(crate) prices: Vec<Price>,
    /// Grams of CO2 equivalent for each kWh of electricity
    #[arg(long, value_name = "GRAMS", value_parser = positive)]
    pub(crate) carbon_intensity: Option<f64>,
    /// What the meter shows over what nodes draw (power usage effectiveness); 1 unless given
    #[arg(long, value_name = "FACTOR", value_parser = overhead)]
    pub(crate) pue: Option<f64>,
    /// What nodes draw over what their devices draw; 1 unless given
    #[arg(long, value_name = "FACTOR", value_parser = overhead)]
    pub(crate) node_overhead: Option<f64>,
    /// Hours of one device between failures that stop a job (published large runs: 50000 to 80000); with
    /// spec.checkpoint.seconds it says how often to write checkpoints
    #[arg(long, value_name = "HOURS", value_parser = positive)]
    pub(crate) gpu_hours_per_failure: Option<f64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    /// File with the snapshot as JSON; - reads standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// When it is planned, such as 2026-11-25T12:00:00Z; the time that the file names unless given
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SimulateArgs {
    /// Workload: pollux-1 to pollux-8, which are built in, or a file, told apart by its form: CSV as Pollux and Sia have it, JSON
    /// lines, Philly's list or log, a trace of Gavel, pods of Alibaba's openb; FILE#CLUSTER draws jobs from Acme's summary
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: String,
    /// Cluster, as kinds of GPU with their nodes and GPUs of each, such as t4=16x4 or aws=6x4,rtx=3x8
    #[arg(long, value_name = "KIND=NODESxGPUS", default_value = "t4=16x4")]
    pub(crate) cluster: Cluster,
    /// Policies, with commas between them
    #[arg(long = "policy", value_name = "NAME", value_delimiter = ',', default_value = "plimsoll-b,sia,tiresias")]
    pub(crate) policies: Vec<String>,
    /// Folder with a folder of profiles for each application (those of the Pollux paper on T4 unless given), or Gavel's table of
    /// throughputs for a trace of Gavel
    #[arg(long, value_name = "PATH")]
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
const PRECISIONS: [&str; 6] = ["Fp32", "Tf32", "Fp16Mixed", "Bf16Mixed", "Bf16", "Fp8Mixed"];
/// Its optimizers.
const OPTIMIZERS: [&str; 9] =
    ["AdamW", "AdamW8bit", "Adafactor", "Sgd", "SgdMomentum", "Lion", "Adagrad", "Muon", "Shampoo"];
/// Its methods.
const METHODS: [&str; 7] = ["Pretrain", "Finetune", "Transfer", "Lora", "Qlora", "Preference", "Private"];
/// What it calls the parts of a layout that a program can be told.
pub(crate) const WORDS: [&str; 10] = [
    "MicroBatch",
    "GradientAccumulation",
    "Data",
    "Sharding",
    "Tensor",
    "Pipeline",
    "Context",
    "Expert",
    "Recompute",
    "Offload",
];

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// The same with speed, and what the whole run takes: hours, energy, money.
    Wide,
    /// For programs.
    Json,
    /// The same as YAML.
    Yaml,
}
