//! The chart grants the operator and the agent what they use, and nothing else: by the apiserver's own account.
//!
//! The story uses most of it. What it does not meet by chance is brought about here.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use plimsoll_crds::TrainingJob;
use plimsoll_e2e::audit::{self, Request, Right};
use plimsoll_e2e::binaries::Binaries;
use plimsoll_e2e::helm::NAMESPACE;
use plimsoll_e2e::stage::{Stage, StageSpec};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_the_chart_grants_is_used_and_none_is_missing() -> Result<()> {
    let quiet = plimsoll_test_cluster::quiet();
    let binaries = Binaries::build(quiet).await?;
    let spec = StageSpec { name: "rights".to_owned(), fake_only: true, ..StageSpec::default() };
    let stage = Stage::set(&spec, &binaries, quiet).await?;
    let client = stage.client.clone();
    let jobs: Api<TrainingJob> = Api::namespaced(client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), "default");
    let services: Api<Service> = Api::namespaced(client.clone(), "default");

    // Somebody else's pod has the name of ours: the operator looks whose it is.
    pods.create(&PostParams::default(), &foreign_pod("taken-r1-0")).await?;
    jobs.create(&PostParams::default(), &job("taken", 8)).await?;
    jobs.create(&PostParams::default(), &job("gang", 16)).await?;
    eventually("taken is told that its pod's name is taken", async || {
        let status = jobs.get("taken").await?.status.unwrap_or_default();
        Ok(status.waiting.is_some_and(|waiting| waiting.message.contains("belongs to something else")))
    })
    .await?;
    eventually("the gang has a Service", async || Ok(services.get_opt("gang-r1").await?.is_some())).await?;

    // A budget that somebody changed is put right. There is one a minute after the start.
    eventually("the gang has a budget", async || Ok(budgets.get_opt("gang").await?.is_some())).await?;
    let nothing = Patch::Merge(json!({"spec": {"minAvailable": 0}}));
    budgets.patch("gang", &PatchParams::default(), &nothing).await?;
    eventually("the budget is put right", async || {
        let minimum = budgets.get("gang").await?.spec.and_then(|spec| spec.min_available);
        Ok(serde_json::to_value(minimum)? == json!(2))
    })
    .await?;

    // A certificate that is about to end is made anew by whoever leads next.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let certificate = async || -> Result<_> {
        Ok(secrets.get("plimsoll-progress-tls").await?.data.and_then(|mut data| data.remove("tls.crt")))
    };
    let before = certificate().await?;
    let aged =
        Patch::Merge(json!({"metadata": {"annotations": {"plimsoll.dev/serving-ends": "2020-01-01T00:00:00Z"}}}));
    secrets.patch("plimsoll-progress-tls", &PatchParams::default(), &aged).await?;
    let system: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    for operator in stage.system_pods().await?.iter().filter(|pod| pod.component == "operator") {
        system.delete(&operator.name, &DeleteParams::default().grace_period(0)).await?;
    }
    eventually("the certificate is made anew", async || Ok(certificate().await? != before)).await?;

    // A job that holds nothing needs neither Service nor budget.
    jobs.patch("gang", &PatchParams::default(), &Patch::Merge(json!({"spec": {"suspend": true}}))).await?;
    eventually("what the gang had is gone", async || {
        Ok(services.get_opt("gang-r1").await?.is_none() && budgets.get_opt("gang").await?.is_none())
    })
    .await?;

    for component in ["operator", "agent"] {
        let requests = Request::of_user(&stage.cluster.audit_log(), &audit::user(component))?;
        let forbidden: Vec<_> = requests.iter().filter(|request| request.is_forbidden()).map(Request::said).collect();
        ensure!(forbidden.is_empty(), "{component} asked for what it may not: {forbidden:#?}");
        let (granted, used) = (granted(&stage, component).await?, audit::rights(&requests));
        ensure!(!granted.is_empty(), "{component} has no rights");
        let unused: Vec<_> = granted.difference(&used).collect();
        ensure!(unused.is_empty(), "{component} has rights that it does not use: {unused:#?}");
    }
    stage.cluster.down().await?;
    Ok(())
}

/// What the chart's roles give a component.
async fn granted(stage: &Stage, component: &str) -> Result<BTreeSet<Right>> {
    let name = format!("plimsoll-{component}");
    let of_cluster = Api::<ClusterRole>::all(stage.client.clone()).get(&name).await?.rules.unwrap_or_default();
    let role = Api::<Role>::namespaced(stage.client.clone(), NAMESPACE).get_opt(&name).await?;
    let rules = of_cluster.into_iter().chain(role.and_then(|role| role.rules).unwrap_or_default());
    Ok(rules.flat_map(rights).collect())
}

fn rights(rule: PolicyRule) -> Vec<Right> {
    let (groups, resources) = (rule.api_groups.unwrap_or_default(), rule.resources.unwrap_or_default());
    let of_group = |group: &String| {
        let of_resource = |resource: &String| {
            let right = |verb: &String| (group.clone(), resource.clone(), verb.clone());
            rule.verbs.iter().map(right).collect::<Vec<_>>()
        };
        resources.iter().flat_map(of_resource).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_group).collect()
}

fn foreign_pod(name: &str) -> Pod {
    let pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "localhost/nothing:1"}]}});
    serde_json::from_value(pod).unwrap()
}

fn job(name: &str, gpus: u32) -> TrainingJob {
    let job: Value = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "rightsizing": {"mode": "Off"},
            "model": {"custom": {
                "parameters": 10_000_000, "forwardFlopsPerSample": 1_000_000_000, "activationBytesPerSample": 1_000_000,
            }},
            "data": {"samples": 1_000_000_000_000_i64},
            "batch": {"global": {"preferred": 256}},
            "accelerators": {"classes": ["h100-sxm5-80gb", "a100-sxm4-40gb"], "requested": gpus, "min": gpus, "max": gpus,
                "perPod": 8},
            "template": {
                "metadata": {"annotations": {"fleet.plimsoll.dev/profile": "llama"}},
                "spec": {
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                    "containers": [{"name": "trainer", "image": "localhost/plimsoll-demo-trainer:0.1.0"}],
                },
            },
        },
    });
    serde_json::from_value(job).unwrap()
}

async fn eventually(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + BOUND;
    while !holds().await.with_context(|| what.to_owned())? {
        ensure!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
