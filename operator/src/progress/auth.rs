//! Who may report for a job: a pod of its live revision, by its projected token. Client required for the review alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client};
use plimsoll_crds::labels;
use plimsoll_scheduling::JobKey;
use sha2::{Digest as _, Sha256};

use crate::job::build::volumes::audience;

/// For how long a review is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// Reviews that are remembered at most.
const REMEMBERED: usize = 10_000;
/// Reports of one pod that may come at once.
const BURST: f64 = 10.0;
/// Reports of one pod each second, in the long run.
const RATE: f64 = 2.0;

/// Why a report is not heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token, or one that is not for this job.
    #[error("the token is missing, expired or not for this job")]
    Unauthenticated,
    /// A token of something else.
    #[error("the token is not of a pod of this job's live revision")]
    Forbidden,
    /// Too many reports.
    #[error("too many reports: send at most {RATE} a second")]
    TooMany,
    /// The apiserver did not review the token.
    #[error("the token could not be reviewed now")]
    Unavailable,
}

/// A pod that a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

/// Reviews tokens and remembers the good ones for a while.
pub struct Doorkeeper {
    reviews: Api<TokenReview>,
    pods: Store<Pod>,
    believed: Mutex<BTreeMap<[u8; 32], (Speaker, Instant)>>,
    budgets: Mutex<BTreeMap<String, (f64, Instant)>>,
}

impl Doorkeeper {
    /// Believes what the apiserver says of tokens, and the store of pods.
    pub fn new(client: Client, pods: Store<Pod>) -> Self {
        Self { reviews: Api::all(client), pods, believed: Mutex::default(), budgets: Mutex::default() }
    }

    /// Lets a report in, or not. Returns the revision of the pod that sent it.
    ///
    /// # Errors
    /// When it is not let in.
    pub async fn admit(&self, job: &JobKey, live: u32, token: &str, now: Instant) -> Result<u32, Refusal> {
        let speaker = self.speaker(job, token, now).await?;
        if !self.within_budget(&speaker.uid, now) {
            return Err(Refusal::TooMany);
        }
        let pod = self.pods.get(&ObjectRef::new(&speaker.pod).within(&job.namespace));
        let revision = pod.as_deref().and_then(|pod| revision_of(pod, &job.name, &speaker));
        revision.filter(|revision| *revision == live).ok_or(Refusal::Forbidden)
    }

    async fn speaker(&self, job: &JobKey, token: &str, now: Instant) -> Result<Speaker, Refusal> {
        let audience = audience(&job.namespace, &job.name);
        let digest = digest(token, &audience);
        if let Some((speaker, until)) = lock(&self.believed).get(&digest)
            && *until > now
        {
            return Ok(speaker.clone());
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec { audiences: Some(vec![audience.clone()]), token: Some(token.into()) },
            status: None,
        };
        let answer = self.reviews.create(&PostParams::default(), &review).await.map_err(|error| {
            tracing::warn!(error = crate::sentence::sentence(&error), "failed to review a token");
            Refusal::Unavailable
        })?;
        let speaker = answer.status.and_then(|status| read(&status, &job.namespace, &audience));
        let speaker = speaker.ok_or(Refusal::Unauthenticated)?;
        let mut believed = lock(&self.believed);
        if believed.len() >= REMEMBERED {
            believed.retain(|_, (_, until)| *until > now);
        }
        if believed.len() < REMEMBERED {
            believed.insert(digest, (speaker.clone(), now + BELIEVED));
        }
        Ok(speaker)
    }

    /// A bucket of tokens for each pod.
    fn within_budget(&self, pod: &str, now: Instant) -> bool {
        let mut budgets = lock(&self.budgets);
        if budgets.len() >= REMEMBERED {
            budgets.retain(|_, (_, at)| now.duration_since(*at) < BELIEVED);
        }
        let (left, at) = budgets.entry(pod.into()).or_insert((BURST, now));
        let gained = now.saturating_duration_since(*at).as_secs_f64() * RATE;
        (*left, *at) = ((*left + gained).min(BURST), now);
        let enough = *left >= 1.0;
        *left -= f64::from(u8::from(enough));
        enough
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest(token: &str, audience: &str) -> [u8; 32] {
    Sha256::new().chain_update(audience).chain_update([0]).chain_update(token).finalize().into()
}

/// The pod that a reviewed token is bound to.
fn read(status: &TokenReviewStatus, namespace: &str, audience: &str) -> Option<Speaker> {
    let authenticated = status.authenticated == Some(true) && status.error.as_deref().unwrap_or_default().is_empty();
    let meant = status.audiences.iter().flatten().any(|one| one == audience);
    let user = status.user.as_ref()?;
    let prefix = format!("system:serviceaccount:{namespace}:");
    let local = user.username.as_deref().is_some_and(|name| name.starts_with(&prefix));
    let extra = |key: &str| user.extra.as_ref()?.get(key)?.first().cloned();
    let speaker = Speaker {
        pod: extra("authentication.kubernetes.io/pod-name")?,
        uid: extra("authentication.kubernetes.io/pod-uid")?,
    };
    (authenticated && meant && local).then_some(speaker)
}

/// The revision of a pod, if it is the very pod that speaks and one of the job's.
fn revision_of(pod: &Pod, job: &str, speaker: &Speaker) -> Option<u32> {
    let labels = pod.metadata.labels.as_ref()?;
    let is_it = pod.metadata.uid.as_ref() == Some(&speaker.uid);
    let is_of_job = labels.get(labels::JOB_NAME).is_some_and(|name| name == job);
    if is_it && is_of_job { labels.get(labels::REVISION)?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower_test::mock;

    use super::*;

    fn review(rest: serde_json::Value) -> TokenReviewStatus {
        let mut status = json!({
            "authenticated": true,
            "audiences": ["plimsoll.dev/nlp/llm"],
            "user": {"username": "system:serviceaccount:nlp:default", "extra": {
                "authentication.kubernetes.io/pod-name": ["llm-r1-0"],
                "authentication.kubernetes.io/pod-uid": ["p1"]}},
        });
        for (key, value) in rest.as_object().unwrap() {
            status[key] = value.clone();
        }
        serde_json::from_value(status).unwrap()
    }

    fn speaker(rest: serde_json::Value) -> Option<Speaker> {
        read(&review(rest), "nlp", "plimsoll.dev/nlp/llm")
    }

    #[test]
    fn a_token_speaks_for_the_pod_that_it_is_bound_to() {
        assert_eq!(speaker(json!({})), Some(Speaker { pod: "llm-r1-0".into(), uid: "p1".into() }));
    }

    #[test]
    fn a_token_that_is_not_authentic_meant_or_local_speaks_for_nobody() {
        assert_eq!(speaker(json!({"authenticated": false})), None);
        assert_eq!(speaker(json!({"audiences": ["plimsoll.dev/nlp/other"]})), None);
        assert_eq!(speaker(json!({"audiences": []})), None);
        assert_eq!(speaker(json!({"error": "expired"})), None);
        let elsewhere = json!({"user": {"username": "system:serviceaccount:cv:default", "extra": {
            "authentication.kubernetes.io/pod-name": ["llm-r1-0"],
            "authentication.kubernetes.io/pod-uid": ["p1"]}}});
        assert_eq!(speaker(elsewhere), None);
        assert_eq!(speaker(json!({"user": {"username": "system:serviceaccount:nlp:default"}})), None, "no pod");
    }

    #[test]
    fn the_pod_must_be_the_very_one_and_of_the_job() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "llm-r2-0", "uid": "p1",
            "labels": {"plimsoll.dev/job-name": "llm", "plimsoll.dev/revision": "2"}}}))
        .unwrap();
        let of = |uid: &str, job: &str| revision_of(&pod, job, &Speaker { pod: "llm-r2-0".into(), uid: uid.into() });
        assert_eq!(of("p1", "llm"), Some(2));
        assert_eq!(of("p0", "llm"), None, "a pod of the same name that is gone");
        assert_eq!(of("p1", "other"), None);
    }

    #[tokio::test]
    async fn a_reviewed_token_is_believed_for_a_minute_and_a_pod_has_a_budget() {
        let (service, mut apiserver) = mock::pair::<Request<Body>, Response<Body>>();
        let (store, mut writer) = kube::runtime::reflector::store::<Pod>();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "llm-r1-0", "namespace": "nlp", "uid": "p1",
            "labels": {"plimsoll.dev/job-name": "llm", "plimsoll.dev/revision": "1"}}}))
        .unwrap();
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(pod));
        let door = Doorkeeper::new(Client::new(service, "default"), store);
        let answering = tokio::spawn(async move {
            for _ in 0..2 {
                let (_, send) = apiserver.next_request().await.unwrap();
                let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
                    "spec": {}, "status": review(json!({}))});
                send.send_response(Response::new(serde_json::to_vec(&body).unwrap().into()));
            }
        });
        let key = JobKey { namespace: "nlp".into(), name: "llm".into() };
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(door.admit(&key, 1, "token", now).await, Ok(1));
        }
        assert_eq!(door.admit(&key, 1, "token", now).await, Err(Refusal::TooMany));
        let later = now + Duration::from_secs(61);
        assert_eq!(door.admit(&key, 1, "token", later).await, Ok(1), "reviewed anew");
        assert_eq!(door.admit(&key, 2, "token", later).await, Err(Refusal::Forbidden), "a revision that is over");
        answering.await.unwrap();
    }
}
