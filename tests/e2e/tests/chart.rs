//! What the chart renders to, under the values that people set. No cluster needed.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::process::Output;

use plimsoll_e2e::binaries::checkout;
use plimsoll_test_cluster::{Toolchain, quiet};
use serde_json::Value;
use tokio::process::Command;

async fn template(set: &[&str]) -> Output {
    let helm = Toolchain::ensure(quiet()).await.unwrap().helm;
    let home = std::env::temp_dir().join("plimsoll-chart-test");
    let mut command = Command::new(helm);
    command.args(["template", "plimsoll", "--namespace", "plimsoll"]).arg(checkout().join("charts/plimsoll"));
    command.args(set.iter().flat_map(|value| ["--set", value]));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &home);
    }
    command.output().await.unwrap()
}

/// The rendered objects.
async fn objects(set: &[&str]) -> Vec<Value> {
    let output = template(set).await;
    assert!(output.status.success(), "{set:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_yaml::from_multiple::<Value>(&text).unwrap().into_iter().filter(|object| !object.is_null()).collect()
}

fn of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The pod templates of the chart.
fn pods(objects: &[Value]) -> Vec<&Value> {
    objects.iter().map(|object| &object["spec"]["template"]).filter(|template| template["spec"].is_object()).collect()
}

fn images(objects: &[Value]) -> Vec<&str> {
    let of_pod = |pod: &'_ Value| pod["spec"]["containers"].as_array().unwrap().len();
    assert!(pods(objects).into_iter().all(|pod| of_pod(pod) == 1), "one container in each pod");
    pods(objects).into_iter().map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_misspelt_or_senseless_value_is_refused_by_name() {
    for (set, named) in [
        ("config.moves.enable=false", "'/config/moves': additional properties 'enable' not allowed"),
        ("operator.replica=3", "'/operator': additional properties 'replica' not allowed"),
        ("agent.logFormat=xml", "'/agent/logFormat'"),
        ("progress.url=http://plain", "'/progress/url'"),
        ("config.cycle.tickSeconds=0", "'/config/cycle/tickSeconds'"),
    ] {
        let output = template(&[set]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{set}: {said}");
    }
}

#[tokio::test]
async fn a_registry_goes_before_every_image_and_a_digest_before_a_tag() {
    assert_eq!(images(&objects(&[]).await), ["plimsoll-agent:0.1.0", "plimsoll-operator:0.1.0"]);
    let digest = format!("sha256:{}", "a".repeat(64));
    let set = format!("operator.image.digest={digest}");
    let rendered = objects(&["global.imageRegistry=registry.example.com/gpu/", &set, "agent.image.tag=edge"]).await;
    let expected = format!("registry.example.com/gpu/plimsoll-operator@{digest}");
    assert_eq!(images(&rendered), ["registry.example.com/gpu/plimsoll-agent:edge", expected.as_str()]);
}

#[tokio::test]
async fn every_object_and_pod_says_what_it_is_part_of() {
    let objects = objects(&["global.commonLabels.team=platform"]).await;
    assert!(objects.len() > 25, "{} objects", objects.len());
    let labelled = objects.iter().chain(pods(&objects));
    for object in labelled {
        let labels = &object["metadata"]["labels"];
        assert_eq!(
            labels["app.kubernetes.io/part-of"], "plimsoll",
            "{} {}",
            object["kind"], object["metadata"]["name"]
        );
        assert_eq!(labels["team"], "platform", "{} {}", object["kind"], object["metadata"]["name"]);
    }
}

#[tokio::test]
async fn pods_run_with_no_more_than_they_need() {
    let objects = objects(&[]).await;
    for pod in pods(&objects) {
        let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert!(spec["hostNetwork"].is_null() && spec["hostPID"].is_null(), "{spec}");
        assert!(
            container["resources"]["limits"]["memory"].is_string() && container["resources"]["limits"]["cpu"].is_null()
        );
    }
    let operator = &of(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(operator["securityContext"]["runAsNonRoot"], true);
    // It reads no disk, and writes nothing but snapshots of plans that broke a law.
    let [tmp] = operator["volumes"].as_array().unwrap().as_slice() else { unreachable!("{}", operator["volumes"]) };
    assert!(tmp["emptyDir"]["sizeLimit"].is_string(), "{tmp}");
    let agent = &of(&objects, "DaemonSet")[0]["spec"]["template"]["spec"];
    assert_eq!(agent["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(agent["containers"][0]["volumeMounts"][0]["readOnly"], true);
}

#[tokio::test]
async fn parts_can_be_left_out() {
    let all = objects(&[]).await;
    let kept = of(&all, "CustomResourceDefinition");
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|crd| crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"));
    let unkept = objects(&["crds.keep=false"]).await;
    assert!(of(&unkept, "CustomResourceDefinition").iter().all(|crd| crd["metadata"]["annotations"].is_null()));

    assert!(of(&objects(&["crds.enabled=false"]).await, "CustomResourceDefinition").is_empty());
    assert!(of(&objects(&["queues.default.create=false"]).await, "TrainingQueue").is_empty());
    assert!(of(&objects(&["trainingPriorityClass.create=false"]).await, "PriorityClass").is_empty());
    assert!(of(&objects(&["operator.replicas=1"]).await, "PodDisruptionBudget").is_empty());
    let bare = objects(&["admission.enabled=false", "rbac.create=false", "agent.enabled=false"]).await;
    for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole", "Role", "DaemonSet"] {
        assert!(of(&bare, kind).is_empty(), "{kind}");
    }
    let alone = objects(&["rbac.aggregate=false"]).await;
    assert!(!serde_json::to_string(&of(&alone, "ClusterRole")).unwrap().contains("aggregate-to"));
}

#[tokio::test]
async fn two_releases_share_no_cluster_wide_name() {
    let first =
        objects(&["crds.enabled=false", "queues.default.create=false", "trainingPriorityClass.create=false"]).await;
    let names = |objects: &[Value]| -> Vec<String> {
        let cluster_wide = objects.iter().filter(|object| object["metadata"]["namespace"].is_null());
        cluster_wide.map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect()
    };
    let set = [
        "crds.enabled=false",
        "queues.default.create=false",
        "trainingPriorityClass.create=false",
        "fullnameOverride=other",
    ];
    let second = objects(&set).await;
    let shared: Vec<_> = names(&first).into_iter().filter(|name| names(&second).contains(name)).collect();
    assert_eq!(shared, Vec::<String>::new());
}

#[tokio::test]
async fn the_operator_watches_the_settings_that_the_values_say() {
    let objects = objects(&["config.moves.enabled=false", "trainingPriorityClass.name=gpu"]).await;
    let map = of(&objects, "ConfigMap")[0];
    let settings: Value = serde_yaml::from_str(map["data"]["plimsoll.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(settings["moves"]["enabled"], false);
    assert_eq!(settings["pods"]["priorityClassName"], "gpu");
    assert_eq!(settings["progress"]["url"], "https://plimsoll-progress.plimsoll.svc:8443");
    let environment = of(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let watched = environment.as_array().unwrap().iter().find(|e| e["name"] == "PLIMSOLL_CONFIG_MAP").unwrap();
    assert_eq!(watched["value"], format!("$(PLIMSOLL_NAMESPACE)/{}", map["metadata"]["name"].as_str().unwrap()));
}

#[tokio::test]
async fn every_variable_of_a_pod_is_one_that_its_program_reads() {
    let objects = objects(&["agent.nvmlLibrary=/usr/lib/libnvidia-ml.so.1"]).await;
    for (kind, program) in [("Deployment", "operator"), ("DaemonSet", "agent")] {
        let arguments = std::fs::read_to_string(checkout().join(program).join("src/args.rs")).unwrap();
        let environment = &of(&objects, kind)[0]["spec"]["template"]["spec"]["containers"][0]["env"];
        for variable in environment.as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            // These are read by NVIDIA's container runtime.
            let known = name.starts_with("NVIDIA_") || arguments.contains(&format!("env = \"{name}\""));
            assert!(known, "{program} does not read {name}");
        }
    }
}
