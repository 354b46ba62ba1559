//! A real node runs a real container, and leaves the machine as it found it.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, LogParams, PostParams};
use plimsoll_test_cluster::{
    Cluster, ClusterError, ClusterSpec, DEVICE_PLUGINS, Image, REAL_NODE, RealNodeError, Toolchain,
};
use serde_json::json;

const SPEC: &str = "
name: real
nodes: []
realNodeGpus: {count: 4, product: NVIDIA-L4, memoryMiB: 23034}
";
const HELLO: &str = "localhost/test/hello:1";
/// Given a word, waits to be ended. Else asks the apiserver's Service for a connection, and says whether it got one.
const PROGRAM: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    if (count > 1) for (;;) pause();
    struct sockaddr_in service = {.sin_family = AF_INET, .sin_port = htons(443)};
    inet_pton(AF_INET, getenv("KUBERNETES_SERVICE_HOST"), &service.sin_addr);
    int connected = connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&service, sizeof service) == 0;
    printf("hello from a container, Service reached: %s\n", connected ? "yes" : "no");
    return !connected;
}
"#;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(real_node),
    ignore = "needs root, runc, CNI plugins, nftables, iproute2 and cc; touch build.rs once they are there"
)]
async fn a_real_node_runs_a_pod_and_leaves_nothing_on_the_machine() -> Result<()> {
    let root = tempfile::tempdir()?;
    let say = |line: &str| eprintln_in_test(line);
    let tools = Toolchain::ensure(&say).await?;
    let before = Traces::now(root.path());
    let spec = SPEC.parse::<ClusterSpec>()?.in_folder(root.path()).with_real_node_if_possible(&say);
    ensure!(spec.real_node, "another cluster has the machine's place");
    let mut cluster = Cluster::up(spec.clone(), &tools, &say).await?;

    let none = SPEC.parse::<ClusterSpec>()?.with_real_node_if_possible(&say);
    ensure!(!none.real_node, "the place is free while a cluster has it");
    let second = Cluster::up(spec.named("second")?, &tools, &say).await;
    ensure!(matches!(second, Err(ClusterError::RealNode(RealNodeError::Place(_)))), "two real nodes: {second:?}");

    let client = cluster.client().await?;
    let node = Api::<Node>::all(client.clone()).get(REAL_NODE).await?;
    let labels = node.metadata.labels.context("no labels")?;
    for (key, value) in
        [("plimsoll.dev/real", "true"), ("nvidia.com/gpu.count", "4"), ("nvidia.com/gpu.memory", "23034")]
    {
        ensure!(labels.get(key).is_some_and(|label| label == value), "{key}: {labels:?}");
    }
    ensure!(cluster.has_real_node() && cluster.pod_resources_folder().join("kubelet.sock").exists());
    ensure!(Path::new(DEVICE_PLUGINS).join("kubelet.sock").exists());
    cluster.import_image(Image::new(HELLO).file("hello", compiled(root.path())?).command(["/hello"])).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.create(&PostParams::default(), &pod("hello", &["/hello"])).await?;
    pods.create(&PostParams::default(), &pod("stays", &["/hello", "wait"])).await?;
    let done = eventually(&pods, "hello", |pod| matches!(phase(pod), "Succeeded" | "Failed")).await?;
    let log = pods.logs("hello", &LogParams::default()).await?;
    ensure!(log == "hello from a container, Service reached: yes\n", "{log:?}");
    ensure!(phase(&done) == "Succeeded", "{:?}", done.status);

    // Processes, cgroups, mounts and links of a pod that runs to the very end are there to be taken away.
    let stays = eventually(&pods, "stays", |pod| phase(pod) == "Running").await?;
    a_kubelet_that_starts_again_leaves_its_pods_running(&mut cluster, &stays).await?;
    let during = Traces::now(root.path());
    for kind in ["process", "cgroup", "mount", "link", "table", "address", "file"] {
        let new = during.0.difference(&before.0).filter(|line| line.starts_with(kind)).count();
        ensure!(new > 0, "no {kind} is seen of a node that runs");
    }
    cluster.down().await?;
    let after = eventually_equal(root.path(), &before).await;
    ensure!(after == before, "left on the machine: {:#?}", after.0.symmetric_difference(&before.0).collect::<Vec<_>>());
    Ok(())
}

async fn a_kubelet_that_starts_again_leaves_its_pods_running(cluster: &mut Cluster, before: &Pod) -> Result<()> {
    let client = cluster.client().await?;
    ensure!(cluster.start_again("kubelet").is_err(), "it runs");
    cluster.stop("kubelet")?;
    ensure!(!cluster.is_running("kubelet"));
    cluster.start_again("kubelet")?;
    ensure!(cluster.is_running("kubelet"));
    // Only a kubelet that speaks to the apiserver and to containerd again runs a new pod.
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.create(&PostParams::default(), &pod("after", &["/hello"])).await?;
    eventually(&pods, "after", |pod| phase(pod) == "Succeeded").await?;
    let node = Api::<Node>::all(client).get(REAL_NODE).await?;
    let conditions = node.status.and_then(|status| status.conditions).context("no conditions")?;
    ensure!(conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"), "{conditions:?}");
    let after = pods.get(before.metadata.name.as_deref().context("no name")?).await?;
    let containers = |pod: &Pod| pod.status.as_ref().and_then(|status| status.container_statuses.clone());
    ensure!(containers(&after) == containers(before), "{:?} was {:?}", containers(&after), containers(before));
    Ok(())
}

/// What a node can leave: processes, mounts, links, routes, addresses, tables, cgroups, files and settings.
#[derive(Debug, PartialEq)]
struct Traces(BTreeSet<String>);

impl Traces {
    fn now(root: &Path) -> Self {
        let root = root.to_string_lossy().into_owned();
        let mut all = BTreeSet::new();
        let mut add = |kind: &str, text: String| all.extend(text.lines().map(|line| format!("{kind} {line}")));
        for arguments in [["link", "show"], ["route", "show"], ["address", "show"]] {
            add(arguments[0], output(Command::new("ip").arg("-o").args(arguments)));
        }
        add("table", output(Command::new("nft").args(["list", "tables"])));
        for (folder, depth) in [("/run", "2"), ("/var/lib/kubelet", "9"), ("/var/lib/cni", "9"), ("/var/log", "2")] {
            add("file", output(Command::new("find").args([folder, "-maxdepth", depth])));
        }
        add("file", output(Command::new("ls").args(["/opt", "/etc", "/var/lib", "/usr/libexec"])));
        let groups = output(Command::new("find").args(["/sys/fs/cgroup", "-type", "d"]));
        add("cgroup", groups.lines().filter(|line| line.contains("kube") || line.contains("k8s")).collect());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = |line: &&str| line.contains(&root) || line.contains("plimsoll") || line.contains("netns");
        add("mount", mounts.lines().filter(ours).collect());
        for setting in ["net.ipv4.ip_forward", "vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops"] {
            add("setting", output(Command::new("sysctl").arg(setting)));
        }
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&root) || line.contains("plimsoll-node") || line.starts_with("/pause") {
                add("process", line);
            }
        }
        Self(all)
    }
}

fn output(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// The kernel takes links of a dead namespace back in its own time.
async fn eventually_equal(root: &Path, before: &Traces) -> Traces {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = Traces::now(root);
        if now == *before || Instant::now() >= deadline {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn compiled(folder: &Path) -> Result<Vec<u8>> {
    let (source, program) = (folder.join("hello.c"), folder.join("hello"));
    std::fs::write(&source, PROGRAM)?;
    let status = Command::new("cc").args(["-static", "-Os", "-o"]).arg(&program).arg(&source).status()?;
    ensure!(status.success(), "cc: {status}");
    Ok(std::fs::read(program)?)
}

fn pod(name: &str, command: &[&str]) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"plimsoll.dev/real": "true"},
            "containers": [{"name": "main", "image": HELLO, "imagePullPolicy": "Never", "command": command,
                            "volumeMounts": [{"name": "memory", "mountPath": "/memory"}]}],
            "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
        },
    }))
    .unwrap()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

async fn eventually(pods: &Api<Pod>, name: &str, wanted: impl Fn(&Pod) -> bool) -> Result<Pod> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let pod = pods.get(name).await?;
        if wanted(&pod) {
            return Ok(pod);
        }
        ensure!(Instant::now() < deadline, "pod {name} is not as wanted: {:?}", pod.status);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[allow(clippy::print_stderr, reason = "shown when the test fails, or with --nocapture")]
fn eprintln_in_test(line: &str) {
    eprintln!("{line}");
}
