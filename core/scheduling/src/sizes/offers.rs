//! What each job could be given: a candidate per class and count.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_menu::{Candidate, ClassName, Fit, Shape};

use crate::cluster::Cluster;
use crate::elastic::{self, Facts, Offer, Running, Toll};
use crate::{Allocation, Class, Elasticity, Job, Mode, Rules, Standing, moves};

/// Seconds of work that a job is believed to have left where it says nothing of its total work, at least.
const LEAST_SECONDS: f64 = 600.0;

/// The share of what it has run that such a job is believed to go on for.
const GOES_ON: f64 = 0.3;

/// The share of the preferred candidate's rate that no other is believed to be above.
const NOT_PREFERRED: f64 = 0.999;

/// Samples per second.
fn rate_of(candidate: &Candidate, seen_seconds: Option<f64>) -> f64 {
    f64::from(candidate.batch.global) / seen_seconds.unwrap_or(candidate.predicted.step_seconds)
}

/// A job whose size is open, as the allocation sees it.
pub(super) struct Sized<'a> {
    pub(super) job: &'a Job,
    /// The shape behind each offer.
    pub(super) shapes: Vec<&'a Shape>,
    pub(super) elastic: elastic::Job,
}

/// What is the same for all jobs.
pub(super) struct Terms<'c, 'a> {
    cluster: &'c Cluster<'a>,
    rules: &'c Rules,
    now: Timestamp,
    /// Classes that have nodes, in order.
    pub(super) classes: Vec<&'a ClassName>,
    /// Devices of each class on open nodes that nobody outside the plan holds.
    pub(super) supply: Vec<u32>,
    /// For each class, devices of its nodes, the largest first.
    nodes: Vec<Vec<u32>>,
    /// What a second of a device of each class costs, by the objective.
    pub(super) charges: Vec<f64>,
    /// Devices of any class for each job that holds or wants some.
    equal_share: f64,
}

impl<'c, 'a> Terms<'c, 'a> {
    pub(super) fn new(cluster: &'c Cluster<'a>, rules: &'c Rules, now: Timestamp) -> Self {
        let (mut classes, mut supply, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        for (class, members) in cluster.classes_with_nodes() {
            let open = members.iter().map(|&index| cluster.nodes[index]).filter(|node| node.open);
            supply.push(open.map(|node| node.gpus.saturating_sub(node.gpus_held_by_others)).sum());
            let mut sizes: Vec<u32> = members.iter().map(|&index| cluster.nodes[index].gpus).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            nodes.push(sizes);
            classes.push(class);
        }
        let toll = |class: &&ClassName| {
            let class = cluster.class(class);
            let figure = |of: fn(&Class) -> Option<f64>| class.and_then(of).unwrap_or(0.0);
            let (money_per_hour, watts) = (figure(|class| class.price_per_hour), figure(|class| class.watts));
            Toll { money_per_hour, watts, grams_per_kwh: rules.grams_per_kwh }
        };
        let charge = |class: &&ClassName| rules.objective.charge(&toll(class), &rules.job_hour);
        let charges = classes.iter().map(charge).collect();
        let takes_part = |job: &&&Job| !matches!(job.standing, Standing::Held { .. } | Standing::Leaving(_));
        let jobs = cluster.jobs.iter().filter(takes_part).count().max(1);
        let equal_share = supply.iter().map(|gpus| f64::from(*gpus)).sum::<f64>() / jobs as f64;
        Self { cluster, rules, now, classes, supply, nodes, charges, equal_share }
    }

    pub(super) fn class(&self, class: &ClassName) -> Option<usize> {
        self.classes.binary_search(&class).ok()
    }

    /// A job that may be given a size now: one that waits, or one that runs and may be moved. `None` for all others.
    pub(super) fn sized(&self, job: &'a Job) -> Option<Sized<'a>> {
        let queue = self.cluster.queue(&job.queue)?;
        if queue.namespaces.as_ref().is_some_and(|admitted| !admitted.contains(&job.key.namespace)) {
            return None;
        }
        let held = match &job.standing {
            Standing::Waiting if job.mode != Mode::Off => None,
            Standing::Placed(held)
                if job.elasticity == Elasticity::Elastic
                    && moves::may_move(self.cluster, job, held, &self.rules.moves, self.now) =>
            {
                Some(held)
            }
            _ => return None,
        };
        let fits = |candidate: &&Candidate| {
            let shape = &candidate.shape;
            let class = self.class(&shape.class);
            candidate.fit == Fit::Fits
                && self.cluster.most(queue, &shape.class).is_none_or(|limit| shape.gpus() <= limit)
                && class.is_some_and(|class| {
                    let last = (shape.pods as usize).checked_sub(1).and_then(|at| self.nodes[class].get(at));
                    last.is_some_and(|gpus| *gpus >= shape.gpus_per_pod)
                })
        };
        // Nobody is given devices that it would leave idle, unless it cannot do otherwise, holds them already, or prefers them.
        let in_band = job.menu.candidates.iter().any(|candidate| candidate.in_band && fits(&candidate));
        let preferred = job.menu.candidates.iter().find(fits);
        let usable = job.menu.candidates.iter().filter(|candidate| {
            let is_held = held.is_some_and(|held| candidate.shape == held.shape);
            let is_preferred = preferred.is_some_and(|preferred| candidate.shape == preferred.shape);
            (candidate.in_band || !in_band || is_held || is_preferred) && fits(candidate)
        });
        let mut best: BTreeMap<(usize, u32), &'a Candidate> = BTreeMap::new();
        for candidate in usable {
            let Some(class) = self.class(&candidate.shape.class) else { continue };
            let slot = best.entry((class, candidate.shape.gpus())).or_insert(candidate);
            let (seconds, known) = (candidate.predicted.step_seconds, slot.predicted.step_seconds);
            let is_held = held.is_some_and(|held| candidate.shape == held.shape);
            if seconds < known && held.is_none_or(|held| slot.shape != held.shape) || is_held {
                *slot = candidate;
            }
        }
        let mut offers = Vec::with_capacity(best.len());
        let mut shapes = Vec::with_capacity(best.len());
        for ((class, gpus), candidate) in best {
            let seen = held.filter(|held| candidate.shape == held.shape).and_then(|held| held.step_seconds);
            let rate = rate_of(candidate, seen);
            // What a waiting job prefers is what its user asked for, or what was learned to be enough: nothing is better, and
            // only others' need is a reason for another size.
            let rate = match preferred.filter(|preferred| held.is_none() && preferred.shape != candidate.shape) {
                Some(preferred) => rate.min(rate_of(preferred, None) * NOT_PREFERRED),
                None => rate,
            };
            if rate.is_finite() && rate > 0.0 {
                offers.push(Offer { class, gpus, rate, now: true });
                shapes.push(&candidate.shape);
            }
        }
        let fastest = offers.iter().map(|offer| offer.rate).fold(0.0, f64::max);
        if fastest <= 0.0 {
            return None;
        }
        let running = held.and_then(|held| {
            let since = held.last_move.map_or(held.since, |last| last.max(held.since));
            Some(Running {
                class: self.class(&held.shape.class)?,
                gpus: held.shape.gpus(),
                since_seconds: self.now.duration_since(since).as_secs_f64().max(0.0),
                pinned: false,
            })
        });
        let batch =
            held.map(|held| held.batch.global).or(job.menu.candidates.first().map(|first| first.batch.global))?;
        let ran = held.map_or(0.0, |held| self.now.duration_since(held.since).as_secs_f64().max(0.0));
        let remaining = job.remaining_steps.map_or(fastest * (GOES_ON * ran).max(LEAST_SECONDS), |steps| {
            (steps as f64 * f64::from(batch)).max(fastest)
        });
        let elastic = elastic::Job {
            weight: self.rules.objective.weight(&self.facts(job, held, &offers, remaining)),
            remaining,
            restart_seconds: job.restart_seconds.max(0.0),
            running,
            known: true,
            offers,
        };
        Some(Sized { job, shapes, elastic })
    }

    /// What an objective looks at; `remaining` is in the unit of the offers' rates.
    fn facts(&self, job: &Job, held: Option<&Allocation>, offers: &[Offer], remaining: f64) -> Facts {
        let seconds_since = |then: Timestamp| self.now.duration_since(then).as_secs_f64().max(0.0);
        let fits = offers.iter().filter(|offer| f64::from(offer.gpus) <= self.equal_share);
        let share = fits.map(|offer| offer.rate).fold(0.0, f64::max);
        // Who needs more than its share would have its least size for a part of the time.
        let part = |offer: &Offer| offer.rate * self.equal_share / f64::from(offer.gpus);
        let share = if share > 0.0 { share } else { offers.iter().map(part).fold(f64::MIN_POSITIVE, f64::max) };
        let runs_as = |offer: &&Offer| {
            held.is_some_and(|held| {
                self.class(&held.shape.class) == Some(offer.class) && held.shape.gpus() == offer.gpus
            })
        };
        let rate = offers.iter().find(runs_as).map_or(share, |offer| offer.rate);
        let ran_seconds = held.map_or(0.0, |held| seconds_since(held.since));
        let waited_seconds = match held {
            Some(held) => held.since.duration_since(job.arrival).as_secs_f64().max(0.0),
            None => seconds_since(job.arrival),
        };
        Facts {
            weight: job.weight,
            waited_seconds,
            ran_seconds,
            remaining_seconds: remaining / rate,
            alone_seconds: ((ran_seconds * rate + remaining) / share).max(1.0),
            to_deadline_seconds: job.deadline.map(|deadline| deadline.duration_since(self.now).as_secs_f64()),
        }
    }
}
