//! The training itself: steps that take their time, reports of them, and what the replies ask for.

use std::time::{Duration, Instant};

use plimsoll_protocol::{CheckpointAsk, CheckpointDone, PlanReply, Report, TrainerStatus, TrainingReport};
use serde::Serialize;
use tokio::signal::unix::Signal;
use tokio::task::JoinHandle;

use crate::args::Args;
use crate::checkpoint::{self, CheckpointError};
use crate::endpoint::{Endpoint, EndpointError};

/// Least time between two reports.
const INTERVAL: Duration = Duration::from_secs(1);

/// How it ended: the program's last line.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// Always `ended`.
    pub(crate) event: &'static str,
    /// `completed`, `terminated` or `asked`.
    pub(crate) reason: &'static str,
    /// The last step done.
    pub(crate) step: u64,
    /// Reports that were answered.
    pub(crate) reports_answered: u64,
}

/// A training that runs.
pub(crate) struct Training {
    args: Args,
    step: u64,
    micro_batch: Option<u32>,
    accumulation: Option<u32>,
    checkpoint: Option<CheckpointDone>,
    endpoint: Option<Endpoint>,
    /// The report that is under way. It never holds a step up.
    sending: Option<JoinHandle<Result<PlanReply, EndpointError>>>,
    sent: Option<Instant>,
    answered: u64,
    silent: bool,
}

impl Training {
    /// Begins after the step of a checkpoint.
    pub(crate) fn new(args: Args, resumed: Option<u64>) -> Self {
        let endpoint = (!args.server_url.is_empty() && args.node_rank == 0).then(|| Endpoint {
            url: args.server_url.clone(),
            token: args.server_token.clone(),
            authority: args.server_ca_cert.clone(),
        });
        let (micro_batch, accumulation) = (args.micro_batch, args.accumulation);
        Self {
            args,
            step: resumed.unwrap_or(0),
            micro_batch,
            accumulation,
            checkpoint: None,
            endpoint,
            sending: None,
            sent: None,
            answered: 0,
            silent: false,
        }
    }

    /// Trains until it is done or told to end, and keeps what was done.
    pub(crate) async fn run(mut self, ended: &mut Signal) -> Result<Outcome, CheckpointError> {
        let mut reason = "completed";
        while self.step < self.args.total_steps() {
            tokio::select! {
                _ = ended.recv() => {
                    reason = "terminated";
                    break;
                }
                () = tokio::time::sleep(self.args.step()) => self.step += 1,
            }
            if self.heard().await? {
                reason = "asked";
                break;
            }
            self.report(false);
        }
        self.keep()?;
        // The one under way, and then the last word. What they answer changes nothing now.
        let task = self.sending.take();
        self.take(task).await;
        self.report(true);
        let task = self.sending.take();
        self.take(task).await;
        Ok(Outcome { event: "ended", reason, step: self.step, reports_answered: self.answered })
    }

    /// Does what an answer asks for, if one is there. Returns whether to end.
    async fn heard(&mut self) -> Result<bool, CheckpointError> {
        let Some(task) = self.sending.take_if(|task| task.is_finished()) else { return Ok(false) };
        let Some(plan) = self.take(Some(task)).await else { return Ok(false) };
        if plan.revision == self.args.revision {
            (self.micro_batch, self.accumulation) = (Some(plan.micro_batch), Some(plan.accumulation));
        }
        if plan.checkpoint == CheckpointAsk::Now {
            self.keep()?;
        }
        Ok(plan.stop_after_checkpoint)
    }

    /// The plan of an answer, once it is there. The first of several failures is told.
    async fn take(&mut self, task: Option<JoinHandle<Result<PlanReply, EndpointError>>>) -> Option<PlanReply> {
        match task?.await.ok()? {
            Ok(plan) => {
                (self.answered, self.silent) = (self.answered + 1, false);
                Some(plan)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.silent, true) {
                    eprintln!("training goes on without reports: {:#}", anyhow::Error::from(error));
                }
                None
            }
        }
    }

    fn keep(&mut self) -> Result<(), CheckpointError> {
        let Some(folder) = self.args.checkpoint_dir() else { return Ok(()) };
        let began = Instant::now();
        let path = checkpoint::write(folder, self.step)?;
        let path = Some(path.to_string_lossy().into_owned());
        self.checkpoint = Some(CheckpointDone { step: self.step, path, seconds: Some(began.elapsed().as_secs_f64()) });
        Ok(())
    }

    fn report(&mut self, last: bool) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        let due = last || self.sent.is_none_or(|sent| sent.elapsed() >= INTERVAL);
        if !due || self.sending.is_some() {
            return;
        }
        let report = self.now();
        self.sent = Some(Instant::now());
        self.sending = Some(tokio::task::spawn_blocking(move || endpoint.post(&report).map(|reply| reply.plan)));
    }

    /// What it says of itself.
    fn now(&self) -> Report {
        let total = self.args.total_steps();
        let left = total.saturating_sub(self.step) as f64 * self.args.step_seconds;
        Report {
            trainer_status: Some(TrainerStatus {
                progress_percentage: i32::try_from(self.step.min(total) * 100 / total.max(1)).ok(),
                estimated_remaining_seconds: Some(left.ceil() as i64),
                ..TrainerStatus::default()
            }),
            plimsoll: Some(TrainingReport {
                version: 1,
                revision: self.args.revision,
                step: Some(self.step),
                total_steps: Some(total),
                step_seconds: Some(self.args.step_seconds),
                micro_batch: self.micro_batch,
                accumulation: self.accumulation,
                checkpoint: self.checkpoint.clone(),
                ..TrainingReport::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    #[tokio::test]
    async fn a_training_ends_with_a_checkpoint_and_a_resumed_one_only_does_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        let args = ["trainer", "--seconds", "0.05", "--step-seconds", "0.01", "--checkpoint-dir", dir];
        let args = Args::try_parse_from(args).unwrap();
        let mut never = signal(SignalKind::user_defined1()).unwrap();
        let outcome = Training::new(args.clone(), Some(3)).run(&mut never).await.unwrap();
        assert_eq!(outcome, Outcome { event: "ended", reason: "completed", step: 5, reports_answered: 0 });
        assert_eq!(checkpoint::read(folder.path()).unwrap(), Some(5));
        let report = Training::new(args, Some(3)).now();
        assert_eq!(report.trainer_status.unwrap().progress_percentage, Some(60));
    }
}
