//! Fixed rounds in virtual time.

use thiserror::Error;

use crate::cluster::{Allocation, Cluster};
use crate::job::Job;
use crate::outcome::{Ended, Outcome, Round};
use crate::policy::{Policy, View};
use crate::profile::{Application, Catalogue};
use crate::rules::{Moves, RestartCost, Rules};
use crate::sharing::paces;
use crate::table::ReadError;
use crate::workload::Submission;

/// Virtual time after which a simulation is given up, in seconds: a policy starves somebody.
const LONGEST_SECONDS: f64 = 2000.0 * 3600.0;

/// Why a simulation has no outcome.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SimulationError {
    /// A job cannot be simulated.
    #[error(transparent)]
    Unprofiled(#[from] ReadError),
    /// A plan gives a node to more than it has.
    #[error("failed to follow {policy} at {now_seconds} s: it gives {given} of {free} GPUs of node {node} of {kind}")]
    Overcommitted {
        /// The policy.
        policy: String,
        /// Virtual time.
        now_seconds: f64,
        /// Kind of node.
        kind: String,
        /// The node.
        node: u32,
        /// GPUs given.
        given: u32,
        /// GPUs there are.
        free: u32,
    },
    /// A policy that resizes jobs met one of a fixed size.
    #[error(
        "failed to simulate under {policy}: {job} has a fixed size, and that policy resizes jobs; choose one that does not"
    )]
    Fixed {
        /// The policy.
        policy: String,
        /// The job.
        job: String,
    },
    /// Jobs never end.
    #[error("failed to end under {policy}: {left} jobs still wait or run after {hours} hours, {first} among them")]
    Starved {
        /// The policy.
        policy: String,
        /// Jobs that have not ended.
        left: usize,
        /// One of them.
        first: String,
        /// Virtual hours.
        hours: f64,
    },
}

/// How far a simulation is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Virtual time, in seconds.
    pub now_seconds: f64,
    /// Jobs that have ended.
    pub ended: usize,
    /// All jobs.
    pub jobs: usize,
}

/// [`simulate_watched`], with nobody watching.
///
/// # Errors
///
/// As [`simulate_watched`].
pub fn simulate(
    workload: &[Submission],
    cluster: &Cluster,
    catalogue: &Catalogue,
    policy: &mut dyn Policy,
    rules: &Rules,
) -> Result<Outcome, SimulationError> {
    simulate_watched(workload, cluster, catalogue, policy, rules, &mut |_| {})
}

/// Runs a workload under a policy to its end, and tells after each round how far it is.
///
/// Each round advances every job to the boundary, asks the policy with the jobs that were submitted and have not ended, and gives
/// out what it plans (rule 1). With [`Rules::events_seconds`] the boundaries are that close, and the policy is asked when somebody
/// came or ended, or its round is over.
///
/// # Errors
///
/// When a job's application was not profiled, a policy cannot run a job of a fixed size, a plan over-commits a node, or jobs do not end
/// within 2000 hours.
pub fn simulate_watched(
    workload: &[Submission],
    cluster: &Cluster,
    catalogue: &Catalogue,
    policy: &mut dyn Policy,
    rules: &Rules,
    watch: &mut dyn FnMut(Progress),
) -> Result<Outcome, SimulationError> {
    let mut jobs = Vec::new();
    for (id, submission) in workload.iter().enumerate() {
        let unprofiled = |kind: &str| ReadError::Unprofiled {
            what: "the workload".to_owned(),
            application: submission.application.clone(),
            kind: kind.to_owned(),
        };
        if policy.elastic() && submission.steps.is_some() {
            return Err(SimulationError::Fixed { policy: policy.name().to_owned(), job: submission.name.clone() });
        }
        let application = catalogue.find(&submission.application).ok_or_else(|| unprofiled(""))?;
        let steps = &catalogue.applications()[application].steps;
        if steps.iter().all(Option::is_none) {
            return Err(unprofiled(&cluster.to_string()).into());
        }
        jobs.push(Job::new(id, submission.clone(), application, cluster.kinds.len(), policy.elastic()));
    }
    let round_seconds = policy.round_seconds();
    let seconds = rules.events_seconds.map_or(round_seconds, |events| events.min(round_seconds));
    let mut rounds = Vec::new();
    let mut now = 0.0;
    let mut asked_at = f64::NEG_INFINITY;
    let mut asked_with: Vec<usize> = Vec::new();
    while jobs.iter().any(|job| job.completed_at.is_none()) {
        for job in &mut jobs {
            if job.completed_at.is_none() {
                job.advance(now, seconds, &catalogue.applications()[job.application], rules);
            }
            if job.completed_at.is_some() {
                job.allocation = None;
            }
        }
        now += seconds;
        let ended = jobs.iter().filter(|job| job.completed_at.is_some()).count();
        watch(Progress { now_seconds: now, ended, jobs: jobs.len() });
        let active: Vec<usize> = (0..jobs.len()).filter(|at| jobs[*at].is_active(now)).collect();
        if active.is_empty() {
            continue;
        }
        if now - asked_at < round_seconds && active == asked_with {
            rounds.push(round(&jobs, &active, now, seconds, cluster));
            continue;
        }
        asked_at = now;
        asked_with.clone_from(&active);
        let view = View { now, cluster, catalogue, rules, jobs: active.iter().map(|at| &jobs[*at]).collect() };
        let plan = policy.plan(&view);
        let pairs = if policy.packs() { pairs(&plan) } else { Vec::new() };
        lawful(&plan, &pairs, cluster, policy.name(), now)?;
        for (at, allocation) in active.iter().zip(plan) {
            apply(&mut jobs[*at], allocation, now, catalogue, rules);
            jobs[*at].pace = None;
        }
        for (one, other) in pairs {
            pack(&mut jobs, [active[one], active[other]], catalogue, rules);
        }
        rounds.push(round(&jobs, &active, now, seconds, cluster));
        if now > LONGEST_SECONDS {
            let left: Vec<&Job> = jobs.iter().filter(|job| job.completed_at.is_none()).collect();
            let first = left.first().map(|job| job.submission.name.clone()).unwrap_or_default();
            let hours = LONGEST_SECONDS / 3600.0;
            return Err(SimulationError::Starved { policy: policy.name().to_owned(), left: left.len(), first, hours });
        }
    }
    let jobs = jobs.into_iter().map(Ended::of).collect();
    Ok(Outcome { policy: policy.name().to_owned(), jobs, rounds })
}

/// Seconds that a start holds GPUs without progress.
pub(crate) fn full_restart_seconds(application: &Application, rules: &Rules) -> f64 {
    let restoring = match rules.restart {
        RestartCost::ByApplication => application.times.restart_seconds,
        RestartCost::Flat(seconds) => seconds,
    };
    restoring + rules.world.startup_seconds
}

/// Gives a job what was planned for it.
fn apply(job: &mut Job, planned: Option<Allocation>, now: f64, catalogue: &Catalogue, rules: &Rules) {
    if job.allocation == planned {
        return;
    }
    let application = &catalogue.applications()[job.application];
    let full = full_restart_seconds(application, rules);
    let running = job.allocation.is_some();
    let free = rules.moves == Moves::FreeWithinKind && same_shape(job.allocation.as_ref(), planned.as_ref());
    let cost = if running { full * rules.resize_share } else { full };
    let paid = (!free).then_some(cost);
    job.reallocate(planned, paid, now, application, rules);
}

/// Whether two allocations are of one kind with the same GPUs on each node, in the order of the ring (rule 10).
pub(crate) fn same_shape(one: Option<&Allocation>, other: Option<&Allocation>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    one.kind == other.kind && one.shape() == other.shape()
}

/// Jobs of a plan that are given the very same GPUs, two and two, as indices.
fn pairs(plan: &[Option<Allocation>]) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (at, allocation) in plan.iter().enumerate().filter(|(_, allocation)| allocation.is_some()) {
        let open = |other: &usize| {
            plan[*other] == *allocation && pairs.iter().all(|pair| pair.1 != *other && pair.0 != *other)
        };
        if let Some(other) = (0..at).find(open) {
            pairs.push((other, at));
        }
    }
    pairs
}

/// Slows two jobs down to what they are beside each other; to half where nothing is known of the two.
fn pack(jobs: &mut [Job], pair: [usize; 2], catalogue: &Catalogue, rules: &Rules) {
    let [one, other] = pair.map(|at| (&jobs[at], &catalogue.applications()[jobs[at].application]));
    let Some(held) = &one.0.allocation else { return };
    let known = paces(one, other, held.kind, &held.shape(), rules).unwrap_or([0.5; 2]);
    for (at, pace) in pair.into_iter().zip(known) {
        jobs[at].pace = Some(pace);
    }
}

/// Whether every node gives what it has; of a pair on the same GPUs one counts.
fn lawful(
    plan: &[Option<Allocation>],
    pairs: &[(usize, usize)],
    cluster: &Cluster,
    policy: &str,
    now_seconds: f64,
) -> Result<(), SimulationError> {
    let mut given: Vec<Vec<u32>> = cluster.kinds.iter().map(|kind| vec![0; kind.nodes as usize]).collect();
    let alone = |(at, _): &(usize, &Option<Allocation>)| pairs.iter().all(|pair| pair.1 != *at);
    for allocation in plan.iter().enumerate().filter(alone).filter_map(|(_, allocation)| allocation.as_ref()) {
        for (node, gpus) in &allocation.nodes {
            given[allocation.kind][*node as usize] += gpus;
        }
    }
    for (kind, nodes) in cluster.kinds.iter().zip(&given) {
        if let Some(node) = nodes.iter().position(|given| *given > kind.gpus_per_node) {
            return Err(SimulationError::Overcommitted {
                policy: policy.to_owned(),
                now_seconds,
                kind: kind.name.clone(),
                node: node as u32,
                given: nodes[node],
                free: kind.gpus_per_node,
            });
        }
    }
    Ok(())
}

fn round(jobs: &[Job], active: &[usize], at_seconds: f64, seconds: f64, cluster: &Cluster) -> Round {
    let mut held = vec![0; cluster.kinds.len()];
    let mut restoring = 0;
    let mut shared: Vec<&Allocation> = Vec::new();
    for job in active.iter().map(|at| &jobs[*at]) {
        let Some(allocation) = &job.allocation else { continue };
        // Of a pair the first counts.
        if job.pace.is_some() {
            if shared.contains(&allocation) {
                continue;
            }
            shared.push(allocation);
        }
        held[allocation.kind] += allocation.gpus();
        if job.restoring_seconds > 0.0 {
            restoring += allocation.gpus();
        }
    }
    let waiting = active.iter().filter(|at| jobs[**at].allocation.is_none()).count();
    Round { at_seconds, seconds, active: active.len(), waiting, held, restoring }
}
