//! What programs have said, and what they are answered. Pure, behind one lock that is held for a lookup.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use plimsoll_protocol::{CheckpointAsk, PlanReply, Report};
use plimsoll_scheduling::JobKey;
use tokio::sync::Notify;

use crate::learning::Heard;

/// What programs have said. Clones share it.
#[derive(Clone, Default)]
pub struct Progress {
    jobs: Arc<Mutex<BTreeMap<JobKey, Talk>>>,
    wake: Arc<Notify>,
}

/// The talk with the program of one job.
#[derive(Clone, Debug)]
struct Talk {
    /// UID of the job; another job of the same name talks anew.
    uid: String,
    /// What is answered.
    plan: PlanReply,
    /// What was said last.
    heard: Option<Heard>,
    /// The step of the newest checkpoint when one was asked for.
    asked_at: Option<Option<u64>>,
}

impl Progress {
    /// Wakes `wake` when something is said that the next cycle should not wait for.
    pub fn new(wake: Arc<Notify>) -> Self {
        Self { jobs: Arc::default(), wake }
    }

    /// Sets what the program of a job is answered from now on. `checkpoint_step` is that of the newest complete
    /// checkpoint: one that was asked for is a later one.
    pub fn plan(&self, job: &JobKey, uid: &str, plan: PlanReply, checkpoint_step: Option<u64>) {
        let mut jobs = self.lock();
        let talk = jobs.entry(job.clone()).or_insert_with(|| Talk::new(uid, plan.clone()));
        if talk.uid != uid {
            *talk = Talk::new(uid, plan.clone());
        }
        match (plan.checkpoint, talk.asked_at) {
            (CheckpointAsk::Now, None) => talk.asked_at = Some(checkpoint_step),
            (CheckpointAsk::None, Some(_)) => talk.asked_at = None,
            _ => {}
        }
        talk.plan = plan;
    }

    /// Forgets jobs that `keep` does not name.
    pub fn retain(&self, keep: impl Fn(&JobKey) -> bool) {
        self.lock().retain(|job, _| keep(job));
    }

    /// What a job's program said last.
    pub fn heard(&self, job: &JobKey, uid: &str) -> Option<Heard> {
        self.lock().get(job).filter(|talk| talk.uid == uid).and_then(|talk| talk.heard.clone())
    }

    /// Whether a checkpoint that was asked for is complete.
    pub fn checkpoint_written(&self, job: &JobKey, uid: &str) -> bool {
        let jobs = self.lock();
        let Some(talk) = jobs.get(job).filter(|talk| talk.uid == uid) else { return false };
        let (Some(before), Some(heard)) = (talk.asked_at, &talk.heard) else { return false };
        let step = heard.report.plimsoll.as_ref().and_then(|said| said.checkpoint.as_ref()).map(|done| done.step);
        heard.revision == talk.plan.revision && step > before
    }

    /// The live revision of a job, as its program is answered; `None` for a job that is not known.
    pub fn revision(&self, job: &JobKey) -> Option<u32> {
        self.lock().get(job).map(|talk| talk.plan.revision)
    }

    /// Takes a report in and gives the answer.
    pub fn hear(&self, job: &JobKey, revision: u32, report: Report, now: Timestamp) -> Option<PlanReply> {
        let mut jobs = self.lock();
        let talk = jobs.get_mut(job)?;
        let said = report.plimsoll.as_ref();
        // A program of an earlier revision may still speak; it is answered, not believed.
        let revision = said.map_or(revision, |said| if said.revision == 0 { revision } else { said.revision });
        if revision == talk.plan.revision {
            let before = talk.heard.as_ref().filter(|heard| heard.revision == revision);
            let first_step_at = before.and_then(|heard| heard.first_step_at).or(steps(&report).then_some(now));
            let urgent = is_urgent(before.map(|heard| &heard.report), &report);
            let report = merge(before.map(|heard| &heard.report), report);
            talk.heard = Some(Heard { revision, report, at: now, first_step_at });
            if urgent {
                self.wake.notify_one();
            }
        }
        Some(talk.plan.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobKey, Talk>> {
        // Every change replaces whole values, so that a panic elsewhere cannot leave one half written.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Talk {
    fn new(uid: &str, plan: PlanReply) -> Self {
        Self { uid: uid.into(), plan, heard: None, asked_at: None }
    }
}

/// Whether a report says that training steps are being made.
fn steps(report: &Report) -> bool {
    report.plimsoll.as_ref().is_some_and(|said| said.step_seconds.is_some() || said.step.is_some_and(|step| step > 0))
}

/// What a later report leaves out is what an earlier one said, where it is about the job as a whole.
fn merge(before: Option<&Report>, mut report: Report) -> Report {
    let Some(before) = before else { return report };
    report.trainer_status = report.trainer_status.or_else(|| before.trainer_status.clone());
    match (&mut report.plimsoll, &before.plimsoll) {
        (Some(said), Some(old)) => {
            said.total_steps = said.total_steps.or(old.total_steps);
            said.checkpoint = said.checkpoint.take().or_else(|| old.checkpoint.clone());
        }
        (said @ None, Some(old)) => *said = Some(old.clone()),
        _ => {}
    }
    report
}

/// The first report, a new checkpoint, the first peak or step time of a micro-batch: the next cycle should not wait.
fn is_urgent(before: Option<&Report>, report: &Report) -> bool {
    let Some(before) = before else { return true };
    let (Some(said), old) = (&report.plimsoll, before.plimsoll.as_ref()) else { return false };
    let Some(old) = old else { return true };
    let checkpoint = said.checkpoint.as_ref().map(|done| done.step);
    let new_checkpoint = checkpoint.is_some() && checkpoint != old.checkpoint.as_ref().map(|done| done.step);
    let new_batch = said.micro_batch != old.micro_batch;
    let first_peak = said.peak_memory_bytes.is_some() && (new_batch || old.peak_memory_bytes.is_none());
    let first_step = said.step_seconds.is_some() && (new_batch || old.step_seconds.is_none());
    new_checkpoint || first_peak || first_step
}

#[cfg(test)]
mod tests {
    use plimsoll_protocol::{CheckpointDone, TrainingReport};

    use super::*;

    fn key() -> JobKey {
        JobKey { namespace: "nlp".into(), name: "llm".into() }
    }

    fn plan(revision: u32, checkpoint: CheckpointAsk) -> PlanReply {
        PlanReply {
            revision,
            micro_batch: 4,
            accumulation: 2,
            checkpoint,
            stop_after_checkpoint: false,
            reason: String::new(),
        }
    }

    fn report(revision: u32, checkpoint: Option<u64>) -> Report {
        let checkpoint = checkpoint.map(|step| CheckpointDone { step, path: None, seconds: None });
        let said = TrainingReport { version: 1, revision, step: Some(5), checkpoint, ..TrainingReport::default() };
        Report { trainer_status: None, plimsoll: Some(said) }
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_job_that_is_not_known_gets_no_answer() {
        assert_eq!(Progress::default().hear(&key(), 1, report(1, None), NOW), None);
    }

    #[test]
    fn a_checkpoint_that_was_asked_for_is_a_later_one() {
        let progress = Progress::default();
        progress.plan(&key(), "u", plan(2, CheckpointAsk::None), Some(100));
        progress.hear(&key(), 2, report(2, Some(100)), NOW);
        progress.plan(&key(), "u", plan(2, CheckpointAsk::Now), Some(100));
        assert!(!progress.checkpoint_written(&key(), "u"), "that one was there before");
        let reply = progress.hear(&key(), 2, report(2, Some(120)), NOW).unwrap();
        assert_eq!(reply.checkpoint, CheckpointAsk::Now);
        assert!(progress.checkpoint_written(&key(), "u"));
        assert!(!progress.checkpoint_written(&key(), "another job of the same name"));
    }

    #[test]
    fn the_first_checkpoint_of_all_counts_too() {
        let progress = Progress::default();
        progress.plan(&key(), "u", plan(1, CheckpointAsk::Now), None);
        assert!(!progress.checkpoint_written(&key(), "u"));
        progress.hear(&key(), 1, report(1, Some(0)), NOW);
        assert!(progress.checkpoint_written(&key(), "u"));
    }

    #[test]
    fn an_earlier_revision_is_answered_and_not_believed() {
        let progress = Progress::default();
        progress.plan(&key(), "u", plan(2, CheckpointAsk::None), None);
        assert_eq!(progress.hear(&key(), 1, report(1, Some(9)), NOW).unwrap().revision, 2);
        assert_eq!(progress.heard(&key(), "u"), None);
    }

    #[test]
    fn the_first_step_of_a_revision_is_remembered() {
        let progress = Progress::default();
        progress.plan(&key(), "u", plan(1, CheckpointAsk::None), None);
        let later = Timestamp::from_second(60).unwrap();
        progress.hear(&key(), 1, Report::default(), NOW);
        progress.hear(&key(), 1, report(1, None), later);
        progress.hear(&key(), 1, report(1, None), Timestamp::from_second(90).unwrap());
        assert_eq!(progress.heard(&key(), "u").unwrap().first_step_at, Some(later));
    }

    #[test]
    fn only_news_wakes_the_cycle() {
        let first = report(1, Some(1));
        assert!(is_urgent(None, &first));
        assert!(!is_urgent(Some(&first), &first));
        assert!(is_urgent(Some(&first), &report(1, Some(2))));
        let mut peak = first.clone();
        peak.plimsoll.as_mut().unwrap().peak_memory_bytes = Some(1);
        assert!(is_urgent(Some(&first), &peak));
    }
}
