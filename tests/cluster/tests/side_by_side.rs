//! Two real clusters on one machine: they do not disturb each other, and leave nothing behind.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use plimsoll_test_cluster::{Cluster, ClusterError, ClusterSpec, CrewError, Toolchain};
use serde_json::json;

const NODES: &str = r#"
name: small
nodes:
- namePrefix: gpu
  count: 2
  gpus: {count: 8, product: NVIDIA-H100-80GB-HBM3, memoryMiB: 81559}
  cpu: "192"
  memory: 2Ti
  ephemeralStorage: 1Ti
  instanceType: gpu-h100-8
  taints: ["nvidia.com/gpu:NoSchedule"]
- namePrefix: system
  count: 1
  cpu: "8"
  memory: 32Gi
  ephemeralStorage: 100Gi
  instanceType: general-8
"#;

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_stand_side_by_side_and_leave_nothing() -> Result<()> {
    let tools = Toolchain::ensure(&|line| eprintln_in_test(line)).await?;
    let root = tempfile::tempdir()?;
    let spec = |name: &str| Ok::<_, anyhow::Error>(NODES.parse::<ClusterSpec>()?.named(name)?.in_folder(root.path()));
    let say = |line: &str| eprintln_in_test(line);
    let (one, two) =
        tokio::try_join!(Cluster::up(spec("one")?, &tools, &say), Cluster::up(spec("two")?, &tools, &say))?;

    let again = Cluster::up(spec("one")?, &tools, &say).await;
    ensure!(matches!(again, Err(ClusterError::Crew(CrewError::AlreadyRunning(name))) if name == "one"));

    let (in_one, in_two) = (one.client().await?, two.client().await?);
    for client in [&in_one, &in_two] {
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        ensure!(nodes.items.len() == 3, "{} nodes", nodes.items.len());
    }
    let pods: Api<Pod> = Api::default_namespaced(in_one.clone());
    for (name, label) in [
        ("plain", ("app", "x")),
        ("job", ("plimsoll.dev/job-name", "x")),
        ("agent", ("app.kubernetes.io/part-of", "plimsoll")),
    ] {
        pods.create(&PostParams::default(), &gpu_pod(name, label)).await?;
    }
    let plain = eventually(&pods, "plain", |pod| phase(pod) == "Running").await?;
    ensure!(plain.spec.unwrap().node_name.unwrap().starts_with("gpu-"));
    ensure!(
        Api::<Pod>::default_namespaced(in_two).get_opt("plain").await?.is_none(),
        "the other cluster has the pod too"
    );

    pods_of_plimsoll_are_scheduled_and_otherwise_left_alone(&pods).await?;
    a_pods_token_names_its_node_and_holds_for_its_audience_only(&one).await?;
    ensure!(std::fs::read_to_string(one.audit_log())?.contains("system:kube-scheduler"), "audit log");

    // Not the one that started it: attached from elsewhere, as `xtask down` does.
    two.detach();
    let two = Cluster::attach("two", Some(root.path()))?;
    let processes = processes_of(root.path());
    ensure!(processes.len() == 11, "5 and 5 members and a janitor expected: {processes:?}");
    two.down().await?;
    ensure!(!root.path().join("two").exists());
    ensure!(one.is_running("kube-apiserver"), "the neighbour went down as well");
    one.down().await?;
    ensure!(!root.path().join("one").exists());
    ensure!(processes_of(root.path()).is_empty(), "left: {:?}", processes_of(root.path()));
    Ok(())
}

async fn pods_of_plimsoll_are_scheduled_and_otherwise_left_alone(pods: &Api<Pod>) -> Result<()> {
    for name in ["job", "agent"] {
        eventually(pods, name, |pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())).await?;
        pods.delete(name, &DeleteParams::default()).await?;
    }
    pods.delete("agent", &DeleteParams::default().grace_period(0)).await?;
    // kwok plays pods within milliseconds, so a second is long enough to see that it does not.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let job = pods.get("job").await.context("kwok deleted a job's pod")?;
    ensure!(phase(&job) == "Pending" && job.metadata.deletion_timestamp.is_some(), "kwok played a job's pod");
    Ok(())
}

async fn a_pods_token_names_its_node_and_holds_for_its_audience_only(cluster: &Cluster) -> Result<()> {
    let client = cluster.client().await?;
    let mine = "plimsoll.dev/default/x";
    let request: TokenRequest = serde_json::from_value(json!({
        "metadata": {},
        "spec": {"audiences": [mine], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "plain"}},
    }))?;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::default_namespaced(client.clone());
    let token = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await?
        .status
        .context("no token")?
        .token;
    let reviews: Api<TokenReview> = Api::all(client);
    for (audience, expected) in [(mine, true), ("plimsoll.dev/default/other", false)] {
        let review: TokenReview = serde_json::from_value(json!({
            "metadata": {}, "spec": {"token": token, "audiences": [audience]},
        }))?;
        let status = reviews.create(&PostParams::default(), &review).await?.status.context("no status")?;
        ensure!(status.authenticated.unwrap_or(false) == expected, "{audience}: {status:?}");
        if expected {
            let extra = status.user.and_then(|user| user.extra).context("no extra")?;
            ensure!(extra["authentication.kubernetes.io/node-name"][0].starts_with("gpu-"), "{extra:?}");
        }
    }
    Ok(())
}

fn gpu_pod(name: &str, (key, value): (&str, &str)) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {key: value}},
        "spec": {
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [{"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
        },
    }))
    .unwrap()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

async fn eventually(pods: &Api<Pod>, name: &str, wanted: impl Fn(&Pod) -> bool) -> Result<Pod> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let pod = pods.get(name).await?;
        if wanted(&pod) {
            return Ok(pod);
        }
        ensure!(Instant::now() < deadline, "pod {name} is not as wanted: {:?}", pod.status);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Command lines of every process on this machine that names the folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

#[allow(clippy::print_stderr, reason = "shown when the test fails, or with --nocapture")]
fn eprintln_in_test(line: &str) {
    eprintln!("{line}");
}
