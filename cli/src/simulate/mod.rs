//! `plimsoll simulate`: a workload under several policies, in virtual time.

mod bar;
mod charts;
mod ends;
mod files;
mod report;
mod trace;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use plimsoll_simulator::policy::{NAMES, by_name};
use plimsoll_simulator::profile::Catalogue;
use plimsoll_simulator::workload::Submission;
use plimsoll_simulator::{Figures, Outcome as Simulated, ReadError, Rules, SimulationError};
use plimsoll_simulator::{energy_kwh, finish_time_fairness, simulate_watched};
use thiserror::Error;

use bar::Bar;

use crate::args::{SimulateArgs, World};
use crate::{CommandError, Outcome};

/// Why there is no simulation.
#[derive(Debug, Error)]
pub(crate) enum SimulateError {
    #[error(transparent)]
    Files(#[from] files::FilesError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("failed to find the policy {name}; known: {}", NAMES.join(", "))]
    Policy { name: String },
    #[error("failed to find the built-in workload {name}; known: pollux-1 to pollux-8, or give a file")]
    Workload { name: String },
    #[error(
        "failed to time the jobs of {trace}: they are Gavel's, and its table of throughputs says how fast they are; give it with --profiles FILE"
    )]
    Table { trace: String },
    #[error("failed to choose a cluster of {path}: it sums several up; write {}", names.join(" or "))]
    Cluster { path: String, names: Vec<String> },
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    #[error("failed to draw the report")]
    Draw(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// One policy's run.
struct Run {
    simulated: Simulated,
    figures: Figures,
    /// Finish-time fairness of each job.
    rho: Vec<f64>,
    energy_kwh: f64,
}

pub(crate) fn run(
    args: &SimulateArgs,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let cluster = &args.cluster;
    let (right, catalogue) =
        trace::load(&args.trace, args.profiles.as_deref(), cluster, args.seed).map_err(CommandError::Simulate)?;
    let rules = match args.world {
        World::Sia => Rules::SIA,
        World::Pollux => Rules::POLLUX,
        World::Real => Rules::real(args.seed),
    };
    let asked = rules.world.distort(&right);
    let runs = runs(args, &asked, &catalogue, &rules, stderr)?;
    writeln!(stdout, "{} on {cluster}\n{}", args.trace, table(&runs))?;
    if let Some(path) = &args.report {
        let about = report::About {
            trace: &args.trace,
            cluster,
            jobs: asked.len(),
            rules: told(args),
            requests: ends::Requests::between(&right, &asked),
        };
        let text = report::html(&about, &runs).map_err(SimulateError::Draw)?;
        std::fs::write(path, text).map_err(|source| SimulateError::Write { path: path.clone(), source })?;
    }
    Ok(Outcome::Done)
}

/// The rules, in words.
fn told(args: &SimulateArgs) -> String {
    let seed = args.seed;
    match args.world {
        World::Real => format!(
            "Rules of a real cluster, seed {seed}: every move is paid for, GPUs fail, work since the last checkpoint is lost, some jobs \
             are cancelled, and some ask for half or twice the GPUs that they should."
        ),
        World::Sia => "Rules of the Sia paper's simulator: nothing goes wrong.".to_owned(),
        World::Pollux => "Rules of the Pollux paper's simulator: nothing goes wrong.".to_owned(),
    }
}

fn runs(
    args: &SimulateArgs,
    workload: &[Submission],
    catalogue: &Catalogue,
    rules: &Rules,
    stderr: &mut dyn Write,
) -> Result<Vec<Run>, SimulateError> {
    let terminal = io::stderr().is_terminal();
    let mut runs = Vec::new();
    for (at, name) in args.policies.iter().enumerate() {
        let mut policy =
            by_name(name, args.error, args.seed).ok_or_else(|| SimulateError::Policy { name: name.clone() })?;
        let title = format!("simulating {} jobs under {name} ({} of {})", workload.len(), at + 1, args.policies.len());
        let mut bar = Bar::start(stderr, terminal, title);
        let simulated = simulate_watched(workload, &args.cluster, catalogue, policy.as_mut(), rules, &mut |progress| {
            bar.set(progress);
        });
        bar.end();
        let simulated = simulated?;
        let rho = finish_time_fairness(&simulated, &args.cluster, catalogue, rules);
        runs.push(Run {
            figures: simulated.figures(),
            rho: rho.into_iter().flatten().collect(),
            energy_kwh: energy_kwh(&simulated, &args.cluster),
            simulated,
        });
    }
    Ok(runs)
}

/// Names of the columns, and whether a cell is a number.
const HEADER: [&str; 10] = [
    "POLICY",
    "AVERAGE",
    "P99",
    "MAKESPAN",
    "GPU-HOURS/JOB",
    "RESTARTS/JOB",
    "RESTORING",
    "WAITING",
    "RHO > 1",
    "ENERGY",
];

/// The figures of every run, as cells.
fn cells(run: &Run) -> [String; 10] {
    let hours = |seconds: f64| format!("{:.2} h", seconds / 3600.0);
    let Figures { average_seconds, p99_seconds, makespan_seconds, gpu_hours_per_job, restarts_per_job, .. } =
        run.figures;
    let rounds = &run.simulated.rounds;
    let waiting = rounds.iter().map(|round| round.waiting as f64).sum::<f64>() / rounds.len().max(1) as f64;
    let unfair = run.rho.iter().filter(|rho| **rho > 1.0).count() as f64 / run.rho.len().max(1) as f64;
    [
        run.simulated.policy.clone(),
        hours(average_seconds),
        hours(p99_seconds),
        hours(makespan_seconds),
        format!("{gpu_hours_per_job:.2}"),
        format!("{restarts_per_job:.2}"),
        format!("{:.1} %", 100.0 * run.figures.restoring_share),
        format!("{waiting:.1}"),
        format!("{:.1} %", 100.0 * unfair),
        format!("{:.0} kWh", run.energy_kwh),
    ]
}

fn table(runs: &[Run]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADER.to_vec());
    for run in runs {
        table.add_row(cells(run));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// Restarts by application, whatever its batch and size, for a run.
fn restarts(run: &Run) -> BTreeMap<&str, (f64, f64)> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for job in &run.simulated.jobs {
        let application = job.application.split([' ', '(']).next().unwrap_or(&job.application);
        let sum = sums.entry(application).or_default();
        *sum = (sum.0 + f64::from(job.restarts), sum.1 + 1.0);
    }
    sums
}
