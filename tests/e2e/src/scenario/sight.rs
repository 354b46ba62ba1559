//! What must be seen of a job.

use plimsoll_crds::condition::job as kind;
use plimsoll_crds::training_job::{Counters, TrainingJobStatus};

/// What a job's status must come to say. What is empty or absent may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight {
    /// The State column.
    pub state: &'static str,
    /// The reason why it waits, or that of a condition.
    pub reason: &'static str,
    /// Part of the sentence that goes with the reason.
    pub says: &'static str,
    /// The newest revision.
    pub revision: Option<i32>,
    /// Failures of the program, and disruptions, since it was created.
    pub failures_and_disruptions: Option<(i32, i32)>,
}

impl Sight {
    /// The reason and the sentence by which a status says it, if it does.
    pub(super) fn of(&self, status: &TrainingJobStatus) -> Option<(String, String)> {
        let state = status.summary.as_deref().unwrap_or_default();
        let revision = status.lifecycle.as_ref().map_or(0, |lifecycle| lifecycle.last_revision);
        let Counters { failures, disruptions, .. } = status.counters.clone().unwrap_or_default();
        let holds = (self.state.is_empty() || self.state == state)
            && self.revision.is_none_or(|wanted| wanted == revision)
            && self.failures_and_disruptions.is_none_or(|wanted| wanted == (failures, disruptions));
        let said = |(reason, message): &(String, String)| {
            (self.reason.is_empty() || self.reason == reason) && message.contains(self.says)
        };
        sentences(status).find(said).filter(|_| holds)
    }
}

/// Why it waits, why it runs or does not, how it ended: reasons with their sentences.
pub(super) fn sentences(status: &TrainingJobStatus) -> impl Iterator<Item = (String, String)> {
    let waiting = status.waiting.iter().map(|waiting| (waiting.reason.clone(), waiting.message.clone()));
    let order = [kind::FAILED, kind::COMPLETE, kind::RUNNING, kind::ADMITTED];
    let conditions = order.into_iter().filter_map(|type_| status.conditions.iter().find(|c| c.type_ == type_));
    waiting.chain(conditions.map(|c| (c.reason.clone(), c.message.clone())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> TrainingJobStatus {
        let running = json!({"type": "Running", "status": "False", "reason": "ErrImagePull", "message": "no such image",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let waiting = json!({"reason": "Starting", "message": "1 of 1 pods are bound"});
        let status = json!({"summary": "Starting", "waiting": waiting, "conditions": [running],
            "lifecycle": {"state": "Starting", "lastRevision": 2}});
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_reason_and_its_own_sentence_are_seen_together() {
        let sight = Sight { state: "Starting", reason: "ErrImagePull", says: "such", ..Sight::default() };
        assert_eq!(sight.of(&status()), Some(("ErrImagePull".to_owned(), "no such image".to_owned())));
        assert!(Sight { says: "bound", ..sight }.of(&status()).is_none(), "the sentence of another reason");
        assert!(Sight { state: "Running", ..sight }.of(&status()).is_none());
    }

    #[test]
    fn counts_must_be_as_they_are_said() {
        let sight = Sight { revision: Some(2), failures_and_disruptions: Some((0, 0)), ..Sight::default() };
        assert!(sight.of(&status()).is_some());
        assert!(Sight { revision: Some(1), ..sight }.of(&status()).is_none());
        assert!(Sight { failures_and_disruptions: Some((0, 1)), ..sight }.of(&status()).is_none());
    }
}
