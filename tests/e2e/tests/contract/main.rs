//! What a training program in a real container really sees: the environment of docs/training-contract.md and no other, the
//! device that the kubelet gave it and the agent knows of, the rendezvous by its name, the progress endpoint with its own
//! token and no other. And the chart's own tests, and what an uninstall leaves.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{ListParams, LogParams, PostParams};
use kube::client::{Body, Client};
use kube::{Api, Config};
use plimsoll_crds::{AcceleratorNode, TrainingJob};
use plimsoll_e2e::binaries::{Binaries, checkout};
use plimsoll_e2e::helm::NAMESPACE;
use plimsoll_e2e::release;
use plimsoll_e2e::stage::{Stage, StageSpec};
use plimsoll_test_cluster::REAL_NODE;
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// What the image, the container runtime, the kubelet and the device plugin set in every container.
const NOT_OURS: [&str; 4] = ["PATH", "HOSTNAME", "HOME", "NVIDIA_VISIBLE_DEVICES"];

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(real_node),
    ignore = "needs root, runc, CNI plugins, nftables, iproute2 and cc; touch build.rs once they are there"
)]
async fn a_program_sees_what_the_contract_lists_and_the_chart_passes_its_own_tests() -> Result<()> {
    let quiet = plimsoll_test_cluster::quiet();
    let binaries = Binaries::build(quiet).await?;
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/cluster.yaml");
    let kubernetes = release::under_test()?;
    let spec = StageSpec { name: "contract".to_owned(), cluster: Some(cluster), kubernetes, ..StageSpec::default() };
    let stage = Stage::set(&spec, &binaries, quiet).await?;
    ensure!(stage.cluster.has_real_node(), "no real node");
    stage.helm.test().await.context("helm test")?;

    let jobs: Api<TrainingJob> = Api::namespaced(stage.client.clone(), "default");
    jobs.create(&PostParams::default(), &job("pair", 2, json!({}))).await?;
    jobs.create(&PostParams::default(), &job("alone", 1, json!({"plimsoll.dev/real": "true"}))).await?;
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), "default");
    let alone = "alone-r1-0";
    let started = eventually("a program says what it sees", async || said(&pods, alone, "started").await).await?;
    let environment = started["environment"].as_object().context("no environment")?;
    show(environment);
    let seen: BTreeSet<&str> = environment.keys().map(String::as_str).filter(|name| !NOT_OURS.contains(name)).collect();
    let listed = listed()?;
    ensure!(seen == listed.iter().map(String::as_str).collect(), "seen {seen:#?}, listed {listed:#?}");

    // The device that the kubelet gave it is the one that the agent says it holds.
    let given = environment["NVIDIA_VISIBLE_DEVICES"].as_str().context("no device was given")?;
    let holds = eventually("the agent says what the pod holds", async || held_by(&stage.client, alone).await).await?;
    ensure!(given == holds, "given {given}, held {holds}");

    // One of the pair is in a real container: it finds pod 0 by name, wherever that is.
    let real = eventually("a pod of the pair is on the real node", async || on_real_node(&pods, "pair").await).await?;
    let met = eventually("it finds the rendezvous", async || said(&pods, &real, "rendezvous").await).await?;
    let first = pods.get("pair-r1-0").await?.status.and_then(|status| status.pod_ip).context("pod 0 has no address")?;
    ensure!(
        met["name"] == "pair-r1-0.pair-r1.default.svc:29500" && met["addresses"] == json!([first]),
        "{first}: {met}"
    );

    // Its own token is taken, also when we send it; the token of another job's pod is not, whatever it is for.
    eventually("the job's progress is known", async || {
        let status = jobs.get("alone").await?.status.unwrap_or_default();
        Ok(status.progress.and_then(|progress| progress.reported_at))
    })
    .await?;
    let url = environment["KUBEFLOW_TRAINER_SERVER_URL"].as_str().context("no address to report to")?;
    let own = answer(&stage, url, &token(&stage, alone, "alone").await?).await?;
    ensure!(own.is_success(), "its own token: {own}");
    for audience in ["alone", "pair"] {
        let foreign = answer(&stage, url, &token(&stage, &real, audience).await?).await?;
        ensure!(matches!(foreign.as_u16(), 401 | 403), "the token of {real} for {audience}: {foreign}");
    }

    stage.helm.uninstall().await?;
    let left = stage
        .kubectl
        .run([
            "get",
            "crd,clusterrole,clusterrolebinding,validatingadmissionpolicy,priorityclass",
            "-l",
            "app.kubernetes.io/part-of=plimsoll",
            "-o",
            "name",
        ])
        .await?;
    let kinds: BTreeSet<&str> = left.lines().filter_map(|line| line.split('/').next()).collect();
    ensure!(kinds == BTreeSet::from(["customresourcedefinition.apiextensions.k8s.io"]), "{left}");
    let own = stage
        .kubectl
        .run([
            "--namespace",
            NAMESPACE,
            "get",
            "deploy,ds,svc,sa,role,rolebinding,pdb",
            "-l",
            "app.kubernetes.io/part-of=plimsoll",
            "-o",
            "name",
        ])
        .await?;
    ensure!(own.trim().is_empty(), "{own}");
    ensure!(jobs.get_opt("alone").await?.is_some(), "jobs are kept");
    ensure!(pods.get_opt(alone).await?.is_some(), "what runs, runs on");
    stage.cluster.down().await?;
    Ok(())
}

/// The variables that the contract lists.
fn listed() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(checkout().join("docs/training-contract.md"))?;
    let rows = text.lines().skip_while(|line| !line.starts_with("| variable")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    // `_TP` stands for the name before it with another ending.
    let whole = |name: &str| if name.starts_with('_') { format!("PLIMSOLL{name}") } else { name.to_owned() };
    Ok(names.map(whole).collect())
}

/// The devices of the real node that a pod holds by its agent's word, as a container's environment would list them.
async fn held_by(client: &kube::Client, pod: &str) -> Result<Option<String>> {
    let node = Api::<AcceleratorNode>::all(client.clone()).get(REAL_NODE).await?;
    let devices = node.status.unwrap_or_default().devices;
    let held = devices.iter().filter(|device| device.holder.as_ref().is_some_and(|holder| holder.pod == pod));
    let uuids: Vec<&str> = held.map(|device| device.uuid.as_str()).collect();
    Ok((!uuids.is_empty()).then(|| uuids.join(",")))
}

/// The line of an event in a pod's log, once it is there.
async fn said(pods: &Api<Pod>, pod: &str, event: &str) -> Result<Option<Value>> {
    // A container that has not started has no log.
    let log = pods.logs(pod, &LogParams::default()).await.unwrap_or_default();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.into_iter().find(|line| line["event"] == event))
}

/// The pod of a job that stands on the real node.
async fn on_real_node(pods: &Api<Pod>, job: &str) -> Result<Option<String>> {
    let selector = format!("{}={job}", plimsoll_crds::labels::JOB_NAME);
    let here = ListParams::default().labels(&selector).fields(&format!("spec.nodeName={REAL_NODE}"));
    Ok(pods.list(&here).await?.items.first().map(kube::ResourceExt::name_any))
}

/// A token of a pod's service account, bound to the pod, for the progress of a job.
async fn token(stage: &Stage, pod: &str, job: &str) -> Result<String> {
    let audience = format!("plimsoll.dev/default/{job}");
    let bound = ["--bound-object-kind", "Pod", "--bound-object-name", pod, "--audience", &audience];
    let token = stage.kubectl.run(["create", "token", "default"].into_iter().chain(bound)).await?;
    Ok(token.trim().to_owned())
}

/// How the progress endpoint answers a report. This machine reaches the Service's address, but does not know its name.
async fn answer(stage: &Stage, url: &str, token: &str) -> Result<http::StatusCode> {
    let url: http::Uri = url.parse()?;
    let services: Api<Service> = Api::namespaced(stage.client.clone(), NAMESPACE);
    let service =
        services.get("plimsoll-progress").await?.spec.and_then(|spec| spec.cluster_ip).context("no address")?;
    let mut config = Config::new(format!("https://{service}:{}", url.port_u16().unwrap_or(443)).parse()?);
    config.accept_invalid_certs = true;
    let request = http::Request::post(url.path())
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(br#"{"trainerStatus": {"progressPercentage": 1}}"#.to_vec()))?;
    Ok(Client::try_from(config)?.send(request).await?.status())
}

fn job(name: &str, gpus: u32, nodes: Value) -> TrainingJob {
    let job = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "rightsizing": {"mode": "Off"},
            "model": {"custom": {
                "parameters": 10_000_000, "forwardFlopsPerSample": 1_000_000_000, "activationBytesPerSample": 1_000_000,
            }},
            "data": {"samples": 1_000_000},
            "batch": {"global": {"preferred": 64}},
            "accelerators": {"classes": ["l4"], "requested": gpus, "min": gpus, "max": gpus, "perPod": 1},
            "template": {"spec": {"nodeSelector": nodes, "containers": [{
                "name": "trainer",
                "image": format!("localhost/plimsoll-demo-trainer:{}", env!("CARGO_PKG_VERSION")),
                "args": ["--seconds=600"],
            }]}},
        },
    });
    serde_json::from_value(job).unwrap()
}

async fn eventually<T>(what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(seen) = look().await.with_context(|| what.to_owned())? {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

#[allow(clippy::print_stderr, reason = "libtest shows it when the test fails, or with --nocapture")]
fn show(environment: &serde_json::Map<String, Value>) {
    for (name, value) in environment {
        eprintln!("{name}={}", value.as_str().unwrap_or_default());
    }
}
