//! Plimsoll's planner: backward prices, then a knapsack (`plimsoll_scheduling::elastic`).

mod aim;
mod left;
mod nodes;
mod rates;

use std::collections::BTreeMap;

use plimsoll_scheduling::elastic::{
    Answer, Job as Asked, Memory, Objective, Offer, Running, Settings, allocate_charged, reallocate,
};

use super::{Policy, View};
use crate::beliefs::{Size, most_gpus};
use crate::cache::Cache;
use crate::cluster::Allocation;
use crate::engine::full_restart_seconds;
use crate::job::Job;
pub use aim::dollars;
use left::Works;
use nodes::on_nodes;
use rates::{measured, predicted, sizes};

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

/// Seconds of work that a running job is believed to have left at least.
const LEAST_SECONDS: f64 = 60.0;
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
    untried: f64,
    objective: Objective,
    error: f64,
    seed: u64,
    rates: Cache,
    works: Works,
    seen: BTreeMap<usize, usize>,
    planned_at: f64,
    /// Where events between full allocations are planned by themselves: what is remembered, and the jobs in their places.
    events: Option<Remembered>,
}

/// What is kept from a full allocation for events.
#[derive(Debug, Default)]
struct Remembered {
    memory: Option<Memory>,
    places: Vec<usize>,
    /// Whether an event was planned since.
    stale: bool,
}

impl Plimsoll {
    /// With the settings for what it is told. Predicted step times are off by a factor of up to `1 ± error`, drawn by `seed`
    /// for each job and kind: one at one GPU, one at all GPUs, and between them in proportion to the logarithm of the count.
    pub fn new(information: Information, error: f64, seed: u64) -> Self {
        let (settings, every_seconds, untried, letter) = match information {
            Information::Measured => (Settings::WORK_UNKNOWN, 180.0, 1.0, "a"),
            Information::Work => (Settings::WORK_KNOWN, 120.0, 0.9, "b"),
            Information::Speed => (Settings::SPEED_KNOWN, 60.0, 0.85, "c"),
        };
        Self {
            name: format!("plimsoll-{letter}"),
            information,
            settings,
            every_seconds,
            untried,
            objective: Objective::Goodput,
            error,
            seed,
            rates: Cache::default(),
            works: Works::default(),
            seen: BTreeMap::new(),
            planned_at: f64::NEG_INFINITY,
            events: None,
        }
    }

    /// With other settings, and a plan every so many seconds where there is no news.
    pub fn with(mut self, settings: Settings, every_seconds: f64) -> Self {
        self.settings = settings;
        self.every_seconds = every_seconds;
        self
    }

    /// Run for something else than completion time alone.
    pub fn aiming_at(mut self, objective: Objective) -> Self {
        self.objective = objective;
        self.name = format!("{}-{objective:?}", self.name).to_lowercase();
        self
    }

    /// Events within a round of a full allocation change only who changed and who waits.
    pub fn incremental(mut self) -> Self {
        self.events = Some(Remembered::default());
        self.name.push_str("-incremental");
        self
    }

    /// Who came, left or measured a new size since the last plan.
    fn news(&mut self, view: &View<'_>) -> Vec<usize> {
        let now: BTreeMap<usize, usize> = view.jobs.iter().map(|job| (job.id, sizes_seen(job))).collect();
        let came = now.iter().filter(|(id, sizes)| self.seen.get(id) != Some(sizes)).map(|(id, _)| *id);
        let left = self.seen.keys().filter(|id| !now.contains_key(id)).copied();
        let news = came.chain(left).collect();
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
        let news = self.news(view);
        let stale = self.events.as_ref().is_some_and(|events| events.stale);
        let early = view.now - self.planned_at < self.round_seconds();
        if news.is_empty() && (early || !stale) && view.now - self.planned_at < self.every_seconds {
            return view.jobs.iter().map(|job| job.allocation.clone()).collect();
        }
        self.rates.keep(&view.jobs);
        let active: Vec<usize> = view.jobs.iter().map(|job| job.id).collect();
        self.works.keep(&active);
        let speeds: Vec<f64> = view.cluster.kinds.iter().map(|kind| nominal_speed(&kind.name)).collect();
        let asked: Vec<Asked> = view.jobs.iter().map(|job| self.ask(view, job, &speeds)).collect();
        let capacity: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let charges = aim::charges(self.objective, &view.cluster.kinds);
        let remembered = self.events.as_mut().filter(|events| early && events.memory.is_some());
        let choices = match remembered {
            Some(events) => events.plan(&capacity, &charges, &active, &asked, &news, &self.settings),
            None => {
                self.planned_at = view.now;
                let answer = allocate_charged(&capacity, &speeds, &charges, &asked, &self.settings);
                if let Some(events) = &mut self.events {
                    *events = Remembered { memory: Some(Memory::from(&answer)), places: active, stale: false };
                }
                answer.choices
            }
        };
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

impl Remembered {
    /// An event: the jobs in their places, whoever left without offers, whoever came at the end.
    fn plan(
        &mut self,
        capacity: &[u32],
        charges: &[f64],
        active: &[usize],
        asked: &[Asked],
        news: &[usize],
        settings: &Settings,
    ) -> Vec<Option<usize>> {
        let Some(memory) = &mut self.memory else { return vec![None; asked.len()] };
        let came: Vec<usize> = active.iter().filter(|id| !self.places.contains(id)).copied().collect();
        self.places.extend(came);
        let gone =
            Asked { weight: 1.0, remaining: 1.0, restart_seconds: 0.0, running: None, known: true, offers: Vec::new() };
        let at = |id: &usize| active.iter().position(|other| other == id);
        let jobs: Vec<Asked> =
            self.places.iter().map(|id| at(id).map_or_else(|| gone.clone(), |at| asked[at].clone())).collect();
        let changed: Vec<usize> = (0..self.places.len()).filter(|at| news.contains(&self.places[*at])).collect();
        let Answer { choices, .. } = reallocate(memory, capacity, charges, &jobs, &changed, settings);
        self.stale = true;
        let place = |id: &usize| self.places.iter().position(|other| other == id);
        active.iter().map(|id| choices[place(id)?]).collect()
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
            // The best of several beliefs is most likely one that is too good: what rests on no measurement is held back.
            let doubtful = tried && job.measured[size.index].seen.is_empty();
            let rate = if doubtful { self.untried * rate } else { rate };
            Some(Offer { class: size.index, gpus: size.gpus, rate, now: size.gpus <= cap })
        };
        let offers: Vec<Offer> = sizes.iter().zip(rates).filter_map(offer).collect();
        let held = job.allocation.as_ref().map(|held| (held.kind, held.gpus()));
        let now_rate = offers.iter().find(|offer| held == Some((offer.class, offer.gpus))).map(|offer| offer.rate);
        let one = offers.iter().filter(|offer| offer.gpus == 1).map(|offer| offer.rate).fold(0.0, f64::max);
        let remaining = match self.information {
            _ if !known => GENERIC_SECONDS,
            Information::Measured if one > 0.0 => {
                let left = one * self.works.left(job.id, job.progress / one);
                left.max(LEAST_SECONDS * now_rate.unwrap_or(one))
            }
            Information::Measured => GENERIC_SECONDS * now_rate.unwrap_or(1.0),
            _ => application.runs.total() - job.progress,
        };
        let remaining = remaining.max(1e-9);
        let running = held.map(|(class, gpus)| Running {
            class,
            gpus,
            since_seconds: view.now - job.changed_at,
            pinned: job.restoring_seconds > 0.0,
        });
        let restart_seconds = full_restart_seconds(application, view.rules)
            * if running.is_some() { view.rules.resize_share } else { 1.0 };
        let rates = offers.iter().map(|offer| (offer.gpus, offer.rate));
        let weight = aim::weight(self.objective, view, job, remaining, rates);
        Asked { weight, remaining, restart_seconds, running, known, offers }
    }
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
