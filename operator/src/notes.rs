//! What users are told: Kubernetes Events about their jobs. Client required.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use plimsoll_crds::TrainingJob;

use crate::sentence::sentence;

/// Longest note that the API keeps.
const LONGEST: usize = 1024;

/// One thing that a user is told, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What happened, in a word: the reason of the Event.
    pub reason: String,
    /// What happened, in a sentence.
    pub message: String,
    /// Whether it is a warning.
    pub warning: bool,
}

/// Writes Events.
#[derive(Clone)]
pub struct Notes {
    recorder: Recorder,
}

impl Notes {
    /// Writes as `identity`.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: "plimsoll.dev/operator".into(), instance: Some(identity.into()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Tells the user of a job. Nobody waits for an Event that cannot be written.
    pub async fn tell(&self, job: &TrainingJob, notes: &[Note]) {
        let about: ObjectReference = job.object_ref(&());
        for Note { reason, message, warning } in notes {
            let event = Event {
                type_: if *warning { EventType::Warning } else { EventType::Normal },
                reason: reason.clone(),
                note: Some(crate::job::memory::shorten(message, LONGEST)),
                action: reason.clone(),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, &about).await {
                tracing::warn!(job = about.name, reason, error = sentence(&error), "failed to write an Event");
            }
        }
    }
}
