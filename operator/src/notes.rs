//! What users are told: Kubernetes Events about their jobs. Client required.

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource as _};
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

/// Writes Events. Each of them is written anew: kube's recorder takes two of a job with the same reason for one, and a
/// job's second size has other numbers than its first.
#[derive(Clone)]
pub struct Notes {
    client: Client,
    identity: String,
}

impl Notes {
    /// Writes as `identity`.
    pub fn new(client: Client, identity: &str) -> Self {
        Self { client, identity: identity.into() }
    }

    /// Tells the user of a job. Nobody waits for an Event that cannot be written.
    pub async fn tell(&self, job: &TrainingJob, notes: &[Note], now: Timestamp) {
        let namespace = job.metadata.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        for (at, note) in notes.iter().enumerate() {
            if let Err(error) = api.create(&PostParams::default(), &self.event(job, note, at, now)).await {
                let (job, reason) = (&job.metadata.name, &note.reason);
                tracing::warn!(job, reason, error = sentence(&error), "failed to write an Event");
            }
        }
    }

    fn event(&self, job: &TrainingJob, note: &Note, at: usize, now: Timestamp) -> Event {
        let Note { reason, message, warning } = note;
        let about = job.object_ref(&());
        let name = about.name.clone().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}{at:x}", now.as_nanosecond())),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(reason.clone()),
            event_time: Some(MicroTime(now)),
            note: Some(crate::job::memory::shorten(message, LONGEST)),
            reason: Some(reason.clone()),
            regarding: Some(about),
            reporting_controller: Some("plimsoll.dev/operator".into()),
            reporting_instance: Some(crate::job::memory::shorten(&self.identity, 128)),
            type_: Some(if *warning { "Warning" } else { "Normal" }.into()),
            ..Event::default()
        }
    }
}
