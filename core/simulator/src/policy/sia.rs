//! Sia (Jayaram Subramanya et al., SOSP 2023): an integer program over configurations, each round.

mod placement;

use plimsoll_scheduling::elastic::{Column, fill, search, states};

use super::{Policy, View};
use crate::beliefs::{Size, most_gpus, rate, speed_of_one};
use crate::cache::Cache;
use crate::cluster::{Allocation, Cluster};
use crate::job::Job;
use crate::profile::Application;
use placement::{around, in_place};

/// Power of a goodput in the objective, and what leaving a job without GPUs costs.
const POWER: f64 = -0.5;
const UNALLOCATED: f64 = 1.1;
/// The most that a term of the objective may be.
const MOST: f64 = 3000.0;
/// What breaks a tie in favour of what a job holds; terms are whole hundredths.
const TIE: f64 = 1e-7;
/// States up to which the program is solved exactly.
const EXACT_STATES: usize = 100_000;
/// The most GPUs of a job.
const MOST_GPUS: u32 = 64;

/// Sia's integer program: `min Σ X_ij (r_ij G_ij)^p + λ Σ_i (1 − Σ_j X_ij)`, one configuration at most for each job, the GPUs of
/// each kind shared; `p = −½`, `λ = 1.1`. A configuration is a power of two in a node, or whole nodes. `G_ij` is estimated goodput
/// over the smallest of the job's row; `r_ij < 1` for all but the present configuration of a job that restarts often for its
/// age. Solved exactly while the programme over GPU counts has 100,000 states, by prices above.
#[derive(Debug)]
pub struct Sia {
    name: &'static str,
    caps_batch: bool,
    sticky: bool,
    rates: Cache,
    prices: Vec<f64>,
}

impl Sia {
    /// As its authors ran it: the total batch that the user asked for bounds the goodput that the program sees (rule 12).
    pub fn new() -> Self {
        Self { name: "sia", caps_batch: true, sticky: false, rates: Cache::default(), prices: Vec::new() }
    }

    /// Without that bound, which makes it stronger.
    pub fn without_batch_cap() -> Self {
        Self { name: "sia-uncapped", caps_batch: false, ..Self::new() }
    }

    /// As its authors ran it, but who keeps its size keeps its nodes: stronger where moves are paid for.
    pub fn sticky() -> Self {
        Self { name: "sia-sticky", sticky: true, ..Self::new() }
    }
}

impl Default for Sia {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Sia {
    fn name(&self) -> &str {
        self.name
    }

    fn elastic(&self) -> bool {
        true
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let sizes = configurations(view.cluster);
        let mut capacity: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let mut rows = Vec::with_capacity(view.jobs.len());
        self.rates.keep(&view.jobs);
        for job in &view.jobs {
            if let Some(held) = job.allocation.as_ref().filter(|_| job.restoring_seconds > 0.0) {
                capacity[held.kind] -= held.gpus();
                rows.push(Vec::new());
                continue;
            }
            let rates = self.rates.rates(job, || rates(view, job, &sizes, self.caps_batch));
            rows.push(row(view, job, &sizes, rates));
        }
        let columns: Vec<Vec<Column>> =
            rows.iter().map(|row| row.iter().map(|(_, column)| *column).collect()).collect();
        let choices = if states(&capacity) <= EXACT_STATES {
            fill(&capacity, &columns)
        } else {
            let found = search(&capacity, &columns, &self.prices);
            self.prices = found.prices;
            found.choices
        };
        let chosen: Vec<Option<Size<'_>>> =
            rows.iter().zip(choices).map(|(row, choice)| Some(sizes[row[choice?].0])).collect();
        if self.sticky { in_place(view, &chosen) } else { around(view, &chosen) }
    }
}

/// Powers of two in a node, and whole nodes.
fn configurations(cluster: &Cluster) -> Vec<Size<'_>> {
    let mut sizes = Vec::new();
    for (index, kind) in cluster.kinds.iter().enumerate() {
        let powers = (0..).map(|power| 1 << power).take_while(|gpus| *gpus < kind.gpus_per_node);
        let whole = (1..=kind.nodes).map(|nodes| nodes * kind.gpus_per_node);
        sizes.extend(powers.chain(whole).map(|gpus| Size { index, kind, gpus }));
    }
    sizes
}

/// Estimated goodput at each size; a kind that was not tried takes that of the first that was, scaled by what one GPU of each
/// truly does.
fn rates(view: &View<'_>, job: &Job, sizes: &[Size<'_>], caps_batch: bool) -> Vec<Option<f64>> {
    let application = view.application(job);
    let most_total = if caps_batch { f64::from(job.submission.batch) } else { f64::INFINITY };
    let tried = job.measured.iter().position(|measured| measured.estimate.is_some());
    let one = |size: &Size<'_>| {
        let known = job.measured[size.index].estimate.is_some();
        if known {
            return rate(job, application, view.rules, *size, most_total);
        }
        let tried = tried?;
        let here = speed_of_one(application, view.rules, size.index)?;
        let there = speed_of_one(application, view.rules, tried)?;
        Some(projected(view, job, application, *size, tried, most_total)? * here / there)
    };
    sizes.iter().map(one).collect()
}

/// The goodput on another kind with as many nodes and GPUs.
fn projected(
    view: &View<'_>,
    job: &Job,
    application: &Application,
    size: Size<'_>,
    tried: usize,
    most_total: f64,
) -> Option<f64> {
    // The estimate knows one node from several, and nothing else of a node.
    let kind = crate::cluster::Kind { gpus_per_node: size.kind.gpus_per_node, ..view.cluster.kinds[tried].clone() };
    rate(job, application, view.rules, Size { index: tried, kind: &kind, gpus: size.gpus }, most_total)
}

/// Columns of a job with the configuration that each stands for.
fn row(view: &View<'_>, job: &Job, sizes: &[Size<'_>], rates: &[Option<f64>]) -> Vec<(usize, Column)> {
    let application = view.application(job);
    if job.measured.iter().all(|measured| measured.estimate.is_none()) {
        let ones =
            sizes.iter().enumerate().filter(|(_, size)| size.gpus == 1 && application.steps[size.index].is_some());
        let column = |size: &Size<'_>| Column { class: size.index, gpus: 1, worth: UNALLOCATED - 1.0 };
        return ones.map(|(at, size)| (at, column(size))).collect();
    }
    let most = (2 * job.most_gpus).clamp(1, MOST_GPUS);
    let valid = |at: &usize| {
        let size = &sizes[*at];
        let room = application.steps[size.index].as_ref().map_or(0, |steps| most_gpus(application, steps));
        size.gpus <= most.min(room) && rates[*at].is_some()
    };
    let valid: Vec<usize> = (0..sizes.len()).filter(valid).collect();
    let least = valid.iter().filter_map(|at| rates[*at]).fold(f64::INFINITY, f64::min);
    let restart = restart_factor(view, job, application);
    let held = job.allocation.as_ref().map(|held| (held.kind, held.gpus()));
    let column = |at: usize| {
        let size = &sizes[at];
        let holds = held == Some((size.index, size.gpus));
        let goodput = rates[at].unwrap_or(0.0) / least * if holds { 1.0 } else { restart };
        let term = (goodput.powf(POWER).min(MOST) * 100.0).round() / 100.0;
        let worth = UNALLOCATED - term + if holds { TIE } else { 0.0 };
        (at, Column { class: size.index, gpus: size.gpus, worth })
    };
    valid.into_iter().map(column).collect()
}

/// `max(T − N·S, 0)/(T + S)` for age, restarts and cost; 1 while it is younger than one restart takes.
fn restart_factor(view: &View<'_>, job: &Job, application: &Application) -> f64 {
    let age = view.now - job.submission.at_seconds;
    let cost = application.times.believed_restart_seconds;
    if age < cost { 1.0 } else { ((age - f64::from(job.restarts) * cost).max(0.0) / (age + cost)).max(1e-6) }
}
