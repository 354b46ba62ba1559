use plimsoll_crds::TrainingJob;
use plimsoll_crds::training_job::{Allocation, Sharding, TrainingJobStatus};
use serde_json::{Value, json};

use super::{Plan, pod, resume_dir};
use crate::config::Config;
use crate::fixtures;
use crate::job::validate::validate;

fn build(job: &TrainingJob, allocation: &Allocation, index: usize) -> Value {
    let world = fixtures::world(Vec::new());
    let config = Config::default();
    let validated = validate(&job.spec, &world.resources, &config).unwrap();
    let plan = Plan {
        job,
        namespace: "nlp",
        name: "llm",
        validated: &validated,
        allocation,
        resource: "nvidia.com/gpu",
        resume_dir: resume_dir(job, "llm", allocation.revision),
        config: &config,
    };
    pod::pod(&plan, index).unwrap()
}

fn gang() -> Allocation {
    serde_json::from_value(fixtures::holding("Committed")["allocation"].clone()).unwrap()
}

fn trainer(pod: &Value) -> &Value {
    &pod["spec"]["containers"][1]
}

fn value<'a>(container: &'a Value, name: &str) -> Vec<&'a str> {
    let all = container["env"].as_array().unwrap().iter().filter(|v| v["name"] == name);
    all.map(|v| v["value"].as_str().unwrap()).collect()
}

#[test]
fn a_pod_of_a_gang() {
    insta::assert_json_snapshot!(build(&fixtures::job(None), &gang(), 1));
}

#[test]
fn every_variable_of_ours_comes_before_the_user_s_and_only_once() {
    let pod = build(&fixtures::job(None), &gang(), 1);
    let names: Vec<_> = trainer(&pod)["env"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"OUT"), "the user's own are last, so that ours expand in them");
    assert_eq!(value(trainer(&pod), "MASTER_PORT"), ["29500"], "ours goes over the user's");
    assert_eq!(value(&pod["spec"]["initContainers"][0], "PLIMSOLL_REVISION"), ["1"]);
    assert!(
        pod["spec"]["containers"][0].get("env").is_none(),
        "a container that neither trains nor prepares gets none"
    );
}

#[test]
fn every_degree_and_option_of_the_layout_is_in_the_environment() {
    let layout = json!({
        "pipelineParallel": 4, "contextParallel": 2, "expertParallel": 8, "sequenceParallel": true,
        "schedule": "ZeroBubble", "virtualStages": 2, "shardGroup": 8, "offload": "Optimizer",
    });
    let gang = Allocation { degrees: serde_json::from_value(layout).unwrap(), ..gang() };
    let sharded = Allocation { sharding: Sharding::Full, ..gang.clone() };
    for (allocation, shard_group) in [(&gang, "1"), (&sharded, "8")] {
        let pod = build(&fixtures::job(None), allocation, 0);
        for (name, expected) in [
            ("PP", "4"),
            ("CP", "2"),
            ("EP", "8"),
            ("SEQUENCE_PARALLEL", "true"),
            ("PIPELINE_SCHEDULE", "ZeroBubble"),
            ("VIRTUAL_STAGES", "2"),
            ("SHARD_GROUP", shard_group),
            ("OFFLOAD", "Optimizer"),
        ] {
            assert_eq!(value(trainer(&pod), &format!("PLIMSOLL_{name}")), [expected], "{name}");
        }
    }
}

#[test]
fn the_node_is_a_condition_of_every_alternative() {
    let pod = build(&fixtures::job(None), &gang(), 1);
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = pod.pointer(required).unwrap().as_array().unwrap();
    assert_eq!(terms.len(), 2);
    for term in terms {
        assert_eq!(term["matchFields"], json!([{"key": "metadata.name", "operator": "In", "values": ["n2"]}]));
        assert!(term["matchExpressions"].is_array());
    }
}

#[test]
fn a_template_without_affinity_gets_one_term() {
    let mut job = TrainingJob::clone(&fixtures::job(None));
    job.spec.template["spec"].as_object_mut().unwrap().remove("affinity");
    let pod = build(&job, &gang(), 0);
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    assert_eq!(pod.pointer(required).unwrap().as_array().unwrap().len(), 1);
}

#[test]
fn what_the_pod_requests_is_what_the_planner_counted() {
    let pod = build(&fixtures::job(None), &gang(), 0);
    let resources = &trainer(&pod)["resources"];
    // 500m + 8 x 1500m; 8 GiB + 8 x (16 GiB + 1 GiB of shared memory).
    assert_eq!(resources["requests"]["cpu"], "12500m");
    assert_eq!(resources["requests"]["memory"], ((8_u64 + 8 * 17) << 30).to_string());
    assert_eq!(resources["limits"]["memory"], ((16_u64 + 8 * 17) << 30).to_string());
    assert_eq!(resources["limits"]["nvidia.com/gpu"], "8");
    assert!(resources["limits"].get("cpu").is_none(), "no limit is invented");

    let world = fixtures::world(vec![]);
    let job = fixtures::job(None);
    let valid = validate(&job.spec, &world.resources, &Config::default()).unwrap();
    let per_gpu = job.spec.accelerators.resources_per_gpu.as_ref();
    let needs = plimsoll_observe::needs::pod_needs(&valid.template, per_gpu).unwrap();
    assert_eq!(needs.base.cpu_milli + 8 * needs.per_gpu.cpu_milli, 12_500);
    assert_eq!(needs.base.memory_bytes + 8 * needs.per_gpu.memory_bytes, (8 + 8 * 17) << 30);
}

#[test]
fn a_revision_of_one_pod_meets_at_home() {
    let one = Allocation { pods: 1, gpus: 8, nodes: vec!["n1".into()], ..gang() };
    let pod = build(&fixtures::job(None), &one, 0);
    assert_eq!(value(trainer(&pod), "MASTER_ADDR"), ["localhost"]);
    assert_eq!(value(trainer(&pod), "JAX_COORDINATOR_ADDRESS"), ["localhost:29500"]);
}

#[test]
fn a_template_with_its_own_shared_memory_gets_none() {
    let mut job = TrainingJob::clone(&fixtures::job(None));
    job.spec.template["spec"]["containers"][1]["volumeMounts"] = json!([{"name": "mine", "mountPath": "/dev/shm"}]);
    let pod = build(&job, &gang(), 0);
    assert!(!pod["spec"]["volumes"].as_array().unwrap().iter().any(|v| v["name"] == "plimsoll-shm"));
}

#[test]
fn a_revision_resumes_from_the_last_checkpoint_that_was_reported() {
    let with = |progress: Value| {
        let status: TrainingJobStatus = serde_json::from_value(json!({"progress": progress})).unwrap();
        let mut job = TrainingJob::clone(&fixtures::job(None));
        job.status = Some(status);
        resume_dir(&job, "llm", 4)
    };
    assert_eq!(with(json!({"checkpointRevision": 2, "checkpointStep": 9})), "/checkpoints/llm/r2");
    assert_eq!(with(json!({"reportedAt": "2026-01-01T00:00:00Z"})), "", "it reports, and has not said that it has one");
    assert_eq!(with(json!({})), "/checkpoints/llm/r3", "a program that never reports looks for itself");
    assert_eq!(resume_dir(&fixtures::job(None), "llm", 1), "");
}
