//! `cargo xtask bench`: from applying a job to all its pods bound.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use plimsoll_crds::{TrainingJob, labels};
use plimsoll_e2e::binaries::Binaries;
use plimsoll_e2e::stage::{Stage, StageSpec};

/// One job after the other, on the demo's cluster; each asks for two pods of 8 GPUs. Prints every reading's place in
/// order: the machine is shared, so a single reading says little.
pub(super) async fn run(jobs: usize, name: &str) -> anyhow::Result<()> {
    let progress = |line: &str| println!("{line}");
    let binaries = Binaries::build(&progress).await?;
    let stage =
        Stage::set(&StageSpec { name: name.to_owned(), fake_only: true, ..StageSpec::default() }, &binaries, &progress)
            .await?;
    let mut seconds = Vec::new();
    for number in 0..jobs {
        seconds.push(apply_to_bound(&stage, number).await?.as_secs_f64());
    }
    stage.cluster.down().await?;
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize];
    println!("apply to all pods bound, {} jobs of 2 pods x 8 GPUs, one after the other:", seconds.len());
    println!("  fastest {:.3} s, median {:.3} s, slowest {:.3} s", at(0.0), at(0.5), at(1.0));
    Ok(())
}

async fn apply_to_bound(stage: &Stage, number: usize) -> anyhow::Result<Duration> {
    let jobs: Api<TrainingJob> = Api::namespaced(stage.client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), "default");
    let name = format!("bench-{number}");
    let selector = format!("{}={name}", labels::JOB_NAME);
    let config = watcher::Config::default().labels(&selector);
    let mut events = Box::pin(watcher(pods.clone(), config.clone()).touched_objects());
    let job: TrainingJob = serde_json::from_value(manifest(&name)).context("failed to build the bench's job")?;

    let began = Instant::now();
    jobs.create(&PostParams::default(), &job).await.with_context(|| format!("failed to create {name}"))?;
    let mut bound = std::collections::BTreeSet::new();
    while bound.len() < 2 {
        let wait = tokio::time::timeout(Duration::from_secs(60), events.try_next()).await;
        let pod = wait
            .with_context(|| format!("{name} was not bound within a minute"))??
            .context("the watch on pods ended")?;
        if pod.spec.as_ref().is_some_and(|s| s.node_name.is_some()) {
            bound.insert(kube::ResourceExt::name_any(&pod));
        }
    }
    let took = began.elapsed();

    jobs.delete(&name, &DeleteParams::foreground()).await.with_context(|| format!("failed to delete {name}"))?;
    let gone = async {
        while jobs.get_opt(&name).await?.is_some() {
            // The devices of one job must be back before the next is timed; its last watch event may come before that.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(120), gone)
        .await
        .with_context(|| format!("{name} was not gone in time"))??;
    Ok(took)
}

fn manifest(name: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "rightsizing": {"mode": "Off"},
            "model": {"custom": {
                "parameters": 10_000_000, "forwardFlopsPerSample": 1_000_000_000, "activationBytesPerSample": 1_000_000,
            }},
            "data": {"samples": 1_000_000_000_i64},
            "batch": {"global": {"preferred": 256}},
            "accelerators": {"classes": ["h100-sxm5-80gb"], "requested": 16, "min": 16, "max": 16, "perPod": 8},
            "template": {
                "metadata": {"annotations": {"fleet.plimsoll.dev/profile": "llama"}},
                "spec": {"containers": [{"name": "trainer", "image": "localhost/plimsoll-demo-trainer:0.1.0"}]},
            },
        },
    })
}
