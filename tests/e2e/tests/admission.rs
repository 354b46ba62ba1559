//! What a real apiserver says at apply time, with the chart installed: which manifests it refuses and in which words, and
//! who may write what.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use plimsoll_crds::AcceleratorNode;
use plimsoll_e2e::binaries::checkout;
use plimsoll_e2e::helm::{Helm, NAMESPACE};
use plimsoll_e2e::kubectl::Kubectl;
use plimsoll_e2e::release;
use plimsoll_test_cluster::{Cluster, ClusterSpec, Toolchain};
use serde_json::json;

const NODES: &str = r#"
name: admission
nodes:
- namePrefix: gpu
  count: 2
  gpus: {count: 4, product: Tesla-T4, memoryMiB: 15360}
  cpu: "48"
  memory: 192Gi
  ephemeralStorage: 1Ti
  instanceType: gpu-t4-4
  taints: ["nvidia.com/gpu:NoSchedule"]
- namePrefix: system
  count: 1
  cpu: "8"
  memory: 32Gi
  ephemeralStorage: 100Gi
  instanceType: general-8
"#;

/// Users, each with a part of the rights in the namespace `default`.
const USERS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: jobs-only, namespace: default}
rules:
- {apiGroups: [plimsoll.dev], resources: [trainingjobs], verbs: [get, list, create, update, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: jobs-only, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: jobs-only}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jobs-only}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: editor, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: viewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: viewer}]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_apiserver_refuses_what_plimsoll_cannot_run_and_keeps_who_writes_what() -> Result<()> {
    let say = |line: &str| println!("{line}");
    let tools = Toolchain::ensure_release(release::under_test()?, &say).await?;
    let spec = NODES.parse::<ClusterSpec>()?.named(format!("admission-{}", std::process::id()))?;
    let cluster = Cluster::up(spec, &tools, &say).await?;
    let kubectl = Kubectl::new(&tools, cluster.kubeconfig());
    Helm::new(&tools, cluster.kubeconfig(), cluster.folder()).install(&[]).await?;
    let users = cluster.folder().join("users.yaml");
    std::fs::write(&users, USERS)?;
    kubectl.apply(&users).await?;
    in_force(&kubectl).await?;

    everything_in_examples_is_accepted(&kubectl).await?;
    every_bad_manifest_is_refused_in_words_that_name_the_field(&kubectl).await?;
    explain_reads_like_documentation(&kubectl).await?;
    who_may_not_create_pods_may_not_write_specs(&kubectl, cluster.folder()).await?;
    the_clusters_own_roles_know_training_jobs(&kubectl).await?;
    an_agent_writes_the_status_of_its_own_node_and_nothing_else(&cluster, &kubectl).await?;
    no_role_of_the_chart_is_wide(&kubectl).await?;
    kubectl.run(["wait", "--for=delete", "trainingjob/mine", "--timeout=90s"]).await?;
    cluster.down().await?;
    Ok(())
}

/// Policies and discovery follow an installation by moments.
async fn in_force(kubectl: &Kubectl) -> Result<()> {
    let bad = checkout().join("tests/e2e/bad/template-node.yaml");
    eventually("policies are in force", async || refusal(kubectl, &bad).await.contains("nodeName must be absent")).await
}

async fn everything_in_examples_is_accepted(kubectl: &Kubectl) -> Result<()> {
    let files = manifests("examples")?;
    ensure!(files.len() >= 12, "{files:?}");
    for file in files {
        let said = dry_run(kubectl, &file, None).await;
        said.with_context(|| format!("{} was refused", file.display()))?;
    }
    Ok(())
}

async fn every_bad_manifest_is_refused_in_words_that_name_the_field(kubectl: &Kubectl) -> Result<()> {
    let files = manifests("tests/e2e/bad")?;
    ensure!(files.len() >= 70, "{} files", files.len());
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: "));
        let expected = expected.with_context(|| format!("{} has no `# expect: ` line", file.display()))?;
        let said = refusal(kubectl, &file).await;
        if !said.contains(expected) {
            faults.push(format!("{}\n  expected: {expected}\n  said: {said}", file.display()));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

async fn explain_reads_like_documentation(kubectl: &Kubectl) -> Result<()> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let batch = words(&kubectl.run(["explain", "tj.spec.batch"]).await?);
    ensure!(batch.contains("Samples per optimizer step."), "{batch}");
    ensure!(
        batch.contains("global <Object> -required- Samples (sequences) in one optimizer step over all ranks."),
        "{batch}"
    );
    let mode = words(&kubectl.run(["explain", "trainingjobs.plimsoll.dev.spec.rightsizing.mode"]).await?);
    ensure!(
        mode.contains("Auto also corrects while the job runs.") && mode.contains("ENUM: Off Initial Auto"),
        "{mode}"
    );
    let columns = kubectl.run(["get", "plimsoll", "-A"]).await?;
    ensure!(columns.contains("trainingqueue.plimsoll.dev/default"), "the category lists the default queue: {columns}");
    Ok(())
}

async fn who_may_not_create_pods_may_not_write_specs(kubectl: &Kubectl, folder: &Path) -> Result<()> {
    let example = checkout().join("examples/resnet-elastic.yaml");
    let said = dry_run(kubectl, &example, Some("jobs-only")).await.err().context("accepted")?.to_string();
    ensure!(
        said.contains("spec may only be written by who may create pods: 'jobs-only' may not in namespace 'default'"),
        "{said}"
    );
    ensure!(said.contains("(Forbidden)") || said.contains("forbidden"), "{said}");
    dry_run(kubectl, &example, Some("editor")).await.context("who may create pods was refused")?;

    // As somebody who may: a job with a finalizer, as a garbage collector or an operator would leave it.
    let text = std::fs::read_to_string(&example)?;
    let named = text.replacen("name: resnet-elastic", "name: mine\n  finalizers: [example.com/hold]", 1);
    let file = folder.join("mine.yaml");
    std::fs::write(&file, named)?;
    kubectl.apply(&file).await?;

    let spec = r#"{"spec":{"suspend":true}}"#;
    let said = patch(kubectl, "jobs-only", spec).await.err().context("the spec was changed")?.to_string();
    ensure!(said.contains("spec may only be written by who may create pods"), "{said}");
    patch(kubectl, "jobs-only", r#"{"metadata":{"labels":{"team":"a"}}}"#)
        .await
        .context("metadata alone was refused")?;
    patch(kubectl, "jobs-only", r#"{"metadata":{"finalizers":null}}"#)
        .await
        .context("a finalizer could not be removed")?;
    patch(kubectl, "editor", spec).await.context("who may create pods was refused")?;

    // The garbage collector itself, which may not create pods, removes the finalizer of a foreground deletion. It looks
    // for new kinds every 30 s only, so that the end is awaited at the end.
    kubectl.run(["delete", "trainingjob", "mine", "--cascade=foreground", "--wait=false"]).await?;
    Ok(())
}

async fn the_clusters_own_roles_know_training_jobs(kubectl: &Kubectl) -> Result<()> {
    for (user, verb, resource, expected) in [
        ("editor", "create", "trainingjobs.plimsoll.dev", true),
        ("editor", "patch", "trainingjobs.plimsoll.dev --subresource=status", false),
        ("viewer", "list", "trainingjobs.plimsoll.dev", true),
        ("viewer", "list", "trainingqueues.plimsoll.dev", true),
        ("viewer", "create", "trainingjobs.plimsoll.dev", false),
        ("viewer", "list", "acceleratornodes.plimsoll.dev", false),
    ] {
        let what = format!("{user} may {verb} {resource}: {expected}");
        eventually(&what, async || may(kubectl, user, verb, resource).await == expected).await?;
    }
    Ok(())
}

async fn an_agent_writes_the_status_of_its_own_node_and_nothing_else(
    cluster: &Cluster,
    kubectl: &Kubectl,
) -> Result<()> {
    for node in ["gpu-0", "gpu-1"] {
        let object = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "AcceleratorNode", "metadata": {"name": node}, "spec": {},
        });
        let file = cluster.folder().join(format!("{node}.json"));
        std::fs::write(&file, object.to_string())?;
        kubectl.apply(&file).await?;
    }
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, NAMESPACE);
    let agents = ListParams::default().labels("app.kubernetes.io/component=agent").fields("spec.nodeName=gpu-0");
    eventually("an agent's pod is bound to gpu-0", async || {
        pods.list(&agents).await.is_ok_and(|list| list.items.len() == 1)
    })
    .await?;
    let pod = pods.list(&agents).await?.items.remove(0).metadata.name.unwrap();
    let bound = ["--bound-object-kind=Pod".to_owned(), format!("--bound-object-name={pod}")];
    let agent = agent_api(cluster, kubectl, "agent-of-gpu-0", &bound).await?;
    let nowhere = agent_api(cluster, kubectl, "agent-of-no-node", &[]).await?;

    let status = Patch::Merge(json!({"status": {"deviceCount": 4}, "metadata": {"labels": {"stolen": "yes"}}}));
    let params = PatchParams::default();
    let written = agent.patch_status("gpu-0", &params, &status).await.context("its own node was refused")?;
    let applied = Patch::Apply(json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "AcceleratorNode", "status": {"heldCount": 4},
    }));
    let as_agent = PatchParams::apply("plimsoll/agent").force();
    agent.patch_status("gpu-0", &as_agent, &applied).await.context("an apply to its own node was refused")?;
    ensure!(agent.patch_status("gpu-1", &as_agent, &applied).await.is_err(), "an apply to another node was accepted");
    ensure!(written.status.is_some_and(|s| s.device_count == 4), "the status was not written");
    ensure!(written.metadata.labels.is_none(), "a status write changed metadata: {:?}", written.metadata.labels);
    for (api, name, token) in [(&agent, "gpu-1", "'gpu-0'"), (&nowhere, "gpu-0", "''")] {
        let said =
            api.patch_status(name, &params, &status).await.err().context("another node was accepted")?.to_string();
        ensure!(
            said.contains(&format!("status of AcceleratorNode '{name}' may only be written by that node's agent")),
            "{said}"
        );
        ensure!(said.contains(&format!("this token is of node {token}")), "{said}");
    }
    let metadata = Patch::Merge(json!({"metadata": {"labels": {"stolen": "yes"}}}));
    let said = agent.patch("gpu-0", &params, &metadata).await.err().context("metadata was written")?.to_string();
    ensure!(said.contains("cannot patch resource \"acceleratornodes\""), "{said}");
    ensure!(agent.list(&ListParams::default()).await.is_err(), "an agent may list all nodes");
    Ok(())
}

async fn no_role_of_the_chart_is_wide(kubectl: &Kubectl) -> Result<()> {
    let roles = kubectl
        .run(["get", "clusterroles,roles", "-A", "-l", "app.kubernetes.io/part-of=plimsoll", "-o", "json"])
        .await?;
    let roles: serde_json::Value = serde_json::from_str(&roles)?;
    let roles = roles["items"].as_array().context("no roles")?;
    ensure!(roles.len() >= 6, "{} roles", roles.len());
    ensure!(!serde_json::to_string(roles)?.contains("\"*\""), "a role has a wildcard");
    let operator = format!("system:serviceaccount:{NAMESPACE}:plimsoll-operator");
    for (verb, resource) in [
        ("get", "secrets"),
        ("update", "nodes"),
        ("create", "trainingjobs.plimsoll.dev"),
        ("patch", "trainingjobs.plimsoll.dev"),
    ] {
        ensure!(!may(kubectl, &operator, verb, resource).await, "the operator may {verb} {resource}");
    }
    ensure!(may(kubectl, &operator, "create", "pods").await, "the operator may not create pods");
    Ok(())
}

/// The kind as seen with a token of the agents' service account.
async fn agent_api(cluster: &Cluster, kubectl: &Kubectl, name: &str, bound: &[String]) -> Result<Api<AcceleratorNode>> {
    let create = ["create", "token", "plimsoll-agent", "--namespace", NAMESPACE].map(str::to_owned);
    let token = kubectl.run(create.iter().chain(bound)).await?;
    let kubeconfig = cluster.kubeconfig_for(name, token.trim())?;
    Ok(Api::all(cluster.client_for(&kubeconfig).await?))
}

async fn patch(kubectl: &Kubectl, user: &str, patch: &str) -> Result<String> {
    kubectl.run(["patch", "trainingjob", "mine", "--type=merge", "--patch", patch, "--as", user]).await
}

async fn may(kubectl: &Kubectl, user: &str, verb: &str, resource: &str) -> bool {
    let asked = ["auth", "can-i", "--as", user, verb];
    kubectl.run(asked.into_iter().chain(resource.split(' '))).await.is_ok()
}

async fn dry_run(kubectl: &Kubectl, file: &Path, user: Option<&str>) -> Result<String> {
    let file = file.to_str().context("a path that is not text")?;
    let create = ["create", "--dry-run=server", "--filename", file];
    kubectl.run(create.into_iter().chain(user.into_iter().flat_map(|user| ["--as", user]))).await
}

/// What the apiserver says against a manifest; empty when it is accepted.
async fn refusal(kubectl: &Kubectl, file: &Path) -> String {
    dry_run(kubectl, file, None).await.err().map(|error| error.to_string()).unwrap_or_default()
}

/// The YAML files of a folder of the checkout, in order.
fn manifests(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(checkout().join(folder))?.map(|entry| entry.map(|e| e.path()));
    let mut files = entries.collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    Ok(files)
}

/// Waits, with a bound, for what the apiserver brings into force on its own.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        if Instant::now() >= deadline {
            bail!("not within 30 s: {what}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
