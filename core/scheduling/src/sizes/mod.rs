//! Which size each job should have: all jobs of a queue together, within what the queue is allotted.
//!
//! ```text
//! queues ─▶ allotment: devices of each class for each queue, by nominal quotas, weights and what its jobs could use
//! menus  ─▶ offers: one candidate per class and count, in band where there is one
//! both   ─▶ elastic::allocate ─▶ a size for each job
//! ```
//!
//! A size is a wish: it says which candidate of its menu a waiting job asks for first, and to which one a running job may be
//! brought. Quotas, nodes and turns have the last word, so nothing here can over-commit anything.
//!
//! Sizes are chosen anew once a round. Until the next, what was chosen stays, and only who came since is given a size, out of
//! what the others leave.

mod allotment;
mod offers;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cluster::Cluster;
use crate::elastic::{Phantom, Settings, allocate_charged};
use crate::{Size, Sizes, Snapshot, Standing, Table, Worth};

use allotment::{Demand, allot};
use offers::{Sized, Terms};

/// Work is declared and speeds are predicted. Nothing is held back for jobs that may still come: what is idle goes to whoever is
/// faster with it, and is given up again when somebody waits.
const SETTINGS: Settings = Settings { phantom: Phantom { mass: 0.0, power: 1.0 }, ..Settings::SPEED_KNOWN };

/// Devices of each queue and class, by the queue's name and the index of the class.
type ByQueue<'a> = BTreeMap<(&'a str, usize), u32>;

/// Chooses sizes, or goes on with those that were chosen last.
pub(crate) fn choose<'a>(snapshot: &'a Snapshot, cluster: &Cluster<'a>, now: Timestamp) -> Sizes {
    let rules = &snapshot.rules;
    let seconds_since = |then: Timestamp| now.duration_since(then).as_secs_f64();
    let round = snapshot.sizes.as_ref().filter(|last| seconds_since(last.chosen_at) < rules.round_seconds);
    let terms = Terms::new(cluster, rules, now);
    let mut chosen: Table<Size> = Table::default();
    let mut kept: ByQueue<'a> = BTreeMap::new();
    let mut open: BTreeMap<&'a str, Vec<Sized<'a>>> = BTreeMap::new();
    for &job in &cluster.jobs {
        let known = round.and_then(|round| round.jobs.get(&job.key));
        let keeps = match (terms.sized(job), known, &job.standing) {
            (Some(_), Some(size), _) => {
                chosen.put(size.clone());
                size.shape.as_ref()
            }
            (Some(sized), None, _) => {
                open.entry(&job.queue).or_default().push(sized);
                None
            }
            (None, _, Standing::Placed(held)) => Some(&held.shape),
            (None, _, Standing::Moving { to, .. }) => Some(&to.shape),
            (None, _, Standing::Held { .. } | Standing::Waiting | Standing::Leaving(_)) => None,
        };
        if let Some(shape) = keeps
            && let Some(class) = terms.class(&shape.class)
        {
            *kept.entry((&job.queue, class)).or_default() += shape.gpus();
        }
    }
    let allotted = allotted(cluster, &terms, &kept, &open);
    let mut worth = round.map_or(Worth::default(), |round| round.worth);
    for (queue, jobs) in open {
        let of = |what: &ByQueue<'a>, class: usize| what.get(&(queue, class)).copied().unwrap_or(0);
        let classes = 0..terms.classes.len();
        let mut capacity: Vec<u32> =
            classes.map(|class| of(&allotted, class).saturating_sub(of(&kept, class))).collect();
        // Higher priorities choose first: a job of a lower one is never worth more.
        for tier in tiers(&jobs) {
            let elastic: Vec<_> = tier.iter().map(|sized| sized.elastic.clone()).collect();
            let speeds = vec![1.0; capacity.len()];
            let answer = allocate_charged(&capacity, &speeds, &terms.charges, &elastic, &SETTINGS);
            if round.is_none() {
                worth = Worth { value: worth.value + answer.worth, bound: worth.bound + answer.bound };
            }
            for (sized, choice) in tier.iter().zip(answer.choices) {
                let shape = choice.map(|at| sized.shapes[at].clone());
                if let Some(offer) = choice.map(|at| sized.elastic.offers[at]) {
                    capacity[offer.class] = capacity[offer.class].saturating_sub(offer.gpus);
                }
                chosen.put(Size { job: sized.job.key.clone(), shape });
            }
        }
    }
    Sizes { chosen_at: round.map_or(now, |round| round.chosen_at), jobs: chosen, worth }
}

/// Jobs by priority, the highest first.
fn tiers<'s, 'a>(jobs: &'s [Sized<'a>]) -> impl Iterator<Item = Vec<&'s Sized<'a>>> {
    let mut tiers: BTreeMap<Reverse<i32>, Vec<&Sized<'a>>> = BTreeMap::new();
    for sized in jobs {
        tiers.entry(Reverse(sized.job.priority)).or_default().push(sized);
    }
    tiers.into_values()
}

/// What the jobs of each queue may use together, with what they keep.
fn allotted<'a>(
    cluster: &Cluster<'a>,
    terms: &Terms<'_, 'a>,
    kept: &ByQueue<'a>,
    open: &BTreeMap<&'a str, Vec<Sized<'a>>>,
) -> ByQueue<'a> {
    let mut allotted = BTreeMap::new();
    for (class, name) in terms.classes.iter().enumerate() {
        let mut demands: BTreeMap<&str, Demand> = BTreeMap::new();
        for (&(queue, _), &gpus) in kept.iter().filter(|((_, of), _)| *of == class) {
            demands.insert(queue, Demand { floor: gpus, most: gpus });
        }
        for (&queue, jobs) in open {
            let most = |sized: &Sized<'a>| {
                let offers = sized.elastic.offers.iter().filter(|offer| offer.class == class);
                offers.map(|offer| offer.gpus).max().unwrap_or(0)
            };
            let demand = demands.entry(queue).or_default();
            demand.most = jobs.iter().map(most).fold(demand.most, u32::saturating_add);
        }
        let given = allot(&cluster.tree, name, terms.supply[class], &demands);
        allotted.extend(given.into_iter().map(|(queue, gpus)| ((queue, class), gpus)));
    }
    allotted
}
