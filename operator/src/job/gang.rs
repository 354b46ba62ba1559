//! The pods of one revision, read: who is bound, who runs, who has ended and how. Pure.

mod end;
mod hold_up;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use plimsoll_crds::labels;
use plimsoll_lifecycle::Outcome;

use self::end::{has_run, outcome};
pub use self::hold_up::HoldUp;

/// All pods of a job, by revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gang {
    /// Pods of the live revision, by index.
    pub members: BTreeMap<u32, Member>,
    /// Pods of earlier revisions.
    pub leftovers: Vec<Member>,
}

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its revision.
    pub revision: u32,
    /// It stands on a node.
    pub bound: bool,
    /// Its trainer has started (and may have ended).
    pub started: bool,
    /// What keeps it from running, until it runs.
    pub hold_up: Option<HoldUp>,
    /// How its trainer ended, if it has, or if it is certain to end so.
    pub outcome: Option<Outcome>,
    /// It can run no more.
    pub is_final: bool,
    /// Somebody deleted it.
    pub deleting: bool,
    /// It has our finalizer.
    pub kept: bool,
}

impl Gang {
    /// Reads the pods of one job. `live` is its live revision; pods of later revisions are not known yet and are left
    /// alone. `nodes` are the nodes that exist: a pod on one that is gone runs no more.
    pub fn read(pods: &[Arc<Pod>], live: u32, trainer: Option<&str>, nodes: &BTreeSet<String>) -> Self {
        let mut gang = Self::default();
        for pod in pods {
            let Some((revision, index)) = place(pod) else { continue };
            if revision > live {
                continue;
            }
            let member = Member::read(pod, revision, trainer, nodes);
            if revision == live {
                gang.members.insert(index, member);
            } else {
                gang.leftovers.push(member);
            }
        }
        gang
    }

    /// Every pod, of any revision.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.values().chain(&self.leftovers)
    }

    /// Whether no pod can run or write any more.
    pub fn is_gone(&self) -> bool {
        self.all().all(|member| member.is_final)
    }

    /// Whether all `pods` pods are bound.
    pub fn is_bound(&self, pods: u32) -> bool {
        pods > 0 && (0..pods).all(|index| self.members.get(&index).is_some_and(|member| member.bound))
    }

    /// Whether the trainers of all `pods` pods have started.
    pub fn is_started(&self, pods: u32) -> bool {
        pods > 0 && (0..pods).all(|index| self.members.get(&index).is_some_and(|member| member.started))
    }

    /// What keeps the revision from running: the first pod that is stuck, else the first that is on its way, by name.
    pub fn held_up(&self) -> Option<(&str, &HoldUp)> {
        let mut held = self.members.values().filter_map(|m| Some((m.name.as_str(), m.hold_up.as_ref()?)));
        let stuck = held.clone().find(|(_, hold_up)| matches!(hold_up, HoldUp::Stuck { .. }));
        stuck.or_else(|| held.next())
    }

    /// How trainers ended, by pod index. Once all pods were seen, one that is not there was taken away.
    pub fn outcomes(&self, pods: u32, all_were_seen: bool) -> Vec<Outcome> {
        (0..pods)
            .filter_map(|index| match self.members.get(&index) {
                Some(member) => member.outcome.clone(),
                None => all_were_seen.then_some(Outcome::Disrupted),
            })
            .collect()
    }
}

impl Member {
    fn read(pod: &Pod, revision: u32, trainer: Option<&str>, nodes: &BTreeSet<String>) -> Self {
        let metadata = &pod.metadata;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let deleting = metadata.deletion_timestamp.is_some();
        let node_lost = node.is_some_and(|name| !nodes.contains(name));
        let status = trainer_status(pod, trainer);
        let state = status.and_then(|status| status.state.as_ref());
        let ended = is_over(pod);
        let started = state.is_some_and(has_run) && (phase == "Running" || ended);
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            revision,
            bound: node.is_some(),
            started,
            hold_up: HoldUp::of(pod).filter(|_| !started && !ended && !deleting),
            outcome: outcome(pod, status, node_lost),
            // A pod without a node has nobody who would end it.
            is_final: ended || node_lost || (deleting && node.is_none()),
            deleting,
            kept: metadata.finalizers.iter().flatten().any(|name| name == labels::POD_FINALIZER),
        }
    }
}

/// Whether the scheduler looked at a pod and found no node for it.
pub fn is_unschedulable(pod: &Pod) -> bool {
    let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|name| !name.is_empty());
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let told = |c: &PodCondition| c.reason.as_deref() == Some("Unschedulable") && c.status == "False";
    let marked = conditions.filter(|c| c.type_ == "PodScheduled").any(told);
    marked && !bound && pod.metadata.deletion_timestamp.is_none() && !is_over(pod)
}

/// Whether a pod has ended.
pub fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// Revision and index of a pod, by its labels.
pub fn place(pod: &Pod) -> Option<(u32, u32)> {
    let labels = pod.metadata.labels.as_ref()?;
    Some((labels.get(labels::REVISION)?.parse().ok()?, labels.get(labels::POD_INDEX)?.parse().ok()?))
}

/// The status of the trainer container: the one named, else the only one.
fn trainer_status<'a>(pod: &'a Pod, trainer: Option<&str>) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    match trainer {
        Some(name) => statuses.iter().find(|status| status.name == name),
        None => statuses.first().filter(|_| statuses.len() == 1),
    }
}
