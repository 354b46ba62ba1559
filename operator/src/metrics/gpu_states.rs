//! Every device of the cluster in exactly one of seven states. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use plimsoll_crds::accelerator_node::{Device, Window};
use plimsoll_crds::{AcceleratorNode, AcceleratorNodeStatus};
use plimsoll_observe::requests::Requests;
use plimsoll_observe::window::is_fresh;
use plimsoll_scheduling::{JobKey, Snapshot, Standing};

use crate::world::World;

/// SM activity up to which a device counts as idle, in thousandths.
const IDLE_PERMILLE: i32 = 5;

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GpuState {
    /// It exists and nobody can have it.
    Unavailable,
    /// Nobody holds it.
    Free,
    /// It is held and does nothing.
    HeldIdle,
    /// It is held and used below the load line.
    HeldUnder,
    /// It is held and used within the band.
    HeldInBand,
    /// It is held and loaded past the memory line.
    HeldOver,
    /// It is held and cannot be seen.
    HeldUnknown,
}

impl GpuState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Unavailable,
        Self::Free,
        Self::HeldIdle,
        Self::HeldUnder,
        Self::HeldInBand,
        Self::HeldOver,
        Self::HeldUnknown,
    ];

    /// The word as it stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Free => "free",
            Self::HeldIdle => "held_idle",
            Self::HeldUnder => "held_under",
            Self::HeldInBand => "held_in_band",
            Self::HeldOver => "held_over",
            Self::HeldUnknown => "held_unknown",
        }
    }
}

/// Devices by class and state. For each class the sum is the count of its devices.
pub type GpuCounts = BTreeMap<(String, GpuState), u32>;

/// Counts every device of every node with a class. `over` says whether a job is loaded past the memory line.
pub fn count(world: &World, snapshot: &Snapshot, over: &dyn Fn(&JobKey) -> bool, now: Timestamp) -> GpuCounts {
    let mut counts = GpuCounts::new();
    for class in snapshot.classes.iter() {
        for state in GpuState::ALL {
            counts.insert((class.name.to_string(), state), 0);
        }
    }
    let objects: BTreeMap<String, &Node> =
        world.objects.nodes.iter().map(|node| (node.name_any(), node.as_ref())).collect();
    let agents: BTreeMap<&str, &AcceleratorNode> = world
        .objects
        .accelerator_nodes
        .iter()
        .filter_map(|agent| Some((agent.metadata.name.as_deref()?, agent.as_ref())))
        .collect();
    let places = places(snapshot);
    for node in snapshot.nodes.iter() {
        let class = snapshot.classes.get(&node.class);
        let Some(class) = class else { continue };
        let mut add = |state, n: u32| *counts.entry((node.class.to_string(), state)).or_default() += n;
        let object = objects.get(&node.name);
        let agent = agents.get(node.name.as_str()).and_then(|agent| agent.status.as_ref());
        let here = places.get(node.name.as_str()).map_or(&[][..], Vec::as_slice);
        let agent = agent.filter(|status| is_fresh(status, now));
        let total = object.map_or(0, |object| capacity(object, &class.resource)).max(node.gpus);
        let mut held = 0;
        for (key, pod, gpus) in here {
            let gpus = (*gpus).min(total - held);
            held += gpus;
            let past = over(key);
            let low = (class.line.low_activity * 1000.0) as i32;
            share(agent, gpus, |d| is_held_by(d, key, pod), |w| state_of(w, low, past), &mut add);
        }
        let others = node.gpus_held_by_others.min(total - held);
        held += others;
        let low = (class.line.low_activity * 1000.0) as i32;
        let by_others =
            |device: &Device| device.holder.is_some() && !here.iter().any(|(key, pod, _)| is_held_by(device, key, pod));
        share(agent, others, by_others, |w| state_of(w, low, false), &mut add);
        let free = if node.open { node.gpus.saturating_sub(held).min(total - held) } else { 0 };
        add(GpuState::Free, free);
        add(GpuState::Unavailable, total - held - free);
    }
    counts
}

/// Shares `gpus` held devices out: those that the agent sees by what they do, the rest as unknown.
fn share(
    agent: Option<&AcceleratorNodeStatus>,
    gpus: u32,
    mine: impl Fn(&Device) -> bool,
    state: impl Fn(Option<&Window>) -> GpuState,
    add: &mut impl FnMut(GpuState, u32),
) {
    let seen = agent.into_iter().flat_map(|status| &status.devices).filter(|device| mine(device));
    let mut left = gpus;
    for device in seen.take(gpus as usize) {
        add(state(device.window.as_ref()), 1);
        left -= 1;
    }
    add(GpuState::HeldUnknown, left);
}

fn state_of(window: Option<&Window>, low: i32, over: bool) -> GpuState {
    if over {
        return GpuState::HeldOver;
    }
    let Some((window, activity)) = window.and_then(|w| Some((w, w.sm_activity_permille?))) else {
        return GpuState::HeldUnknown;
    };
    match activity {
        a if a <= IDLE_PERMILLE && window.busy_percent.unwrap_or(0) < 1 => GpuState::HeldIdle,
        a if a < low => GpuState::HeldUnder,
        _ => GpuState::HeldInBand,
    }
}

/// A pod of the plan: its job, its name and its devices.
type Place<'a> = (&'a JobKey, String, u32);

/// The pods of the plan, by node.
fn places(snapshot: &Snapshot) -> BTreeMap<&str, Vec<Place<'_>>> {
    let mut places: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for job in snapshot.jobs.iter() {
        let (Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. }) = &job.standing
        else {
            continue;
        };
        for (index, node) in held.nodes.iter().enumerate() {
            let pod = plimsoll_observe::pod_name(&job.key.name, held.revision, index);
            places.entry(node).or_default().push((&job.key, pod, held.shape.gpus_per_pod));
        }
    }
    places
}

fn is_held_by(device: &Device, job: &JobKey, pod: &str) -> bool {
    device.holder.as_ref().is_some_and(|holder| holder.namespace == job.namespace && holder.pod == pod)
}

fn capacity(node: &Node, resource: &str) -> u32 {
    let list = node.status.as_ref().and_then(|status| status.capacity.as_ref());
    let amounts = list.and_then(|list| Requests::read(list).ok()).unwrap_or_default();
    u32::try_from(amounts.get(resource).ceil()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_crds::AcceleratorNode;
    use plimsoll_menu::{Batch, ClassName, Layout, LoadLine, Menu, Shape};
    use plimsoll_observe::Objects;
    use plimsoll_scheduling::{Allocation, Class, Elasticity, Job, Mode, Node as PlanNode, PodNeeds, Resources};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn snapshot(gpus: u32, held_by_job: u32, held_by_others: u32, open: bool) -> Snapshot {
        let class = ClassName::new("h100");
        let shape = Shape { class: class.clone(), pods: 1, gpus_per_pod: held_by_job };
        let held = Allocation {
            revision: 1,
            shape,
            layout: Layout::data_parallel(held_by_job),
            batch: Batch { micro: 1, accumulation: 1, global: held_by_job },
            nodes: vec!["n1".into()],
            since: NOW,
            running: true,
            observed: false,
            step_seconds: None,
            live_batch: false,
            moves_last_hour: 0,
            last_move: None,
            checkpoint_age_seconds: 0.0,
        };
        let job = Job {
            key: JobKey { namespace: "nlp".into(), name: "llm".into() },
            uid: "u".into(),
            queue: "q".into(),
            priority: 0,
            arrival: NOW,
            mode: Mode::Auto,
            elasticity: Elasticity::Moldable,
            menu: Menu::default(),
            needs: PodNeeds::default(),
            namespace_quotas: Default::default(),
            counted: Default::default(),
            standing: Standing::Placed(held),
            restart_seconds: 0.0,
            remaining_steps: None,
            waiting_since: None,
            weight: 1.0,
            deadline: None,
            topology: Default::default(),
            preemptible: true,
        };
        Snapshot {
            classes: [Class {
                name: class.clone(),
                resource: "nvidia.com/gpu".into(),
                line: LoadLine::DEFAULT,
                price_per_hour: None,
                watts: None,
            }]
            .into_iter()
            .collect(),
            nodes: [PlanNode {
                name: "n1".into(),
                class,
                gpus,
                gpus_held_by_others: held_by_others,
                allocatable: Resources::default(),
                held_by_others: Resources::default(),
                open,
                closed_because: String::new(),
                labels: BTreeMap::new(),
                taints: Vec::new(),
                partitioned: false,
                links: Vec::new(),
                link_domain: None,
            }]
            .into_iter()
            .collect(),
            jobs: [job].into_iter().collect(),
            ..Snapshot::default()
        }
    }

    /// A node of `capacity` devices whose agent sees the windows given, each held by the job.
    fn world(capacity: u32, windows: &[Option<i32>]) -> World {
        let node =
            json!({"metadata": {"name": "n1"}, "status": {"capacity": {"nvidia.com/gpu": capacity.to_string()}}});
        let device = |(index, permille): (usize, &Option<i32>)| {
            let window = permille
                .map(|p| json!({"seconds": 60, "samples": 6, "busyPercent": 1 + p / 10, "smActivityPermille": p}));
            json!({"uuid": index.to_string(), "index": index, "health": "Healthy", "window": window,
                "holder": {"namespace": "nlp", "pod": "llm-r1-0", "container": "train"}})
        };
        let devices: Vec<_> = windows.iter().enumerate().map(device).collect();
        let mut agent = AcceleratorNode::new("n1", Default::default());
        agent.status = serde_json::from_value(json!({"observedAt": NOW.to_string(), "devices": devices})).unwrap();
        World {
            objects: Objects {
                nodes: vec![Arc::new(serde_json::from_value(node).unwrap())],
                accelerator_nodes: vec![Arc::new(agent)],
                ..Objects::default()
            },
            ..World::default()
        }
    }

    fn of(counts: &GpuCounts, state: GpuState) -> u32 {
        counts.get(&("h100".to_owned(), state)).copied().unwrap_or(0)
    }

    #[test]
    fn every_device_is_in_exactly_one_state() {
        for capacity in [0, 1, 4, 8] {
            for allocatable in 0..=8 {
                for job in 1..=8 {
                    for others in [0, 1, 8] {
                        for (open, windows) in [(true, &[Some(0), None][..]), (false, &[Some(700); 10][..])] {
                            let world = world(capacity, windows);
                            let counts = count(&world, &snapshot(allocatable, job, others, open), &|_| false, NOW);
                            let sum: u32 = counts.values().sum();
                            assert_eq!(
                                sum,
                                capacity.max(allocatable),
                                "{capacity} {allocatable} {job} {others} {counts:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_device_is_told_by_what_its_holder_does_with_it() {
        let world = world(8, &[Some(0), Some(300), Some(600), None]);
        let counts = count(&world, &snapshot(7, 5, 0, true), &|_| false, NOW);
        assert_eq!(of(&counts, GpuState::HeldUnder), 2, "busy without activity is no idleness");
        assert_eq!(of(&counts, GpuState::HeldInBand), 1);
        assert_eq!(of(&counts, GpuState::HeldUnknown), 2, "one without a window, one that the agent does not see");
        assert_eq!(of(&counts, GpuState::Free), 2);
        assert_eq!(of(&counts, GpuState::Unavailable), 1);
        let over = count(&world, &snapshot(7, 5, 0, true), &|_| true, NOW);
        assert_eq!(of(&over, GpuState::HeldOver), 4);
    }

    #[test]
    fn an_agent_that_is_silent_makes_held_devices_unknown_and_never_idle_or_free() {
        let later = NOW + jiff::SignedDuration::from_mins(4);
        let counts = count(&world(8, &[Some(700); 8]), &snapshot(8, 5, 0, true), &|_| false, later);
        assert_eq!((of(&counts, GpuState::HeldUnknown), of(&counts, GpuState::Free)), (5, 3));
    }

    #[test]
    fn what_is_free_on_a_closed_node_is_unavailable() {
        let counts = count(&world(8, &[]), &snapshot(8, 5, 0, false), &|_| false, NOW);
        assert_eq!((of(&counts, GpuState::Free), of(&counts, GpuState::Unavailable)), (0, 3));
    }
}
