//! Plimsoll's planner: backward prices, then a knapsack (`plimsoll_scheduling::elastic`).

use std::collections::BTreeMap;

use plimsoll_scheduling::elastic::{Answer, Job as Asked, Nodes, Offer, Request, Running, Settings, allocate, place};

use super::{Policy, View};
use crate::beliefs::{Size, corrected_rate, counts, most_gpus, speed_of_one, true_rate};
use crate::cache::Cache;
use crate::cluster::Allocation;
use crate::engine::full_restart_seconds;
use crate::job::Job;
use crate::random::Random;
use crate::rules::Moves;

/// What the planner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Information {
    /// What Sia knows: only what a job has measured. "A".
    Measured,
    /// Its declared total work too. "B".
    Work,
    /// And a predicted speed before the first run. "C".
    Speed,
}

/// Share of the work done that is believed to be left, where the total is not known, and the seconds that it is at least.
const LEFT_SHARE: f64 = 1.0;
const LEFT_SECONDS: f64 = 600.0;
/// Power of GPUs that a job without a measurement is believed to speed up by.
const GENERIC_POWER: f64 = 0.7;
/// Seconds of work that such a job is believed to have on one GPU of nominal speed 1.
const GENERIC_SECONDS: f64 = 3600.0;

/// Plimsoll's planner over a trace.
#[derive(Debug)]
pub struct Plimsoll {
    name: String,
    information: Information,
    settings: Settings,
    every_seconds: f64,
    error: f64,
    seed: u64,
    rates: Cache,
    seen: BTreeMap<usize, usize>,
    planned_at: f64,
}

impl Plimsoll {
    /// With the settings for what it is told. Predicted step times are off by a factor of up to `1 ± error`, drawn by `seed`
    /// for each job and kind: one at one GPU, one at all GPUs, and between them in proportion to the logarithm of the count.
    pub fn new(information: Information, error: f64, seed: u64) -> Self {
        let (settings, every_seconds, letter) = match information {
            Information::Measured => (Settings::WORK_UNKNOWN, 180.0, "a"),
            Information::Work => (Settings::WORK_KNOWN, 120.0, "b"),
            Information::Speed => (Settings::SPEED_KNOWN, 60.0, "c"),
        };
        Self {
            name: format!("plimsoll-{letter}"),
            information,
            settings,
            every_seconds,
            error,
            seed,
            rates: Cache::default(),
            seen: BTreeMap::new(),
            planned_at: f64::NEG_INFINITY,
        }
    }

    /// With other settings, and a plan every so many seconds where there is no news.
    pub fn with(mut self, settings: Settings, every_seconds: f64) -> Self {
        self.settings = settings;
        self.every_seconds = every_seconds;
        self
    }

    /// Whether anybody came, left or measured a new size since the last plan.
    fn is_news(&mut self, view: &View<'_>) -> bool {
        let now: BTreeMap<usize, usize> = view.jobs.iter().map(|job| (job.id, sizes_seen(job))).collect();
        let news = now != self.seen;
        self.seen = now;
        news
    }
}

/// How many sizes a job has measured.
fn sizes_seen(job: &Job) -> usize {
    let mut sizes: Vec<(usize, u32)> = Vec::new();
    for (kind, measured) in job.measured.iter().enumerate() {
        sizes.extend(measured.seen.iter().map(|seen| (kind, seen.gpus)));
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes.len()
}

impl Policy for Plimsoll {
    fn name(&self) -> &str {
        &self.name
    }

    fn elastic(&self) -> bool {
        true
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let news = self.is_news(view);
        if !news && view.now - self.planned_at < self.every_seconds {
            return view.jobs.iter().map(|job| job.allocation.clone()).collect();
        }
        self.planned_at = view.now;
        self.rates.keep(&view.jobs);
        let capacity: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let speeds: Vec<f64> = view.cluster.kinds.iter().map(|kind| nominal_speed(&kind.name)).collect();
        let asked: Vec<Asked> = view.jobs.iter().map(|job| self.ask(view, job, &speeds)).collect();
        let Answer { choices, .. } = allocate(&capacity, &speeds, &asked, &self.settings);
        let chosen: Vec<Option<(usize, u32)>> = asked
            .iter()
            .zip(choices)
            .map(|(job, choice)| match job.running.filter(|running| running.pinned) {
                Some(running) => Some((running.class, running.gpus)),
                None => choice.map(|at| (job.offers[at].class, job.offers[at].gpus)),
            })
            .collect();
        on_nodes(view, &chosen)
    }
}

impl Plimsoll {
    /// A job as the planner is told of it.
    fn ask(&mut self, view: &View<'_>, job: &Job, speeds: &[f64]) -> Asked {
        let application = view.application(job);
        let tried = job.measured.iter().any(|measured| measured.estimate.is_some());
        let known = tried || self.information == Information::Speed;
        let sizes: Vec<Size<'_>> = sizes(view);
        let cap = match self.information {
            Information::Speed => u32::MAX,
            _ => (2 * job.most_gpus).max(1),
        };
        let (information, seed, error) = (self.information, self.seed, self.error);
        let rates = self.rates.rates(job, || {
            let believed = |size: &Size<'_>| match information {
                Information::Speed => predicted(view, job, *size, seed, error),
                _ => measured(view, job, *size),
            };
            sizes.iter().map(believed).collect()
        });
        let offer = |(size, rate): (&Size<'_>, &Option<f64>)| {
            let room = application.steps[size.index].as_ref().map_or(0, |steps| most_gpus(application, steps));
            let generic = speeds[size.index] * f64::from(size.gpus).powf(GENERIC_POWER);
            let rate = if known { *rate } else { Some(generic) };
            let rate = rate.filter(|rate| *rate > 0.0 && size.gpus <= room)?;
            Some(Offer { class: size.index, gpus: size.gpus, rate, now: size.gpus <= cap })
        };
        let offers: Vec<Offer> = sizes.iter().zip(rates).filter_map(offer).collect();
        let held = job.allocation.as_ref().map(|held| (held.kind, held.gpus()));
        let now_rate = offers.iter().find(|offer| held == Some((offer.class, offer.gpus))).map(|offer| offer.rate);
        let one = offers.iter().filter(|offer| offer.gpus == 1).map(|offer| offer.rate).fold(0.0, f64::max);
        let remaining = match self.information {
            _ if !known => GENERIC_SECONDS,
            Information::Measured => (LEFT_SHARE * job.progress).max(LEFT_SECONDS * now_rate.unwrap_or(one)),
            _ => application.runs.total() - job.progress,
        };
        let running = held.map(|(class, gpus)| Running {
            class,
            gpus,
            since_seconds: view.now - job.changed_at,
            pinned: job.restoring_seconds > 0.0,
        });
        let restart_seconds = full_restart_seconds(application, view.rules)
            * if running.is_some() { view.rules.resize_share } else { 1.0 };
        Asked { weight: 1.0, remaining: remaining.max(1e-9), restart_seconds, running, known, offers }
    }
}

/// Every count worth a look on every kind.
fn sizes<'a>(view: &View<'a>) -> Vec<Size<'a>> {
    let kinds = view.cluster.kinds.iter().enumerate();
    kinds.flat_map(|(index, kind)| counts(kind).into_iter().map(move |gpus| Size { index, kind, gpus })).collect()
}

/// The rate that a job's measurements say; on a kind that it has not tried that of the one it runs on, or knows most of, scaled by
/// what one GPU of each does.
fn measured(view: &View<'_>, job: &Job, size: Size<'_>) -> Option<f64> {
    let application = view.application(job);
    if job.measured[size.index].estimate.is_some() {
        return corrected_rate(job, application, view.rules, size);
    }
    let held = job.allocation.as_ref().map(|held| held.kind);
    let known = (0..job.measured.len()).filter(|kind| job.measured[*kind].estimate.is_some());
    let best = known.max_by_key(|kind| (held == Some(*kind), job.measured[*kind].seen.len()))?;
    let kind = crate::cluster::Kind { gpus_per_node: size.kind.gpus_per_node, ..view.cluster.kinds[best].clone() };
    let there = corrected_rate(job, application, view.rules, Size { index: best, kind: &kind, gpus: size.gpus })?;
    Some(there * speed_of_one(application, view.rules, size.index)? / speed_of_one(application, view.rules, best)?)
}

/// The rate that was predicted; at a count that was seen on the kind what was measured, and at another one the prediction corrected
/// by how far off it was at the nearest count seen.
fn predicted(view: &View<'_>, job: &Job, size: Size<'_>, seed: u64, error: f64) -> Option<f64> {
    let application = view.application(job);
    // Off by one share at one GPU and by another at the whole kind: a model of size errs smoothly.
    let mut random = Random::new(&[seed, job.id as u64, size.index as u64]);
    let ends = [0; 2].map(|_| error * (2.0 * random.unit() - 1.0));
    let off = |gpus: u32| {
        let share = f64::from(gpus).ln() / f64::from(size.kind.gpus()).ln().max(1e-9);
        1.0 + ends[0] + (ends[1] - ends[0]) * share
    };
    let prediction = true_rate(job, application, view.rules, size, off(size.gpus))?;
    let known = &job.measured[size.index];
    if known.estimate.is_none() {
        return Some(prediction);
    }
    // Of the nearest count that was seen, what the fit says of it against what was predicted of it.
    let distance = |gpus: u32| (f64::from(gpus) / f64::from(size.gpus)).ln().abs();
    let nearest = known.seen.iter().map(|seen| seen.gpus).min_by(|a, b| distance(*a).total_cmp(&distance(*b)))?;
    let there = Size { gpus: nearest, ..size };
    let seen = corrected_rate(job, application, view.rules, there)?;
    if nearest == size.gpus {
        return Some(seen);
    }
    Some(prediction * seen / true_rate(job, application, view.rules, there, off(nearest))?)
}

/// Nominal speed of a GPU in terms of T4: peaks of its data sheet in single precision; 1 for what is not in the list.
fn nominal_speed(kind: &str) -> f64 {
    match kind {
        "rtx" => 13.45 / 8.1,
        "quad" => 16.3 / 8.1,
        "azure" => 15.7 / 8.1,
        "dgx" | "dgx-ext" => 19.5 / 8.1,
        _ => 1.0,
    }
}

/// Nodes for the chosen sizes.
fn on_nodes(view: &View<'_>, chosen: &[Option<(usize, u32)>]) -> Vec<Option<Allocation>> {
    let mut plan = vec![None; chosen.len()];
    for (index, kind) in view.cluster.kinds.iter().enumerate() {
        let here: Vec<usize> =
            (0..chosen.len()).filter(|at| chosen[*at].is_some_and(|(class, _)| class == index)).collect();
        let request = |at: &usize| {
            let gpus = chosen[*at].map_or(0, |chosen| chosen.1);
            let held = view.jobs[*at].allocation.as_ref().filter(|held| (held.kind, held.gpus()) == (index, gpus));
            let pinned = view.jobs[*at].restoring_seconds > 0.0;
            Request { gpus, holds: held.map(|held| held.nodes.clone()), pinned }
        };
        let requests: Vec<Request> = here.iter().map(request).collect();
        let free_moves = view.rules.moves == Moves::FreeWithinKind;
        let placed: Vec<Option<Nodes>> = place(kind.nodes, kind.gpus_per_node, &requests, free_moves);
        for (at, nodes) in here.into_iter().zip(placed) {
            plan[at] = nodes.map(|nodes| Allocation { kind: index, nodes });
        }
    }
    plan
}
