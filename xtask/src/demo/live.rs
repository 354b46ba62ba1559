//! The story as it goes on: jobs applied, watched and drawn until all have ended.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use plimsoll_crds::TrainingJob;
use plimsoll_crds::labels;
use plimsoll_e2e::helm::NAMESPACE;
use plimsoll_e2e::stage::Stage;
use plimsoll_e2e::story::{Act, GpuSeconds, Record};
use plimsoll_e2e::system::SystemPod;

use super::table::Screen;

/// The story once it has ended.
#[derive(Debug)]
pub(super) struct Told {
    /// What was seen.
    pub(super) record: Record,
    /// GPU-seconds by state since the beginning, by time.
    pub(super) gpu_seconds: Vec<(Timestamp, GpuSeconds)>,
}

const TICK: Duration = Duration::from_secs(2);

/// Applies the jobs and watches until all have ended.
pub(super) async fn tell(stage: &Stage, bound: Duration, kill_leader: bool) -> anyhow::Result<Told> {
    let mut story = Story::new(stage, kill_leader);
    tokio::time::timeout(bound, story.run()).await.with_context(|| {
        let open: Vec<_> =
            story.record.last().filter(|(_, s)| !s.complete).map(|(job, s)| format!("{job}: {}", s.state)).collect();
        format!("the story did not end within {bound:?}: {}", open.join(", "))
    })??;
    Ok(Told { record: story.record, gpu_seconds: story.gpu_seconds })
}

struct Story<'a> {
    stage: &'a Stage,
    acts: Vec<Act>,
    record: Record,
    screen: Screen,
    gpu_seconds: Vec<(Timestamp, GpuSeconds)>,
    last_page: GpuSeconds,
    waiting_to_apply: Vec<Act>,
    kill_leader: bool,
    began: Instant,
}

impl<'a> Story<'a> {
    fn new(stage: &'a Stage, kill_leader: bool) -> Self {
        Self {
            stage,
            acts: stage.acts(),
            record: Record::default(),
            screen: Screen::default(),
            gpu_seconds: Vec::new(),
            last_page: GpuSeconds::default(),
            waiting_to_apply: Vec::new(),
            kill_leader,
            began: Instant::now(),
        }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let jobs: Api<TrainingJob> = Api::all(self.stage.client.clone());
        let pods: Api<Pod> = Api::all(self.stage.client.clone());
        let jobs = watcher(jobs, watcher::Config::default()).default_backoff().applied_objects();
        let pods =
            watcher(pods, watcher::Config::default().labels(labels::JOB_NAME)).default_backoff().applied_objects();
        let (mut jobs, mut pods) = (jobs.boxed(), pods.boxed());
        let mut tick = tokio::time::interval(TICK);

        // The gang comes once (c) holds what it asked for: the room that is left is one node short of a gang.
        let (gang, rest): (Vec<_>, Vec<_>) = self.acts.clone().into_iter().partition(|a| a.letter == 'd');
        self.waiting_to_apply = gang;
        for act in rest {
            self.apply(&act).await?;
        }
        loop {
            tokio::select! {
                job = jobs.try_next() => self.see(&job?.context("the watch on jobs ended")?).await?,
                pod = pods.try_next() => self.record.see_pod(&pod?.context("the watch on pods ended")?, Timestamp::now()),
                _ = tick.tick() => {
                    self.read_metrics().await;
                    self.screen.draw(&self.acts, &self.record);
                }
            }
            if self.acts.iter().all(|a| self.record.job(a.job).last().is_some_and(|s| s.complete || s.failed)) {
                self.read_metrics().await;
                self.screen.draw(&self.acts, &self.record);
                return Ok(());
            }
        }
    }

    async fn apply(&mut self, act: &Act) -> anyhow::Result<()> {
        let said = self
            .stage
            .kubectl
            .apply(&act.file)
            .await
            .with_context(|| format!("failed to apply {}", act.file.display()))?;
        self.screen.say(&format!("$ kubectl apply -f examples/{}.yaml\n{}", act.job, said.trim_end()));
        Ok(())
    }

    async fn see(&mut self, job: &TrainingJob) -> anyhow::Result<()> {
        if !self.record.see_job(job, Timestamp::now()) {
            return Ok(());
        }
        let name = job.name_any();
        let Some(act) = self.acts.iter().find(|a| a.job == name).cloned() else { return Ok(()) };
        let Some(seen) = self.record.job(&name).last().cloned() else { return Ok(()) };
        self.screen.changed(&act, &seen, self.began.elapsed().as_secs_f64());
        let running = seen.holds() && seen.sm_activity_percent.is_some() || seen.percent.is_some_and(|p| p > 0);
        if act.letter == 'c' && running {
            for gang in std::mem::take(&mut self.waiting_to_apply) {
                self.apply(&gang).await?;
            }
        }
        if self.kill_leader && act.letter == 'c' && seen.moves > 0 {
            self.kill_leader = false;
            self.kill_the_leader().await?;
        }
        Ok(())
    }

    async fn leader(&self) -> anyhow::Result<(SystemPod, String)> {
        for operator in self.stage.system_pods().await?.into_iter().filter(|pod| pod.component == "operator") {
            match operator.metrics().await {
                Ok(page) if page.lines().any(|l| l.trim() == "plimsoll_leader 1") => {
                    return Ok((operator, page));
                }
                _ => {}
            }
        }
        bail!("no operator leads")
    }

    /// Reads the leader's account of GPU time. While no operator leads there is none, and that is no error.
    async fn read_metrics(&mut self) {
        let Ok((_, page)) = self.leader().await else { return };
        let now = GpuSeconds::read(&page);
        let mut sum = self.gpu_seconds.last().map(|(_, sum)| sum.clone()).unwrap_or_default();
        sum.add_since(&self.last_page, &now);
        self.last_page = now;
        self.gpu_seconds.push((Timestamp::now(), sum));
    }

    /// Its pod is gone at once, as when its node is lost: the replica that stands by takes over.
    async fn kill_the_leader(&mut self) -> anyhow::Result<()> {
        let (leader, _) = self.leader().await?;
        let arguments = ["--namespace", NAMESPACE, "delete", "pod", &leader.name, "--grace-period=0", "--force"];
        self.stage.kubectl.run(arguments).await.context("failed to kill the leading operator")?;
        self.screen.say(&format!("$ kubectl {}   # the leading operator", arguments.join(" ")));
        Ok(())
    }
}
