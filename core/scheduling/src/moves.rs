//! Running jobs: who changes size, class, layout or batch.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use plimsoll_menu::{Candidate, ClassName};

use crate::amounts::Amounts;
use crate::backfill::{Ask, Backfill, run_seconds};
use crate::books::{Books, Footprint};
use crate::cluster::{Cluster, Usable};
use crate::gain::{self, Change};
use crate::namespace_quota::charges;
use crate::placement::{Gang, When};
use crate::waiter::Want;
use crate::{Action, Allocation, Job, JobKey, Mode, MoveRules, Standing};

/// Which moves are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Reach<'r, 'a> {
    /// Those that take nothing new: live changes, and gangs that fit into what they hold. They come before anything
    /// starts, so that what they give back can be promised to those who wait.
    WithinHeld,
    /// All others. They come after everything that waits had its turn, and take nothing that somebody still waits for.
    Anywhere {
        /// What somebody waits for.
        wanted: &'r BTreeSet<Want<'a>>,
    },
}

/// Decides moves, in the order of jobs' turns.
pub(crate) fn decide<'a>(
    cluster: &Cluster<'a>,
    books: &mut Books<'a>,
    rules: &MoveRules,
    now: Timestamp,
    reach: Reach<'_, 'a>,
    mut kept: Option<&mut Backfill<'a>>,
    actions: &mut BTreeMap<&'a JobKey, Action>,
) {
    for &job in &cluster.jobs {
        if let Standing::Placed(held) = &job.standing
            && !actions.contains_key(&job.key)
            && may_move(cluster, job, held, rules, now)
            && let Some(action) = improve(cluster, books, job, held, rules, reach, kept.as_deref_mut())
        {
            actions.insert(&job.key, action);
        }
    }
}

/// Whether a job may be moved at all now.
pub(crate) fn may_move(cluster: &Cluster<'_>, job: &Job, held: &Allocation, rules: &MoveRules, now: Timestamp) -> bool {
    let queue_limit = cluster.queue(&job.queue).and_then(|queue| queue.moves_per_job_hour);
    let per_hour = queue_limit.map_or(rules.per_job_hour, |limit| limit.min(rules.per_job_hour));
    let calm_since = held.last_move.map_or(held.since, |last| last.max(held.since));
    let cool_down = SignedDuration::try_from_secs_f64(rules.cool_down_seconds).unwrap_or(SignedDuration::MAX);
    rules.enabled
        && job.mode == Mode::Auto
        && held.running
        && held.observed
        && held.moves_last_hour < per_hour
        && now.duration_since(calm_since) >= cool_down
}

/// The most preferred candidate that it pays to go to and that has room; nothing below what runs already.
fn improve<'a>(
    cluster: &Cluster<'a>,
    books: &mut Books<'a>,
    job: &'a Job,
    held: &'a Allocation,
    rules: &MoveRules,
    reach: Reach<'_, 'a>,
    mut kept: Option<&mut Backfill<'a>>,
) -> Option<Action> {
    let queue = job.queue.as_str();
    let holds = Footprint::named(cluster, job, &held.shape, &held.nodes);
    let held_nodes: BTreeSet<usize> = holds.pods.keys().copied().collect();
    let low_activity = cluster.class(&held.shape.class).map_or(0.0, |class| class.line.low_activity);
    let mut usable = Usable::new(cluster, job);
    let aim = cluster.aim_of(&job.key);
    let grows = |candidate: &&Candidate| candidate.shape.gpus() > held.shape.gpus();
    let preferred = job.menu.candidates.iter().take_while(|candidate| !gain::is_current(candidate, held));
    // It grows to the size that it should have, preferred or not, and no further.
    let beyond =
        |candidate: &&Candidate| grows(candidate) && aim.is_some_and(|aim| candidate.shape.gpus() > aim.shape.gpus());
    let ways = aim.into_iter().filter(grows).chain(preferred.filter(|candidate| !beyond(candidate)));
    for candidate in ways {
        let Some(change) = gain::change(job, held, candidate) else { continue };
        let Some((cause, message)) = gain::worth(job, held, candidate, change, rules, low_activity) else { continue };
        if change == Change::Live {
            return Some(Action::LiveBatch { batch: candidate.batch, candidate: candidate.clone(), message });
        }
        // Its own devices count as free: it gives them back first.
        books.now.release(queue, &holds);
        books.future.release(queue, &holds);
        let nodes = room(cluster, books, (job, held, candidate), &mut usable, &held_nodes, kept.as_deref());
        books.now.charge(queue, &holds);
        books.future.charge(queue, &holds);
        let fits_what_it_holds = |nodes: &Vec<usize>| {
            candidate.shape.class == held.shape.class
                && candidate.shape.gpus_per_pod <= held.shape.gpus_per_pod
                && nodes.iter().all(|node| held_nodes.contains(node))
        };
        let takes = |nodes: &[usize]| Footprint::new(cluster, job, &candidate.shape, nodes.iter().copied());
        match (reach, nodes) {
            (Reach::WithinHeld, Some(nodes)) if !fits_what_it_holds(&nodes) => return None,
            // What is preferred may fit elsewhere, later in this cycle.
            (Reach::WithinHeld, None) => return None,
            (Reach::Anywhere { wanted }, Some(nodes))
                if is_wanted(wanted, &candidate.shape.class, job, takes(&nodes).counts_more_than(&holds))
                    && !fits_what_it_holds(&nodes) => {}
            (_, Some(nodes)) => {
                books.replace(cluster, job, &holds, &takes(&nodes));
                if let Some(kept) = kept.as_deref_mut()
                    && let Some(place) = cluster.tree.place(queue)
                {
                    let charges = charges(cluster, job, &candidate.shape);
                    let ask = Ask { job, candidate, place, usable: &[], charges: &charges };
                    kept.start(cluster, &ask, &nodes, job.restart_seconds.max(0.0));
                }
                let nodes = nodes.into_iter().map(|index| cluster.nodes[index].name.clone()).collect();
                return Some(Action::Move { candidate: candidate.clone(), nodes, cause, message });
            }
            (Reach::Anywhere { .. }, None) => {}
        }
    }
    None
}

/// Whether somebody waits for devices of a class that this job would take, or for what it would count `more` in its
/// namespace.
fn is_wanted(wanted: &BTreeSet<Want<'_>>, class: &ClassName, job: &Job, more: bool) -> bool {
    let (queue, namespace) = (job.queue.as_str(), job.key.namespace.as_str());
    let mut quotas = job.namespace_quotas.iter();
    wanted.contains(&Want::Devices(class))
        || wanted.contains(&Want::QueueQuota { queue, class })
        || more && quotas.any(|name| wanted.contains(&Want::NamespaceQuota { namespace, name }))
}

/// Nodes for a candidate, once the job has given back what it holds.
fn room<'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    (job, held, candidate): (&'a Job, &Allocation, &'a Candidate),
    usable: &mut Usable<'_, 'a>,
    holds: &BTreeSet<usize>,
    kept: Option<&Backfill<'a>>,
) -> Option<Vec<usize>> {
    let place = cluster.tree.place(&job.queue)?;
    let queue = cluster.tree.queue(place);
    let shape = &candidate.shape;
    let when = When::NowAndLater;
    // A queue that holds more than it may, because its quota was lowered, may always hold less.
    let takes_more = shape.class != held.shape.class || shape.gpus() > held.shape.gpus();
    if takes_more && !when.all(books, |ledger| ledger.quota_allows(queue, &shape.class, shape.gpus())) {
        return None;
    }
    let charges = charges(cluster, job, shape);
    if !when.all(books, |ledger| ledger.too_little(&charges).is_none()) {
        return None;
    }
    let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
    let usable = usable.of_class(&shape.class);
    let gang = |usable| Gang { pod, pods: shape.pods, near: &job.topology, usable, holds }.place(cluster, books, when);
    let Some(kept) = kept.filter(|kept| !kept.is_empty()) else { return gang(usable) };
    // What is kept for those who wait is theirs at its time: who moves must be gone by then, or use what is spare.
    let seconds = job.restart_seconds.max(0.0) + run_seconds(job, candidate);
    if takes_more && !kept.quota_allows(cluster, place, &shape.class, shape.gpus(), seconds) {
        return None;
    }
    gang(&kept.open_to(usable, pod, seconds))
}
