use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::{ApplyError, Done, Hands, Order};
use crate::config::Config;
use crate::fixtures::{ended, holding, job, now, pod, think, world};
use crate::job::{Known, Turn, rendezvous, update_status};
use crate::lease::Fence;
use crate::notes::Notes;
use crate::world::World;

/// What the apiserver of a test does with pods.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Server {
    /// Accepts everything.
    #[default]
    Accepts,
    /// Refuses the trial.
    RefusesTrial,
    /// Lets the trial pass and refuses the pods.
    RefusesPods,
    /// Has the pods already, as this job's.
    HasPods,
    /// Has pods of the names that are somebody else's.
    HasOthersPods,
    /// Refuses Services.
    RefusesServices,
    /// Has a Service of the name that is somebody else's.
    HasOthersService,
    /// Says that the job has changed.
    Conflicts,
}

fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message}),
    )
}

impl Server {
    fn answer(self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        let (is_pod, is_service) = (path.contains("/pods"), path.contains("/services"));
        let trial = query.contains("dryRun");
        match (method.as_str(), self) {
            ("PUT", Self::Conflicts) => status(409, "Conflict", "the object has been modified"),
            ("PUT", _) => {
                let mut written = body;
                written["metadata"]["resourceVersion"] = json!("8");
                (200, written)
            }
            ("POST", Self::RefusesTrial) if is_pod && trial => status(403, "Forbidden", "violates PodSecurity"),
            ("POST", Self::RefusesPods) if is_pod && !trial => status(403, "Forbidden", "exceeded quota"),
            ("POST", Self::HasPods | Self::HasOthersPods) if is_pod && !trial => {
                status(409, "AlreadyExists", "pods already exist")
            }
            ("POST", Self::RefusesServices) if is_service => status(403, "Forbidden", "exceeded quota"),
            ("POST", Self::HasOthersService) if is_service => status(409, "AlreadyExists", "services already exist"),
            ("GET", this) if is_pod || is_service => {
                let uid = if this == Self::HasPods { "job-uid" } else { "another" };
                let name = path.rsplit('/').next().unwrap_or_default();
                (
                    200,
                    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name,
                    "ownerReferences": [{"apiVersion": "a", "kind": "b", "name": "llm", "uid": uid}]}}),
                )
            }
            _ => (200, if body.is_null() { json!({"kind": "Status", "status": "Success"}) } else { body }),
        }
    }
}

/// Hands that write to an apiserver of the given kind, and the list of calls it gets.
fn hands(server: Server) -> (Hands, Arc<Mutex<Vec<String>>>) {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = calls.clone();
    tokio::spawn(async move {
        while let Some((request, send)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap_or_default();
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
            let last = path.rsplit('/').take(2).collect::<Vec<_>>();
            let what = if last[0] == "status" { format!("{}/status", last[1]) } else { last[0].to_owned() };
            let name = body.pointer("/metadata/name").and_then(Value::as_str).filter(|_| parts.method == Method::POST);
            let dry = if query.contains("dryRun") { " (trial)" } else { "" };
            let name = name.filter(|_| what == "pods").map(|name| format!(" {name}")).unwrap_or_default();
            seen.lock().unwrap().push(format!("{} {what}{name}{dry}", parts.method));
            let (code, answer) = server.answer(&parts.method, path, query, body);
            let bytes = serde_json::to_vec(&answer).unwrap();
            send.send_response(Response::builder().status(code).body(bytes.into()).unwrap());
        }
    });
    let client = Client::new(service, "default");
    let fence = Fence::default();
    fence.set(Some(Instant::now() + Duration::from_secs(60)));
    (Hands { notes: Notes::new(client.clone(), "me"), client, fence, leader: None, authority: "CA".into() }, calls)
}

/// A new job with a decision to start it.
fn starting(world: &World) -> Turn {
    let mut turn = think(world, &job(None), Known::default());
    let planned = vec![turn.planned(&Config::default(), now()).unwrap()];
    let snapshot = plimsoll_observe::snapshot(&world.objects, &planned, &Config::default().planning(), now());
    turn.decide(plimsoll_scheduling::plan(&snapshot, now()).decisions.remove(0).action, now());
    update_status::finish(&mut turn, &world.classes, jiff::SignedDuration::from_secs(300), now());
    turn
}

async fn apply(hands: &Hands, turn: &Turn) -> Result<Done, ApplyError> {
    let config = Config::default();
    let order = Order {
        config: &config,
        resource: Some("nvidia.com/gpu"),
        write: true,
        tried: false,
        now: now(),
        pending: &[],
    };
    hands.apply(turn, order).await
}

fn calls(seen: &Arc<Mutex<Vec<String>>>) -> Vec<String> {
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn the_allocation_is_written_before_any_pod_and_after_a_trial() {
    let (hands, seen) = hands(Server::Accepts);
    let done = apply(&hands, &starting(&world(vec![]))).await.unwrap();
    assert_eq!(
        calls(&seen),
        [
            "POST pods llm-r1-0 (trial)",
            "PATCH plimsoll-progress-ca",
            "PUT llm/status",
            "POST events",
            "POST events",
            "POST services",
            "POST pods llm-r1-0",
            "POST pods llm-r1-1"
        ]
    );
    assert_eq!(done.created, ["llm-r1-0", "llm-r1-1"]);
    assert!(done.trial_passed.is_some() && done.written.is_some() && done.pod_refused.is_none());
}

#[tokio::test]
async fn a_refused_trial_writes_nothing() {
    let (hands, seen) = hands(Server::RefusesTrial);
    let done = apply(&hands, &starting(&world(vec![]))).await.unwrap();
    assert_eq!(calls(&seen), ["POST pods llm-r1-0 (trial)"]);
    assert_eq!(done.trial_refused.unwrap().1, "violates PodSecurity");
    assert!(done.written.is_none());
}

#[tokio::test]
async fn whoever_lost_the_race_for_the_status_creates_nothing() {
    let (hands, seen) = hands(Server::Conflicts);
    let result = apply(&hands, &starting(&world(vec![]))).await;
    assert!(matches!(result, Err(ApplyError::Stale { .. })), "{result:?}");
    assert!(!calls(&seen).iter().any(|call| call.starts_with("POST pods") && !call.contains("trial")));
}

#[tokio::test]
async fn pods_that_exist_and_are_ours_are_a_success() {
    let (hands, _) = hands(Server::HasPods);
    let done = apply(&hands, &starting(&world(vec![]))).await.unwrap();
    assert_eq!((done.created.len(), done.pod_refused), (2, None));
}

#[tokio::test]
async fn pods_of_somebody_else_are_a_refusal() {
    let (hands, _) = hands(Server::HasOthersPods);
    let done = apply(&hands, &starting(&world(vec![]))).await.unwrap();
    assert!(done.pod_refused.unwrap().1.contains("belongs to something else"));
}

#[tokio::test]
async fn a_create_that_fails_takes_the_revision_back_whole() {
    let (hands, _) = hands(Server::RefusesPods);
    let turn = starting(&world(vec![]));
    let done = apply(&hands, &turn).await.unwrap();
    assert_eq!(done.pod_refused, Some((1, "exceeded quota".into())));

    // The next cycle hears of it: nothing is held any more, and the job says what the apiserver said.
    let committed = serde_json::to_value(done.written.unwrap().status.clone()).unwrap();
    let known = Known { pod_refused: done.pod_refused, ..Known::default() };
    let empty = world(vec![]);
    let mut turn = think(&empty, &job(Some(committed)), known);
    let planned = vec![turn.planned(&Config::default(), now()).unwrap()];
    let snapshot = plimsoll_observe::snapshot(&empty.objects, &planned, &Config::default().planning(), now());
    turn.decide(plimsoll_scheduling::plan(&snapshot, now()).decisions.remove(0).action, now());
    update_status::finish(&mut turn, &empty.classes, jiff::SignedDuration::from_secs(300), now());
    assert!(turn.status.allocation.is_none());
    let waiting = turn.status.waiting.unwrap();
    assert_eq!((waiting.reason.as_str(), waiting.message.as_str()), ("PodsRejected", "exceeded quota"));
    assert_eq!(turn.notes[0].reason, "PodsRejected");
}

#[tokio::test]
async fn no_pod_of_a_gang_is_created_before_its_names_resolve() {
    for (server, said) in [
        (Server::RefusesServices, "exceeded quota"),
        (Server::HasOthersService, "a Service named llm-r1 exists and belongs to something else"),
    ] {
        let (hands, seen) = hands(server);
        let done = apply(&hands, &starting(&world(vec![]))).await.unwrap();
        assert_eq!(done.pod_refused, Some((1, said.into())));
        assert!(!calls(&seen).iter().any(|call| call.starts_with("POST pods") && !call.contains("trial")));
    }
}

#[tokio::test]
async fn a_revision_of_one_pod_gets_no_service() {
    let (hands, seen) = hands(Server::Accepts);
    let mut turn = starting(&world(vec![]));
    turn.status.allocation.as_mut().unwrap().pods = 1;
    let done = apply(&hands, &turn).await.unwrap();
    assert_eq!(done.created, ["llm-r1-0"]);
    assert!(!calls(&seen).contains(&"POST services".to_owned()));
}

#[tokio::test]
async fn what_a_job_that_holds_nothing_left_is_deleted() {
    let (hands, seen) = hands(Server::Accepts);
    let running = job(Some(holding("Running")));
    let service = rendezvous::service(&running, running.status.as_ref().unwrap().allocation.as_ref().unwrap());
    let world = world(vec![pod(0, ended(0, "")), pod(1, ended(0, ""))]);
    let turn = think(&world, &running, Known::default());
    let turns = BTreeMap::from([(turn.key.clone(), turn)]);
    rendezvous::keep(&hands, &[Arc::new(service.unwrap())], &turns).await.unwrap();
    assert_eq!(calls(&seen), ["DELETE llm-r1"]);
}

#[tokio::test]
async fn nothing_is_written_once_the_lease_is_over() {
    let (hands, seen) = hands(Server::Accepts);
    hands.fence.set(Some(Instant::now()));
    assert!(matches!(apply(&hands, &starting(&world(vec![]))).await, Err(ApplyError::Fenced(_))));
    assert!(calls(&seen).is_empty());
}

#[tokio::test]
async fn a_pod_is_let_go_once_its_outcome_is_written() {
    let (hands, seen) = hands(Server::Accepts);
    let world = world(vec![pod(0, ended(0, "")), pod(1, ended(0, ""))]);
    let mut turn = think(&world, &job(Some(holding("Running"))), Known::default());
    update_status::finish(&mut turn, &world.classes, jiff::SignedDuration::from_secs(300), now());
    apply(&hands, &turn).await.unwrap();
    assert_eq!(calls(&seen), ["PUT llm/status", "POST events", "PATCH llm-r1-0", "PATCH llm-r1-1"]);
}

#[tokio::test]
async fn a_pod_that_ended_while_others_run_is_kept() {
    let (hands, seen) = hands(Server::Accepts);
    let world = world(vec![pod(0, ended(0, "")), pod(1, crate::fixtures::runs())]);
    let turn = think(&world, &job(Some(holding("Running"))), Known::default());
    apply(&hands, &turn).await.unwrap();
    assert_eq!(calls(&seen), ["PUT llm/status"]);
}
