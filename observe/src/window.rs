//! How busy a job's devices were, as the agents of its nodes saw it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use plimsoll_crds::{
    AcceleratorNode, AcceleratorNodeStatus,
    accelerator_node::{Device, Window},
    training_job::Allocation,
};
use plimsoll_scheduling::JobKey;

use crate::{allocation::positive, pod_name};

/// An agent's word that is older than this says nothing any more.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// Whether an agent's word is recent enough to be believed.
pub fn is_fresh(status: &AcceleratorNodeStatus, now: Timestamp) -> bool {
    status.observed_at.as_ref().is_some_and(|at| now.duration_since(at.0) <= STALE_AFTER)
}

/// Which windows count as evidence about a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRules {
    /// Seconds that every window must cover.
    pub required_seconds: u32,
    /// Seconds after the start of a revision's last pod that are not counted: loading, compiling, first steps.
    pub settle_seconds: u32,
}

/// How much of a revision could be seen, and what it did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Devices of the revision.
    pub devices: u32,
    /// Devices with a whole window of this revision.
    pub readable: u32,
    /// Mean SM activity over all devices, 0 to 1; `None` unless every one of them is readable.
    pub sm_activity: Option<f64>,
    /// Highest memory in use on any device, in bytes: what the allocator keeps, an upper bound of need.
    pub memory_used_max: Option<u64>,
    /// Seconds that the shortest of the readable windows covers.
    pub window_seconds: Option<u32>,
    /// The oldest word of an agent among the revision's nodes; `None` when one of them has said nothing.
    pub oldest_observed_at: Option<Timestamp>,
}

/// What the agents saw of a job's revision in force.
///
/// A window counts when the agent's word is fresh, the window began after the last of the revision's pods started (and
/// settled), and it covers the required time: a mean over some of the devices, or over another revision, is no evidence.
/// `agent` finds the agent's object of a node by its name, `pod` a pod of the job by its own.
pub fn coverage<'a>(
    (agent, pod): (impl Fn(&str) -> Option<&'a AcceleratorNode>, impl Fn(&str) -> Option<&'a Pod>),
    job: &JobKey,
    allocation: &Allocation,
    rules: WindowRules,
    now: Timestamp,
) -> Coverage {
    let devices = positive(allocation.gpus).unwrap_or(0);
    let mut coverage = Coverage { devices, ..Coverage::default() };
    let revision = u32::try_from(allocation.revision).unwrap_or(0);
    let pods: Vec<String> = (0..allocation.nodes.len()).map(|index| pod_name(&job.name, revision, index)).collect();
    let settled = started_at(&pods, pod)
        .and_then(|at| at.checked_add(SignedDuration::from_secs(rules.settle_seconds.into())).ok());

    let mut activity = 0.0;
    let mut silent = false;
    for (name, own) in allocation.nodes.iter().zip(&pods) {
        let status = agent(name).and_then(|node| node.status.as_ref());
        let observed = status.and_then(|s| s.observed_at.as_ref()).map(|at| at.0);
        silent |= observed.is_none();
        coverage.oldest_observed_at = coverage.oldest_observed_at.into_iter().chain(observed).min();
        for device in status.filter(|s| is_fresh(s, now)).into_iter().flat_map(|s| &s.devices) {
            let Some(window) = held_by(device, job, own) else { continue };
            coverage.memory_used_max =
                coverage.memory_used_max.max(window.memory_used_bytes.and_then(|b| b.try_into().ok()));
            let Some(permille) = settled.and_then(|settled| whole(window, settled, rules)) else { continue };
            let seconds = u32::try_from(window.seconds).unwrap_or(0);
            coverage.readable += 1;
            coverage.window_seconds = Some(coverage.window_seconds.map_or(seconds, |shortest| shortest.min(seconds)));
            activity += f64::from(permille) / 1000.0;
        }
    }
    if silent {
        coverage.oldest_observed_at = None;
    }
    if devices > 0 && coverage.readable == devices {
        coverage.sm_activity = Some(activity / f64::from(devices));
    }
    coverage
}

/// The window of a device that a pod of the job holds.
fn held_by<'a>(device: &'a Device, job: &JobKey, pod: &str) -> Option<&'a Window> {
    let holder = device.holder.as_ref()?;
    if holder.namespace == job.namespace && holder.pod == pod { device.window.as_ref() } else { None }
}

/// SM activity of a window, if it is one that counts.
fn whole(window: &Window, settled: Timestamp, rules: WindowRules) -> Option<i32> {
    let begins = window.start.as_ref()?.0;
    let covers = u32::try_from(window.seconds).is_ok_and(|seconds| seconds >= rules.required_seconds);
    if begins >= settled && covers { window.sm_activity_permille } else { None }
}

/// When the last container of these pods started; `None` while one of them has not.
fn started_at<'a>(pods: &[String], pod: impl Fn(&str) -> Option<&'a Pod>) -> Option<Timestamp> {
    pods.iter().map(|name| pod_started_at(pod(name)?)).try_fold(Timestamp::MIN, |latest, at| Some(latest.max(at?)))
}

fn pod_started_at(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers
        .iter()
        .map(|c| {
            let state = c.state.as_ref()?;
            let running = state.running.as_ref().and_then(|r| r.started_at.as_ref());
            let terminated = state.terminated.as_ref().and_then(|t| t.started_at.as_ref());
            running.or(terminated).map(|at| at.0)
        })
        .try_fold(Timestamp::MIN, |latest, at| Some(latest.max(at?)))
}
