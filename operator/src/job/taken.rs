//! Nodes whose devices the plan gave to a job and that somebody else holds. Pure.
//!
//! A revision that was committed and cannot be bound, because a pod outside the plan or of another job holds its devices,
//! ends whole and at once: waiting for the bind timeout would keep the rest of its devices idle. Where revisions of two
//! jobs wait for each other, the younger job yields and the other one is bound as soon as its devices are free.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;
use plimsoll_crds::TrainingJob;
use plimsoll_crds::training_job::{Allocation, LifecycleState};
use plimsoll_observe::requests::{Requests, of_pod};

use super::dereference::key;
use super::gang::{is_over, is_unschedulable, place};
use super::memory::natural;
use crate::world::World;

/// Holders that a sentence names.
const NAMED: usize = 3;

/// A node whose devices a job's revision waits for, and who holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blocked {
    node: String,
    /// Devices that are left to those who hold them already.
    room: u64,
    holders: Vec<Holder>,
}

/// A pod that holds devices.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    /// Its namespace and name.
    pod: String,
    /// Devices.
    held: u64,
    /// UID of the job whose live revision it belongs to, if it does.
    job: Option<String>,
}

/// Revisions that are to end because somebody else holds their devices: by UID of the job, with a sentence.
pub fn taken(world: &World, jobs: &[Arc<TrainingJob>]) -> BTreeMap<String, String> {
    let ages: BTreeMap<&str, Age<'_>> =
        jobs.iter().filter_map(|job| Some((job.metadata.uid.as_deref()?, age(job)))).collect();
    let live = Live(jobs);
    let blocked: BTreeMap<&str, Vec<Blocked>> = jobs
        .iter()
        .filter_map(|job| Some((job.metadata.uid.as_deref()?, blocked(world, job, live)?)))
        .filter(|(_, nodes)| !nodes.is_empty())
        .collect();
    // Both wait: the younger one gives way, and the other one finds its devices free.
    let rival = |holder: &Holder| holder.job.as_deref().is_some_and(|job| blocked.contains_key(job));
    let older = |uid: &str, holder: &Holder| ages.get(uid) > holder.job.as_deref().and_then(|job| ages.get(job));
    blocked
        .iter()
        .filter_map(|(uid, nodes)| {
            let lost = nodes.iter().find_map(|node| node.lost(rival, |holder| older(uid, holder)))?;
            Some(((*uid).to_owned(), lost))
        })
        .collect()
}

/// Which of two jobs is the younger: the greater one.
type Age<'a> = (Timestamp, &'a str);

fn age(job: &TrainingJob) -> Age<'_> {
    let created = job.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    (created, job.metadata.uid.as_deref().unwrap_or_default())
}

/// All jobs, to tell whose live revision a pod belongs to.
#[derive(Clone, Copy)]
struct Live<'a>(&'a [Arc<TrainingJob>]);

impl Live<'_> {
    fn job_of(self, pod: &Pod) -> Option<String> {
        let (revision, _) = place(pod)?;
        let owned = |job: &&Arc<TrainingJob>| {
            pod.owner_references().iter().any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
        };
        let job = self.0.iter().find(owned)?;
        let allocation = job.status.as_ref()?.allocation.as_ref()?;
        (natural(allocation.revision) == revision).then(|| job.uid())?
    }
}

/// The nodes that a job's revision waits for while others hold their devices.
fn blocked(world: &World, job: &TrainingJob, live: Live<'_>) -> Option<Vec<Blocked>> {
    let status = job.status.as_ref()?;
    let binds = matches!(status.lifecycle.as_ref()?.state, LifecycleState::Committed | LifecycleState::Starting);
    let allocation = status.allocation.as_ref().filter(|_| binds)?;
    let (uid, resource) = (job.metadata.uid.as_deref()?, world.resource_of(&allocation.class)?);
    let stuck = world.pods.get(&key(job)).into_iter().flatten().filter(|pod| waits(pod, uid, allocation));
    let nodes = stuck.filter_map(|pod| allocation.nodes.get(place(pod)?.1 as usize));
    Some(nodes.filter_map(|node| on_node(world, node, resource, uid, natural(allocation.gpus_per_pod), live)).collect())
}

/// Whether a pod of a revision was looked at by the scheduler and fits nowhere.
fn waits(pod: &Pod, uid: &str, allocation: &Allocation) -> bool {
    let ours = pod.owner_references().iter().any(|owner| owner.uid == uid);
    ours && place(pod).is_some_and(|(revision, _)| revision == natural(allocation.revision)) && is_unschedulable(pod)
}

/// Who holds devices of a node so that `wanted` of them do not fit. A pod that is going away by itself is not in the
/// way for long, and devices that the node does not offer were taken by nobody.
fn on_node(world: &World, name: &str, resource: &str, uid: &str, wanted: u32, live: Live<'_>) -> Option<Blocked> {
    let node = world.objects.nodes.iter().find(|node| node.metadata.name.as_deref() == Some(name))?;
    let offered = offered(node, resource)?;
    let mut holders: Vec<Holder> = world
        .objects
        .pods
        .iter()
        .filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref() == Some(name)) && !is_over(pod))
        .filter(|pod| pod.owner_references().iter().all(|owner| owner.uid != uid))
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| {
            let held = of_pod(pod.spec.as_ref()?, pod.status.as_ref()).ok()?.get(resource).ceil();
            let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
            (held > 0).then(|| Holder { pod: name, held, job: live.job_of(pod) })
        })
        .collect();
    holders.sort_by(|a, b| a.pod.cmp(&b.pod));
    let (held, room) = (sum(holders.iter()), offered.saturating_sub(wanted.into()));
    (held <= offered && held > room).then(|| Blocked { node: name.to_owned(), room, holders })
}

fn sum<'a>(holders: impl Iterator<Item = &'a Holder>) -> u64 {
    holders.fold(0, |sum, holder| sum.saturating_add(holder.held))
}

fn offered(node: &Node, resource: &str) -> Option<u64> {
    let list = node.status.as_ref()?.allocatable.as_ref()?;
    Requests::read(list).ok().map(|list| list.get(resource).ceil())
}

impl Blocked {
    /// The sentence about the node if it is lost: it is too full without those that wait as well (`rival`), or one of
    /// them is `older`.
    fn lost(&self, rival: impl Fn(&Holder) -> bool, older: impl Fn(&Holder) -> bool) -> Option<String> {
        let (rivals, firm): (Vec<&Holder>, Vec<&Holder>) = self.holders.iter().partition(|holder| rival(holder));
        if sum(firm.iter().copied()) > self.room {
            // Where somebody is outside the plan, those inside are not to blame.
            let (planned, outside): (Vec<&Holder>, Vec<&Holder>) = firm.into_iter().partition(|h| h.job.is_some());
            return Some(self.sentence(if outside.is_empty() { &planned } else { &outside }));
        }
        rivals.iter().any(|holder| older(holder)).then(|| self.sentence(&rivals))
    }

    fn sentence(&self, holders: &[&Holder]) -> String {
        let mut names: Vec<&str> = holders.iter().take(NAMED).map(|holder| holder.pod.as_str()).collect();
        let rest = format!("{} more", holders.len().saturating_sub(NAMED));
        if holders.len() > NAMED {
            names.push(&rest);
        }
        format!("{} is held by {}", self.node, names.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{holding, job, world};

    /// A job like the one of the fixtures, of its own name, UID and time, that was given both nodes.
    fn committed(name: &str, created: &str) -> Arc<TrainingJob> {
        let mut new = TrainingJob::clone(&job(Some(holding("Committed"))));
        new.metadata.name = Some(name.into());
        new.metadata.uid = Some(format!("{name}-uid"));
        new.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
        Arc::new(new)
    }

    fn pod(name: &str, index: usize, node: Option<&str>) -> Value {
        let condition = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        json!({
            "metadata": {"name": format!("{name}-r1-{index}"), "namespace": "nlp",
                "labels": {"plimsoll.dev/job-name": name, "plimsoll.dev/revision": "1",
                    "plimsoll.dev/pod-index": index.to_string()},
                "ownerReferences": [{"apiVersion": "a", "kind": "b", "name": name, "uid": format!("{name}-uid")}]},
            "spec": {"nodeName": node, "containers": [
                {"name": "train", "resources": {"requests": {"nvidia.com/gpu": "8"}}}]},
            "status": {"phase": "Pending", "conditions": if node.is_some() { json!([]) } else { condition }},
        })
    }

    fn stranger(name: &str, node: &str, gpus: u32) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"nodeName": node, "containers": [
                {"name": "a", "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}}]},
            "status": {"phase": "Running"},
        })
    }

    const NOON: &str = "2026-11-25T12:00:00Z";

    fn ends(pods: Vec<Value>, jobs: &[Arc<TrainingJob>]) -> Vec<(String, String)> {
        taken(&world(pods), jobs).into_iter().collect()
    }

    #[test]
    fn a_pod_outside_the_plan_that_holds_the_devices_ends_the_revision() {
        let jobs = [committed("llm", NOON)];
        let pods = vec![pod("llm", 0, Some("n1")), pod("llm", 1, None), stranger("x", "n2", 1)];
        assert_eq!(ends(pods, &jobs), [("llm-uid".to_owned(), "n2 is held by kube-system/x".to_owned())]);
    }

    #[test]
    fn many_holders_are_counted_rather_than_named() {
        let mut pods = vec![pod("llm", 0, None)];
        pods.extend((0..5).map(|n| stranger(&format!("x{n}"), "n1", 1)));
        let [(_, said)] = ends(pods, &[committed("llm", NOON)]).try_into().unwrap();
        assert_eq!(said, "n1 is held by kube-system/x0 and kube-system/x1 and kube-system/x2 and 2 more");
    }

    #[test]
    fn what_is_not_about_devices_is_left_to_the_bind_timeout() {
        let jobs = [committed("llm", NOON)];
        let no_gpu = json!({"metadata": {"name": "cpu", "namespace": "a"}, "status": {"phase": "Running"},
            "spec": {"nodeName": "n2", "containers": [{"name": "a", "resources": {"requests": {"cpu": "90"}}}]}});
        assert!(ends(vec![pod("llm", 1, None), no_gpu], &jobs).is_empty(), "processors");
        let mut over = stranger("x", "n2", 8);
        over["status"]["phase"] = json!("Succeeded");
        assert!(ends(vec![pod("llm", 1, None), over], &jobs).is_empty(), "it has ended");
        let mut going = stranger("x", "n2", 8);
        going["metadata"]["deletionTimestamp"] = json!(NOON);
        assert!(ends(vec![pod("llm", 1, None), going], &jobs).is_empty(), "it is going");
        assert!(ends(vec![pod("llm", 1, None), stranger("x", "n2", 9)], &jobs).is_empty(), "the node lost devices");
        assert!(ends(vec![pod("llm", 1, None), stranger("x", "n1", 8)], &jobs).is_empty(), "another node");
    }

    #[test]
    fn a_pod_that_the_scheduler_has_not_looked_at_yet_blocks_nothing() {
        let mut new = pod("llm", 1, None);
        new["status"]["conditions"] = json!([]);
        assert!(ends(vec![new, stranger("x", "n2", 8)], &[committed("llm", NOON)]).is_empty());
    }

    #[test]
    fn of_two_revisions_that_wait_for_each_other_the_younger_job_yields() {
        let pods = || vec![pod("a", 0, Some("n1")), pod("a", 1, None), pod("b", 0, None), pod("b", 1, Some("n2"))];
        let (early, late) = ("2026-11-25T11:00:00Z", NOON);
        let said = |jobs: [Arc<TrainingJob>; 2]| ends(pods(), &jobs);
        let younger = said([committed("a", late), committed("b", early)]);
        assert_eq!(younger, [("a-uid".to_owned(), "n2 is held by nlp/b-r1-1".to_owned())]);
        let same_time = said([committed("a", early), committed("b", early)]);
        assert_eq!(same_time, [("b-uid".to_owned(), "n1 is held by nlp/a-r1-0".to_owned())], "then by UID");
    }

    #[test]
    fn a_neighbour_that_was_planned_with_does_not_make_both_yield() {
        let small = |name: &str, index: usize, node: Option<&str>| {
            let mut pod = pod(name, index, node);
            pod["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = json!("6");
            pod
        };
        let smaller = |name: &str, created: &str| {
            let mut job = TrainingJob::clone(&committed(name, created));
            job.status.as_mut().unwrap().allocation.as_mut().unwrap().gpus_per_pod = 6;
            Arc::new(job)
        };
        let mut pods = vec![stranger("x", "n1", 2), stranger("x", "n2", 2)];
        pods.extend([small("a", 0, Some("n1")), small("a", 1, None), small("b", 0, None), small("b", 1, Some("n2"))]);
        let jobs = [smaller("a", "2026-11-25T11:00:00Z"), smaller("b", NOON)];
        assert_eq!(ends(pods, &jobs), [("b-uid".to_owned(), "n1 is held by nlp/a-r1-0".to_owned())]);
    }

    #[test]
    fn a_revision_that_has_all_its_devices_keeps_them() {
        let pods = vec![pod("a", 0, None), pod("b", 0, Some("n1")), pod("b", 1, Some("n2"))];
        let (older, younger) = (committed("a", "2026-11-25T11:00:00Z"), committed("b", NOON));
        assert_eq!(ends(pods, &[older, younger]), [("a-uid".to_owned(), "n1 is held by nlp/b-r1-0".to_owned())]);
    }

    #[test]
    fn a_pod_of_a_revision_that_is_over_is_outside_the_plan() {
        let mut old = pod("b", 0, Some("n1"));
        old["metadata"]["labels"]["plimsoll.dev/revision"] = json!("0");
        let jobs = [committed("a", "2026-11-25T11:00:00Z"), committed("b", NOON)];
        let pods = vec![pod("a", 0, None), pod("a", 1, Some("n2")), old, pod("b", 1, None)];
        let ended = ends(pods, &jobs);
        assert_eq!(ended[0], ("a-uid".to_owned(), "n1 is held by nlp/b-r1-0".to_owned()));
    }

    #[test]
    fn a_revision_that_runs_is_not_looked_at() {
        let mut running = TrainingJob::clone(&committed("llm", NOON));
        running.status = serde_json::from_value(holding("Running")).unwrap();
        assert!(ends(vec![pod("llm", 1, None), stranger("x", "n2", 8)], &[Arc::new(running)]).is_empty());
    }
}
