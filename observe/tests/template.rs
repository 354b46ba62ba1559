//! What is read from a pod template, and each sentence about one that cannot be used.

mod common;

use std::collections::BTreeSet;

use common::spec;
use plimsoll_observe::{
    TemplateError, TemplateView,
    needs::{SHM_BYTES_PER_GPU, pod_needs},
};
use plimsoll_scheduling::{NodeExpression, PodNeeds, Resources, Toleration};

fn parse(fields: &str, template: &str) -> Result<TemplateView, TemplateError> {
    TemplateView::parse(&spec(fields, template), &BTreeSet::from(["nvidia.com/gpu".to_owned()]))
}

fn needs(fields: &str, template: &str) -> PodNeeds {
    let spec = spec(fields, template);
    let view = TemplateView::parse(&spec, &BTreeSet::new()).expect("a usable template");
    let per_gpu = "{cpu: '8', memory: 64Gi, ephemeral-storage: 10G}";
    let per_gpu = serde_yaml::from_str(per_gpu).expect("resources");
    pod_needs(&view, if fields.contains("perGPU") { Some(&per_gpu) } else { None }).expect("needs")
}

fn refusal(template: &str) -> String {
    parse("", template).expect_err(template).to_string()
}

#[test]
fn the_trainer_is_the_named_container_then_the_annotated_one_then_the_first() {
    let containers = "containers: [{name: logs}, {name: main}, {name: other}]";
    let annotated = format!(
        "{{metadata: {{annotations: {{kubectl.kubernetes.io/default-container: main}}}}, spec: {{{containers}}}}}"
    );
    let plain = format!("{{spec: {{{containers}}}}}");
    let trainer = |fields, template: &str| parse(fields, template).expect("usable").trainer_container;
    assert_eq!(trainer("trainerContainer: other,", &annotated), "other");
    assert_eq!(trainer("", &annotated), "main");
    assert_eq!(trainer("", &plain), "logs");
    assert_eq!(parse("", &annotated).expect("usable").trainer_index, 1);
}

#[test]
fn a_trainer_that_does_not_exist_is_refused_with_the_names_that_do() {
    let error = parse("trainerContainer: train,", "{spec: {containers: [{name: logs}, {name: main}]}}")
        .expect_err("no trainer");
    assert_eq!(
        error.to_string(),
        r#"spec.trainerContainer names the container "train", but spec.template.spec.containers has logs, main: name one of these"#
    );
}

#[test]
fn a_template_without_containers_is_refused() {
    for template in ["{spec: {containers: []}}", "{spec: {}}", "{}"] {
        assert_eq!(
            refusal(template),
            "spec.template.spec.containers is empty: name at least the container that trains"
        );
    }
}

#[test]
fn a_template_that_is_none_is_refused() {
    assert!(
        refusal("{spec: {containers: [{name: [1]}]}}").starts_with("failed to read spec.template as a pod template: ")
    );
}

#[test]
fn accelerators_of_its_own_are_refused() {
    let sentence = r#"container "init" of spec.template asks for nvidia.com/gpu itself: remove it from resources, because Plimsoll adds the accelerators that it chooses"#;
    let template = "{spec: {containers: [{name: main}], initContainers: [{name: init, resources: {limits: {nvidia.com/gpu: 1}}}]}}";
    assert_eq!(refusal(template), sentence);
}

#[test]
fn fields_that_plimsoll_decides_are_refused_by_name() {
    for (field, value) in [
        ("schedulerName", "default-scheduler"),
        ("priorityClassName", "high"),
        ("priority", "5"),
        ("preemptionPolicy", "Never"),
        ("nodeName", "n1"),
        ("schedulingGates", "[{name: a}]"),
        ("resources", "{requests: {cpu: 1}}"),
        ("resourceClaims", "[{name: gpu}]"),
        (
            "affinity",
            "{podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]}}",
        ),
        ("topologySpreadConstraints", "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]"),
    ] {
        let refusal = refusal(&format!("{{spec: {{containers: [{{name: main}}], {field}: {value}}}}}"));
        assert!(refusal.starts_with(&format!("spec.template.spec.{field} is set: ")), "{refusal}");
    }
}

#[test]
fn a_restart_policy_other_than_never_is_refused() {
    assert!(parse("", "{spec: {restartPolicy: Never, containers: [{name: main}]}}").is_ok());
    assert_eq!(
        refusal("{spec: {restartPolicy: OnFailure, containers: [{name: main}]}}"),
        "spec.template.spec.restartPolicy is OnFailure: remove it or set Never, because a gang restarts as a whole"
    );
}

#[test]
fn a_port_of_the_node_is_refused_and_the_nodes_network_alone_is_not() {
    assert!(
        refusal("{spec: {containers: [{name: main, ports: [{containerPort: 80, hostPort: 8080}]}]}}")
            .contains("port 8080")
    );
    assert!(
        refusal("{spec: {hostNetwork: true, containers: [{name: main, ports: [{containerPort: 80}]}]}}")
            .contains("port 80")
    );
    assert!(parse("", "{spec: {hostNetwork: true, containers: [{name: main}]}}").is_ok());
    assert!(parse("", "{spec: {containers: [{name: main, ports: [{containerPort: 80}]}]}}").is_ok());
}

#[test]
fn an_amount_that_is_none_is_refused_with_its_container() {
    let refusal = refusal("{spec: {containers: [{name: main, resources: {requests: {memory: 16GiB}}}]}}");
    assert!(refusal.contains(r#"container "main""#) && refusal.contains("16GiB"), "{refusal}");
}

#[test]
fn an_empty_node_selector_term_is_refused() {
    let affinity =
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}]}}}";
    let refusal = refusal(&format!("{{spec: {{containers: [{{name: main}}], {affinity}}}}}"));
    assert!(refusal.contains("matches no node"), "{refusal}");
}

#[test]
fn selectors_terms_and_tolerations_are_carried_over() {
    let needs = needs(
        "",
        "
        {spec: {containers: [{name: main}],
          nodeSelector: {pool: train},
          tolerations: [{key: nvidia.com/gpu, operator: Exists}, {key: team, value: a, effect: NoSchedule}],
          affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
            {matchExpressions: [{key: zone, operator: In, values: [z1, z2]}], matchFields: [{key: metadata.name, operator: NotIn, values: [n9]}]}]}}}}}",
    );
    assert_eq!(needs.node_selector["pool"], "train");
    let toleration = |key: &str, operator: &str, value: &str, effect: &str| Toleration {
        key: key.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    };
    let expected = [toleration("nvidia.com/gpu", "Exists", "", ""), toleration("team", "Equal", "a", "NoSchedule")];
    assert_eq!(needs.tolerations, expected);
    let expression = |key: &str, field, operator: &str, values: &[&str]| NodeExpression {
        key: key.to_owned(),
        field,
        operator: operator.to_owned(),
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    };
    let term =
        vec![expression("zone", false, "In", &["z1", "z2"]), expression("metadata.name", true, "NotIn", &["n9"])];
    assert_eq!(needs.node_terms, [term]);
}

#[test]
fn amounts_that_stand_as_numbers_count_like_text() {
    let needs = needs(
        "",
        "{spec: {overhead: {cpu: 1}, containers: [{name: main, resources: {requests: {cpu: 2.5, memory: 1000}}}]}}",
    );
    assert_eq!(needs.base, Resources { cpu_milli: 3500, memory_bytes: 1000, ephemeral_bytes: 0, pods: 1 });
}

#[test]
fn shared_memory_counts_only_where_the_operator_adds_it_and_memory_is_requested() {
    let with = "{spec: {containers: [{name: main, resources: {requests: {memory: 1Gi}}}]}}";
    let without = "{spec: {containers: [{name: main}]}}";
    let own = "{spec: {volumes: [{name: shm, emptyDir: {medium: Memory}}], containers: [{name: main, resources: {requests: {memory: 1Gi}}, volumeMounts: [{name: shm, mountPath: /dev/shm/}]}]}}";
    assert_eq!(needs("", with).per_gpu.memory_bytes, SHM_BYTES_PER_GPU);
    assert_eq!(needs("", without).per_gpu.memory_bytes, 0);
    assert_eq!(needs("", own).per_gpu.memory_bytes, 0);
}

#[test]
fn each_device_adds_what_the_job_says() {
    let needs = needs("queueName: perGPU,", "{spec: {containers: [{name: main, resources: {requests: {cpu: 2}}}]}}");
    let each = Resources { cpu_milli: 8000, memory_bytes: 65 << 30, ephemeral_bytes: 10_000_000_000, pods: 0 };
    assert_eq!((needs.base.cpu_milli, needs.per_gpu), (2000, each));
}
