//! Step 7: carries a turn out. Client required.
//!
//! The order is the law: a trial of the first pod, then the allocation under a resourceVersion precondition, then the
//! Service of a gang, then the named pods. A pod that exists already and is ours is a success; whoever lost the race for the status creates nothing.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use plimsoll_crds::training_job::Allocation;
use plimsoll_crds::{TrainingJob, labels};
use plimsoll_lifecycle::Phase;
use serde_json::{Value, json};

use super::build::{BuildError, Plan, pod, resume_dir, volumes};
use super::gang::Member;
use super::memory::natural;
use super::{Trial, Turn};
use crate::config::Config;
use crate::lease::{Fence, Fenced};
use crate::notes::Notes;
use crate::progress::endpoint::Leader;
use crate::sentence::{refusal, sentence};

/// Who writes statuses.
const STATUS_MANAGER: &str = "plimsoll/status";
/// Who writes pods.
const POD_MANAGER: &str = "plimsoll/pods";
/// Who publishes the certificate authority.
const CA_MANAGER: &str = "plimsoll/progress-ca";
/// Longest that a write which nothing waits for may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pods of one gang that are written at once.
const AT_ONCE: usize = 8;

/// A turn that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// This replica leads no more.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// Somebody else wrote the job in the meantime; the next cycle thinks again.
    #[error("failed to write the status of {job}: it has changed in the meantime")]
    Stale {
        /// Which job.
        job: String,
    },
    /// The apiserver did not do it.
    #[error("failed to {verb} {object}")]
    Call {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        object: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// What the carrying out brought to light.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The job as it was written.
    pub written: Option<Arc<TrainingJob>>,
    /// The trial that the apiserver let pass.
    pub trial_passed: Option<Trial>,
    /// The trial that it refused, and its sentence.
    pub trial_refused: Option<(Trial, String)>,
    /// A pod that it refused: the revision and its sentence.
    pub pod_refused: Option<(u32, String)>,
    /// Pods that were created.
    pub created: Vec<String>,
}

/// All that writing needs.
#[derive(Clone)]
pub struct Hands {
    /// The client.
    pub client: Client,
    /// The fence.
    pub fence: Fence,
    /// Events.
    pub notes: Notes,
    /// Where the progress Service leads; `None` on a host that no Service leads to.
    pub leader: Option<Leader>,
    /// Certificate authority of the progress endpoint, as PEM.
    pub authority: Arc<str>,
}

/// What a turn is carried out with.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Settings.
    pub config: &'a Config,
    /// Extended resource of the class in question.
    pub resource: Option<&'a str>,
    /// Whether the status is to be written.
    pub write: bool,
    /// Whether the trial has passed before.
    pub tried: bool,
    /// The time of the cycle.
    pub now: Timestamp,
    /// Pods that were created a moment ago and that the watch has not shown yet.
    pub pending: &'a [String],
}

/// Why a pod was not created.
pub(super) enum PodError {
    /// The apiserver's sentence.
    Refused(String),
    /// The call failed and is made again.
    Apply(ApplyError),
}

impl Hands {
    /// Carries a turn out.
    ///
    /// # Errors
    /// When the status could not be written, or a write of pods failed and is to be tried again.
    pub async fn apply(&self, turn: &Turn, order: Order<'_>) -> Result<Done, ApplyError> {
        let mut done = Done::default();
        if let Some(trial) = turn.work.trial.as_deref().filter(|_| !order.tried) {
            match self.try_out(turn, order).await {
                Ok(()) => done.trial_passed = Some(trial.clone()),
                Err(PodError::Refused(message)) => {
                    return Ok(Done { trial_refused: Some((trial.clone(), message)), ..done });
                }
                Err(PodError::Apply(error)) => return Err(error),
            }
        }
        if turn.work.create && turn.gang.members.is_empty() {
            self.publish_authority(&turn.key.namespace).await?;
        }
        if order.write {
            done.written = Some(Arc::new(self.write_status(turn).await?));
            self.notes.tell(&turn.job, &turn.notes, order.now).await;
        }
        if let Some(grace) = turn.work.delete {
            self.delete_pods(turn, grace).await?;
        }
        if turn.work.create && matches!(turn.state.phase, Phase::Committed { .. }) {
            let (created, refused) = self.create_pods(turn, order).await?;
            done.created = created;
            done.pod_refused = refused.map(|message| (turn.state.revision, message));
        }
        self.let_go(turn).await?;
        Ok(done)
    }

    /// Shows the first pod to the apiserver without creating it.
    async fn try_out(&self, turn: &Turn, order: Order<'_>) -> Result<(), PodError> {
        let allocation = turn.status.next.as_ref().or(turn.status.allocation.as_ref());
        let Some(allocation) = allocation else { return Ok(()) };
        let pod = build(turn, allocation, order, 0)?;
        self.create(turn, &pod, true).await
    }

    /// Everything under one precondition: the version of the job that was read.
    async fn write_status(&self, turn: &Turn) -> Result<TrainingJob, ApplyError> {
        self.fence.check()?;
        let api: Api<TrainingJob> = Api::namespaced(self.client.clone(), &turn.key.namespace);
        let mut job = TrainingJob::clone(&turn.job);
        job.status = Some(turn.status.clone());
        job.metadata.managed_fields = None;
        let params = PostParams { dry_run: false, field_manager: Some(STATUS_MANAGER.into()) };
        match api.replace_status(&turn.key.name, &params, &job).await {
            Ok(written) => Ok(written),
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
                Err(ApplyError::Stale { job: turn.key.to_string() })
            }
            Err(source) => Err(call("write the status of", turn.key.to_string(), source)),
        }
    }

    /// Creates what is not there yet, the names of pods before the pods. Returns the names, and the first refusal.
    async fn create_pods(&self, turn: &Turn, order: Order<'_>) -> Result<(Vec<String>, Option<String>), ApplyError> {
        let Some(allocation) = &turn.status.allocation else { return Ok((Vec::new(), None)) };
        let missing = (0..natural(allocation.pods)).filter(|index| {
            let name = plimsoll_observe::pod_name(&turn.key.name, natural(allocation.revision), *index as usize);
            let known = turn.was.revision == turn.state.revision && turn.gang.members.contains_key(index);
            !known && !order.pending.contains(&name)
        });
        let missing: Vec<u32> = missing.collect();
        if !missing.is_empty() {
            match self.create_service(turn, allocation).await {
                Ok(()) => {}
                Err(PodError::Refused(message)) => return Ok((Vec::new(), Some(message))),
                Err(PodError::Apply(error)) => return Err(error),
            }
        }
        let create = |index: u32| async move {
            let pod = build(turn, allocation, order, index as usize)?;
            self.create(turn, &pod, false).await?;
            Ok::<_, PodError>(pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned())
        };
        let results: Vec<_> = futures::stream::iter(missing).map(create).buffered(AT_ONCE).collect().await;
        let (mut created, mut refused, mut failed) = (Vec::new(), None, None);
        for result in results {
            match result {
                Ok(name) => created.push(name),
                Err(PodError::Refused(message)) => refused = refused.or(Some(message)),
                Err(PodError::Apply(error)) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            // A call that failed is made again by the next cycle; a refusal ends the revision.
            Some(error) if refused.is_none() && created.is_empty() => Err(error),
            Some(error) if refused.is_none() => {
                tracing::warn!(job = %turn.key, error = sentence(&error), "some pods are created later");
                Ok((created, None))
            }
            _ => Ok((created, refused)),
        }
    }

    async fn create(&self, turn: &Turn, pod: &Value, dry_run: bool) -> Result<(), PodError> {
        self.fence.check().map_err(ApplyError::from)?;
        let resource = ApiResource::erase::<Pod>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &turn.key.namespace, &resource);
        let object: DynamicObject =
            serde_json::from_value(pod.clone()).map_err(|error| PodError::Refused(error.to_string()))?;
        let params = PostParams { dry_run, field_manager: Some(POD_MANAGER.into()) };
        match api.create(&params, &object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => self.is_ours(turn, &object.name_any()).await,
            Err(kube::Error::Api(status)) if is_refusal(status.code) => Err(PodError::Refused(status.message.clone())),
            Err(source) => Err(PodError::Apply(call("create pod", object.name_any(), source))),
        }
    }

    /// A pod of the name that is owned by this very job is what we wanted.
    async fn is_ours(&self, turn: &Turn, name: &str) -> Result<(), PodError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &turn.key.namespace);
        let existing = api.get_metadata_opt(name).await.map_err(|source| call("read pod", name.into(), source))?;
        match existing {
            Some(pod) if pod.owner_references().iter().any(|owner| owner.uid == turn.uid) => Ok(()),
            Some(_) => Err(PodError::Refused(format!("a pod named {name} exists and belongs to something else"))),
            // Gone between the two calls: the next cycle creates it.
            None => Err(PodError::Refused(format!("a pod named {name} was still going away"))),
        }
    }

    async fn delete_pods(&self, turn: &Turn, grace: u64) -> Result<(), ApplyError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &turn.key.namespace);
        let alive = turn.gang.all().filter(|member| !member.is_final && !member.deleting);
        let delete = |member: &Member| {
            let (api, name, uid) = (api.clone(), member.name.clone(), member.uid.clone());
            async move {
                self.fence.check()?;
                let params = DeleteParams {
                    grace_period_seconds: u32::try_from(grace).ok(),
                    preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
                    ..DeleteParams::default()
                };
                match api.delete(&name, &params).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                    Err(source) => Err(call("delete pod", name, source)),
                }
            }
        };
        let calls: Vec<_> = alive.map(delete).collect();
        let results: Vec<Result<(), ApplyError>> = futures::stream::iter(calls).buffered(AT_ONCE).collect().await;
        results.into_iter().collect()
    }

    /// Lets go of pods whose outcome stands in the status.
    async fn let_go(&self, turn: &Turn) -> Result<(), ApplyError> {
        let done = turn.gang.all().filter(|member| member.kept && member.is_final && is_settled(turn, member));
        for member in done {
            self.remove_finalizer(&turn.key.namespace, &member.name, &member.uid).await?;
        }
        Ok(())
    }

    /// Leads the progress Service to this replica, unless it does already. Training goes on without reports, so a failure
    /// is only told; the next cycle tries again.
    pub async fn lead_reports(&self, slices: &[Arc<EndpointSlice>]) {
        let Some(leader) = &self.leader else { return };
        let error = match tokio::time::timeout(PATIENCE, leader.keep(slices)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => sentence(&error),
            Err(_) => "the apiserver took too long".to_owned(),
        };
        tracing::warn!(error, "failed to lead the progress Service here");
    }

    /// Removes our finalizer from a pod.
    ///
    /// # Errors
    /// When the apiserver does not; a pod that is gone is no error.
    pub async fn remove_finalizer(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ApplyError> {
        self.fence.check()?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [labels::POD_FINALIZER]}});
        let params = PatchParams { field_manager: Some(POD_MANAGER.into()), ..PatchParams::default() };
        match api.patch_metadata(name, &params, &Patch::Strategic(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(call("let go of pod", name.into(), source)),
        }
    }

    /// Publishes the certificate authority of the progress endpoint where a job's pods can mount it.
    async fn publish_authority(&self, namespace: &str) -> Result<(), ApplyError> {
        self.fence.check()?;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": volumes::CA_CONFIG_MAP, "labels": {labels::PART_OF: "plimsoll", labels::MANAGED_BY: "plimsoll"}},
            "data": {"ca.crt": self.authority.as_ref()},
        });
        let params = PatchParams::apply(CA_MANAGER).force();
        match api.patch(volumes::CA_CONFIG_MAP, &params, &Patch::Apply(map)).await {
            Ok(_) => Ok(()),
            // A namespace that forbids it must not keep a job from training: it trains without reporting.
            Err(error @ kube::Error::Api(_)) => {
                let error = refusal(&error);
                tracing::warn!(
                    namespace,
                    error,
                    "failed to publish the certificate authority of the progress endpoint"
                );
                Ok(())
            }
            Err(source) => Err(call("apply ConfigMap", format!("{namespace}/{}", volumes::CA_CONFIG_MAP), source)),
        }
    }
}

/// Whether what a pod had to say has been heard: its revision is over, or ends for a reason that stands.
fn is_settled(turn: &Turn, member: &Member) -> bool {
    let over = member.revision < turn.state.revision || !turn.state.phase.holds_devices();
    let ending = matches!(turn.state.phase, Phase::Stopping { checkpoint_until: None, .. }) && turn.gang.is_gone();
    over || ending
}

/// What the apiserver will say again however often it is asked, unless somebody changes something.
pub(super) fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && !matches!(code, 408 | 409 | 425 | 429)
}

pub(super) fn call(verb: &'static str, object: String, source: kube::Error) -> ApplyError {
    ApplyError::Call { verb, object, source: Box::new(source) }
}

fn build(turn: &Turn, allocation: &Allocation, order: Order<'_>, index: usize) -> Result<Value, PodError> {
    let validated = turn.validated.as_ref().map_err(|message| PodError::Refused(message.clone()))?;
    let resource = order.resource.ok_or_else(|| PodError::Refused(format!("class {} is gone", allocation.class)))?;
    // The newest word about checkpoints, which is written together with the allocation.
    let mut job = TrainingJob::clone(&turn.job);
    job.status = Some(turn.status.clone());
    let plan = Plan {
        job: &job,
        namespace: &turn.key.namespace,
        name: &turn.key.name,
        validated,
        allocation,
        resource,
        resume_dir: resume_dir(&job, &turn.key.name, allocation.revision),
        config: order.config,
    };
    Ok(pod::pod(&plan, index)?)
}

impl From<ApplyError> for PodError {
    fn from(error: ApplyError) -> Self {
        Self::Apply(error)
    }
}

impl From<BuildError> for PodError {
    fn from(error: BuildError) -> Self {
        Self::Refused(error.to_string())
    }
}
