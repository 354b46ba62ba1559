//! Whether a plan is lawful: an inspector that shares no code with the planner, only the types.
//!
//! It counts everything again, slowly and plainly, and states laws instead of steps: nothing over-committed, gangs whole,
//! nobody moved against its will, every refusal unavoidable, nobody overtaken.

mod decisions;
mod fits;
mod moves;
mod namespace_quota;
mod near;
mod order;
mod preemption;
mod queues;
mod refusals;
mod reservations;
mod world;

use jiff::Timestamp;
use plimsoll_menu::ClassName;

use crate::{JobKey, Plan, Reason, Snapshot};
use moves::Wants;
use world::{Count, World};

/// A law that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A job has no decision, or several.
    #[error("{job} has {decisions} decisions instead of one")]
    NotDecidedOnce {
        /// Which job.
        job: JobKey,
        /// How many.
        decisions: usize,
    },
    /// A decision about a job that the snapshot does not know.
    #[error("{job} is decided on, but not in the snapshot")]
    UnknownJob {
        /// Which job.
        job: JobKey,
    },
    /// An action that does not go with where the job stands.
    #[error("{job} stands as {standing}, and cannot {action}")]
    WrongAction {
        /// Which job.
        job: JobKey,
        /// Where it stands.
        standing: &'static str,
        /// What was decided.
        action: &'static str,
    },
    /// A candidate that its menu does not offer.
    #[error("{job} gets a candidate that is not on its menu")]
    NotOnMenu {
        /// Which job.
        job: JobKey,
    },
    /// A gang without a node of its own for each pod.
    #[error("{job} has {pods} pods and {nodes} distinct nodes")]
    GangTorn {
        /// Which job.
        job: JobKey,
        /// Pods of the shape.
        pods: u32,
        /// Distinct nodes.
        nodes: usize,
    },
    /// A gang in more than one domain of the level that it requires.
    #[error("{job} must be in one {level}, and is not")]
    Apart {
        /// Which job.
        job: JobKey,
        /// The label key of the level.
        level: String,
    },
    /// A node that the job's pods may not use.
    #[error("{job} may not use node {node}: {why}")]
    NodeUnfit {
        /// Which job.
        job: JobKey,
        /// Which node.
        node: String,
        /// Why not.
        why: &'static str,
    },
    /// The plan puts more on a node than it offers.
    #[error("node {node} is promised {promised} of {offered} {resource}")]
    OverCommitted {
        /// Which node.
        node: String,
        /// Of what.
        resource: &'static str,
        /// What it is to hold.
        promised: i128,
        /// What it offers.
        offered: i128,
    },
    /// The plan gives a queue more than it may hold.
    #[error("queue {queue} is promised {promised} of {limit} {class} GPUs")]
    OverQuota {
        /// Which queue.
        queue: String,
        /// Of which class.
        class: ClassName,
        /// What it is to hold.
        promised: i128,
        /// What it may hold.
        limit: i128,
    },
    /// The plan gives pods of a namespace more than one of its ResourceQuotas allows.
    #[error("{job} gets pods with which ResourceQuota {quota} is promised {promised} of {hard} {resource}")]
    OverNamespaceQuota {
        /// Which job.
        job: JobKey,
        /// Which quota of its namespace.
        quota: String,
        /// Of what.
        resource: String,
        /// What pods of the namespace are to hold.
        promised: i128,
        /// What they may hold.
        hard: i128,
    },
    /// A job is started that its queue does not admit.
    #[error("{job} starts, but queue {queue} does not admit it")]
    NotAdmitted {
        /// Which job.
        job: JobKey,
        /// Its queue.
        queue: String,
    },
    /// A move that the job or the rules forbid.
    #[error("{job} may not be moved: {why}")]
    MoveForbidden {
        /// Which job.
        job: JobKey,
        /// What forbids it.
        why: &'static str,
    },
    /// A move counts more in a ResourceQuota that somebody waits for.
    #[error("{job} takes of ResourceQuota {quota}, which {waits} waits for")]
    MoveOvertakesInNamespace {
        /// Which job is moved.
        job: JobKey,
        /// Which job waits.
        waits: JobKey,
        /// Which quota of their namespace.
        quota: String,
    },
    /// A move takes devices of a class that somebody waits for.
    #[error("{job} is moved to {class} GPUs that {waits} waits for")]
    MoveOvertakes {
        /// Which job is moved.
        job: JobKey,
        /// Which job waits.
        waits: JobKey,
        /// Of which class.
        class: ClassName,
    },
    /// A reason that the numbers do not bear out.
    #[error("{job} waits as {said} instead of {expected}")]
    WrongReason {
        /// Which job.
        job: JobKey,
        /// The reason given.
        said: Reason,
        /// The reason that holds.
        expected: Reason,
    },
    /// Numbers that are not those of the cluster.
    #[error("{job} waits with {said} {what}, but it is {expected}")]
    WrongNumber {
        /// Which job.
        job: JobKey,
        /// Which number.
        what: &'static str,
        /// The number given.
        said: u32,
        /// The number that holds.
        expected: u32,
    },
    /// A job waits though it could start, and no job ahead of it is promised what it needs.
    #[error("{job} waits though {gpus} {class} GPUs could be had")]
    NeedlessWait {
        /// Which job.
        job: JobKey,
        /// Devices that it could have.
        gpus: u32,
        /// Of which class.
        class: ClassName,
    },
    /// A job waits for what is coming back, and a job behind it took what it needs besides.
    #[error("{job} waits for what is coming back, but jobs behind it took what it needs")]
    BrokenPromise {
        /// Which job.
        job: JobKey,
    },
    /// A job starts with less than the best that it could have.
    #[error("{job} starts with a less preferred candidate though {gpus} {class} GPUs could be had")]
    LessPreferred {
        /// Which job.
        job: JobKey,
        /// Devices that it could have.
        gpus: u32,
        /// Of which class.
        class: ClassName,
    },
    /// A job starts with a candidate that is not worth taking, or not possible.
    #[error("{job} starts with a candidate that it should not take")]
    NotWorthTaking {
        /// Which job.
        job: JobKey,
    },
    /// A job gives devices back for another though it need not, or a job waits for that in vain.
    #[error("{job} is part of a preemption that is not lawful: {why}")]
    PreemptionForbidden {
        /// Which job.
        job: JobKey,
        /// What forbids it.
        why: &'static str,
    },
    /// What is kept for a job cannot be had.
    #[error("the reservation of {job} is not lawful: {why}")]
    ReservationUnlawful {
        /// Which job.
        job: JobKey,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Every law that the plan breaks; empty when it is lawful.
pub fn check(snapshot: &Snapshot, plan: &Plan, now: Timestamp) -> Vec<Violation> {
    let mut violations = decisions::once_each(snapshot, plan);
    if !violations.is_empty() {
        // Nothing else can be counted.
        return violations;
    }
    let world = World::new(snapshot, plan, now);
    let (before, both) = (world.totals(|_, _| Count::Before), world.totals(|_, _| Count::Both));
    let wants = Wants::new(&world);
    for (job, action) in world.pairs() {
        violations.extend(decisions::goes_with_standing(job, action));
        violations.extend(decisions::gang_is_whole(&world, job, action));
        violations.extend(decisions::move_is_allowed(&world, &wants, job, action, now));
        violations.extend(namespace_quota::is_kept(&world, &both, job, action));
    }
    violations.extend(refusals::turns_were_right(&world));
    violations.extend(refusals::reasons_hold(&world));
    violations.extend(reservations::are_whole(&world));
    let end = reservations::once_all_left(&world);
    violations.extend(reservations::come_true(&world, &end));
    violations.extend(reservations::are_kept(&world));
    violations.extend(preemption::is_due(&world, &end));
    violations.extend(world.over_committed(&before, &both));
    violations.extend(world.queues.over(&before, &both));
    violations
}
