//! What a job holds, with what that costs by the second.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_crds::AcceleratorNode;
use plimsoll_observe::{Objects, Planned, pod_name, window::is_fresh};
use plimsoll_scheduling::{Allocation, JobKey};
use plimsoll_sizing::ClassSpec;

/// What a job holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holding {
    /// The job's queue.
    pub(crate) queue: String,
    /// Which revision holds it.
    pub(crate) revision: u32,
    /// Class of its devices.
    pub(crate) class: String,
    /// How many.
    pub(crate) gpus: u32,
    /// When they were committed.
    pub(crate) since: Timestamp,
    /// What they draw: as their agents measure it, and the class's limit for those that nobody sees.
    pub(crate) watts: f64,
    /// What they cost an hour, together.
    pub(crate) price_per_hour: f64,
}

/// What all jobs hold.
pub(crate) fn holdings(
    objects: &Objects,
    classes: &[ClassSpec],
    jobs: &[Planned],
    now: Timestamp,
) -> BTreeMap<JobKey, Holding> {
    let agents: BTreeMap<&str, &AcceleratorNode> = objects
        .accelerator_nodes
        .iter()
        .filter_map(|agent| Some((agent.metadata.name.as_deref()?, agent.as_ref())))
        .collect();
    let of = |planned: &Planned| {
        let (key, held) = (planned.key(), planned.held()?);
        let class = classes.iter().find(|class| class.name == held.shape.class);
        let (seen, watts) = measured(&key, held, &agents, now);
        let gpus = held.shape.gpus();
        let unseen = f64::from(gpus.saturating_sub(seen));
        let holding = Holding {
            queue: planned.job.spec.queue_name.clone(),
            revision: held.revision,
            class: held.shape.class.to_string(),
            gpus,
            since: held.since,
            watts: watts + unseen * class.map_or(0.0, |class| class.watts),
            price_per_hour: f64::from(gpus) * class.and_then(|class| class.price_per_hour).unwrap_or(0.0),
        };
        Some((key, holding))
    };
    jobs.iter().filter_map(of).collect()
}

/// Devices of a job whose power was measured, and what they draw.
fn measured(key: &JobKey, held: &Allocation, agents: &BTreeMap<&str, &AcceleratorNode>, now: Timestamp) -> (u32, f64) {
    let (mut seen, mut watts) = (0, 0.0);
    for (index, node) in held.nodes.iter().enumerate() {
        let status = agents.get(node.as_str()).and_then(|agent| agent.status.as_ref());
        let Some(status) = status.filter(|status| is_fresh(status, now)) else { continue };
        let pod = pod_name(&key.name, held.revision, index);
        for device in &status.devices {
            let is_its = device.holder.as_ref().is_some_and(|by| by.namespace == key.namespace && by.pod == pod);
            let power = device.window.as_ref().and_then(|window| window.power_watts);
            if let Some(power) = power.filter(|watts| is_its && *watts >= 0) {
                seen += 1;
                watts += f64::from(power);
            }
        }
    }
    (seen, watts)
}
