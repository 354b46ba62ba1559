//! Which candidates of its menu a waiting job may take, whatever is free now.

use jiff::Timestamp;
use plimsoll_menu::Candidate;

use crate::cluster::{Cluster, Usable};
use crate::namespace_quota::charges;
use crate::quota::{Place, exhausted};
use crate::words::{self, count};
use crate::{Elasticity, Job, Queue, Reason};

/// A job takes a less preferred candidate now rather than wait for the preferred one if its steps are at most this much
/// longer. The wait is unknown and a step is not: at twice the time, a job that would have waited for as long as it runs
/// loses nothing. A job that waits for better stays at the head of the line.
const WORTH_TAKING: f64 = 2.0;

/// What a waiting job may do.
pub(crate) enum Options<'a> {
    /// Take one of these, the most preferred first; never empty.
    Some {
        /// Its queue.
        queue: &'a Queue,
        /// That queue's place in the tree.
        place: Place,
        /// The one that it should run as; without such, the most preferred one that can run some day.
        preferred: &'a Candidate,
        /// All that it may take, `preferred` included.
        takeable: Vec<&'a Candidate>,
    },
    /// Nothing, until the job, its queue or the cluster changes.
    None {
        /// Why.
        reason: Reason,
        /// The candidate that shows it, if one does.
        candidate: Option<&'a Candidate>,
        /// One sentence with the numbers behind it.
        message: String,
    },
}

impl<'a> Options<'a> {
    pub(crate) fn of(cluster: &Cluster<'a>, job: &'a Job, usable: &mut Usable<'_, 'a>, now: Timestamp) -> Self {
        let none = |reason, message| Self::None { reason, candidate: None, message };
        let Some(place) = cluster.tree.place(&job.queue) else {
            return none(Reason::QueueMissing, format!("queue {} does not exist", job.queue));
        };
        let queue = cluster.tree.queue(place);
        let namespace = &job.key.namespace;
        if queue.namespaces.as_ref().is_some_and(|admitted| !admitted.contains(namespace)) {
            let message = format!("queue {} does not admit namespace {namespace}", queue.name);
            return none(Reason::QueueForbidden, message);
        }
        if let Some((queue, budget)) = exhausted(&cluster.tree, place, now) {
            return none(Reason::BudgetExhausted, words::budget(queue, budget));
        }
        if job.menu.candidates.is_empty() {
            let known = job.menu.rejected.first().map(|rejection| rejection.message.clone());
            let message = known.unwrap_or_else(|| "no size within its limits fits an allowed class".into());
            return none(Reason::NoFeasibleSize, message);
        }
        let mut obstacles = Vec::new();
        let mut possible = Vec::new();
        for candidate in &job.menu.candidates {
            match never(cluster, job, queue, candidate, usable) {
                Some((reason, message)) => obstacles.push((reason, candidate, message)),
                None => possible.push(candidate),
            }
        }
        // Who may grow later takes what it should have now. Who may not is bound to it for as long as it runs.
        let longest = possible.first().map_or(0.0, |first| first.predicted.step_seconds * WORTH_TAKING);
        let bearable =
            |aim: &&Candidate| job.elasticity == Elasticity::Elastic || aim.predicted.step_seconds <= longest;
        let aim = cluster.aim_of(&job.key).filter(bearable);
        if let Some(at) = aim.and_then(|aim| possible.iter().position(|other| *other == aim)) {
            // No more devices than it should have, or others lack them.
            let aim = possible.remove(at);
            possible.retain(|candidate| candidate.shape.gpus() <= aim.shape.gpus());
            possible.insert(0, aim);
        }
        if let Some(&preferred) = possible.first() {
            let longest = preferred.predicted.step_seconds * WORTH_TAKING;
            possible
                .retain(|candidate| std::ptr::eq(*candidate, preferred) || candidate.predicted.step_seconds <= longest);
            return Self::Some { queue, place, preferred, takeable: possible };
        }
        // The earliest reason in the list wins, and of those the most preferred candidate.
        match obstacles.into_iter().min_by_key(|(reason, ..)| *reason) {
            Some((reason, candidate, message)) => Self::None { reason, candidate: Some(candidate), message },
            None => none(Reason::NoFeasibleSize, "its menu is empty".into()),
        }
    }
}

/// Why a candidate can never run, if it cannot.
fn never<'a>(
    cluster: &Cluster<'a>,
    job: &Job,
    queue: &Queue,
    candidate: &'a Candidate,
    usable: &mut Usable<'_, 'a>,
) -> Option<(Reason, String)> {
    let shape = &candidate.shape;
    let class = &shape.class;
    match cluster.most(queue, class) {
        Some(0) => return Some((Reason::ExceedsQuota, format!("queue {} has no quota for class {class}", queue.name))),
        Some(limit) if shape.gpus() > limit => {
            let needs = count(shape.gpus(), &format!("{class} GPU"));
            return Some((Reason::ExceedsQuota, format!("needs {needs}; queue {} may hold {limit}", queue.name)));
        }
        _ => {}
    }
    let nodes = usable.that_could_hold(shape);
    if nodes < shape.pods {
        let all = count(cluster.gpus_of_class(class), &format!("{class} GPU"));
        let needs = words::gang(shape, "");
        let message = match &job.topology.required {
            Some(key) if !cluster.topology.knows(key) => {
                format!("needs {needs} in one {key}, which is no level of the cluster's topology; name one that is")
            }
            Some(key) => {
                format!("needs {needs} in one {key}; its pods may use {nodes} such nodes in one, in a cluster of {all}")
            }
            None => format!("needs {needs}; its pods may use {nodes} such nodes in a cluster of {all}"),
        };
        return Some((Reason::ExceedsCluster, message));
    }
    // Nothing but an increase of the quota helps, and that is awaited as any other change of it.
    let charges = charges(cluster, job, shape);
    let line = cluster.quotas.never(&charges)?;
    Some((Reason::WaitingForNamespaceQuota, words::over_namespace_quota(&cluster.quotas.lines[line], charges[&line])))
}
