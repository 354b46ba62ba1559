//! Plays scenarios on a stage.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::TryStreamExt as _;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use plimsoll_crds::TrainingJob;
use plimsoll_crds::training_job::TrainingJobStatus;
use plimsoll_test_cluster::Cluster;
use serde_json::json;
use tokio::sync::Mutex;

use super::sight::sentences;
use super::{Scenario, Sight, Step};
use crate::kubectl::Kubectl;
use crate::stage::Stage;

/// Name of the kubelet among the cluster's processes.
const KUBELET: &str = "kubelet";
/// Longest that a status may take to say what it must.
const BOUND: Duration = Duration::from_secs(120);

/// What scenarios are played on.
pub struct Play<'a> {
    cluster: Mutex<&'a mut Cluster>,
    kubectl: &'a Kubectl,
    client: &'a kube::Client,
    began: Instant,
}

impl<'a> Play<'a> {
    /// A stage as the place of scenarios.
    pub fn on(stage: &'a mut Stage) -> Self {
        let Stage { cluster, kubectl, client, .. } = stage;
        Self { cluster: Mutex::new(cluster), kubectl, client, began: Instant::now() }
    }

    /// Plays a scenario from its beginning to its end.
    ///
    /// # Errors
    /// When something cannot be done, or what must be seen is not.
    pub async fn whole(&self, scenario: &Scenario, progress: &(dyn Fn(&str) + Sync)) -> Result<()> {
        self.begin(scenario).await?;
        self.go_on(scenario, progress).await
    }

    /// Applies what a scenario begins with.
    ///
    /// # Errors
    /// When it cannot be applied.
    pub async fn begin(&self, scenario: &Scenario) -> Result<()> {
        self.apply(scenario).await.with_context(|| format!("{}: failed to apply its manifests", scenario.name))
    }

    /// Plays a scenario that has begun. Every sight is told as it comes.
    ///
    /// # Errors
    /// When something cannot be done, or what must be seen is not.
    pub async fn go_on(&self, scenario: &Scenario, progress: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let name = scenario.name;
        for (index, step) in scenario.steps.iter().enumerate() {
            let step = self.step(name, step, progress).await;
            step.with_context(|| format!("{name}: failed to play its step {index}"))?;
        }
        Ok(())
    }

    async fn apply(&self, scenario: &Scenario) -> Result<()> {
        let name = scenario.name;
        let folder = self.cluster.lock().await.folder().join("scenarios");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.json"));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": scenario.manifests});
        // A folder of this machine, for what must outlive a pod.
        let state = folder.join(name);
        std::fs::write(&file, list.to_string().replace("$STATE", &state.to_string_lossy()))?;
        self.kubectl.run(["create", "namespace", name]).await?;
        self.kubectl.apply(&file).await.map(drop)
    }

    async fn step(&self, name: &str, step: &Step, progress: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let at = |what: &str| progress(&format!("{:6.1}s  {name:<15} {what}", self.began.elapsed().as_secs_f64()));
        match step {
            Step::See(sight) => at(&self.see(name, sight).await?),
            Step::Kubectl(arguments) => {
                at(&format!("$ kubectl {arguments}"));
                self.run(name, arguments).await?;
            }
            Step::Prints(arguments, holds) => {
                let printed = self.run(name, arguments).await?;
                ensure!(holds(&printed), "kubectl {arguments} printed something else:\n{printed}");
                at(&format!("$ kubectl {arguments} prints what it must"));
            }
            Step::StopKubelet => {
                at("the kubelet is stopped");
                self.cluster.lock().await.stop(KUBELET)?;
            }
            Step::StartKubelet => {
                at("the kubelet is started again");
                self.cluster.lock().await.start_again(KUBELET)?;
            }
        }
        Ok(())
    }

    async fn run(&self, namespace: &str, arguments: &str) -> Result<String> {
        self.kubectl.run(["--namespace", namespace].into_iter().chain(arguments.split_whitespace())).await
    }

    /// Waits until the job's status says what it must. Returns its state with the reason and the sentence.
    async fn see(&self, name: &str, sight: &Sight) -> Result<String> {
        let jobs: Api<TrainingJob> = Api::namespaced(self.client.clone(), name);
        let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = std::pin::pin!(watcher(jobs, one).default_backoff().applied_objects());
        let mut last = TrainingJobStatus::default();
        let seen = async {
            while let Some(job) = events.try_next().await? {
                last = job.status.unwrap_or_default();
                if let Some((reason, sentence)) = sight.of(&last) {
                    let state = last.summary.as_deref().unwrap_or_default();
                    return Ok(format!("{state} ({reason}) {sentence}"));
                }
                // What has ended says nothing else any more.
                if matches!(last.summary.as_deref(), Some("Complete" | "Failed")) {
                    break;
                }
            }
            bail!("its end was another one")
        };
        let seen = tokio::time::timeout(BOUND, seen).await.unwrap_or_else(|_| bail!("not seen within {BOUND:?}"));
        seen.with_context(|| {
            let said: Vec<_> = sentences(&last).map(|(reason, sentence)| format!("{reason}: {sentence}")).collect();
            let (state, counters) = (last.summary.as_deref().unwrap_or("no state"), last.counters.as_ref());
            format!("{sight:?} must be seen; last it was {state}, {counters:?}, {said:#?}")
        })
    }
}
