//! Classes of the products that the cluster has, with the catalogue's figures. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;
use plimsoll_crds::{
    AcceleratorClass, AcceleratorClassSpec,
    accelerator_class::{ClassSignal, PeakFlops},
};
use plimsoll_observe::Objects;
use plimsoll_sizing::catalogue::{self, Product};

/// The label by which GPU feature discovery names a node's product.
const PRODUCT_LABEL: &str = "nvidia.com/gpu.product";
const RESOURCE: &str = "nvidia.com/gpu";
/// Products since Hopper, whose driver has GPU performance monitoring, by the beginning of their class's name. The
/// rest of the catalogue is Maxwell or later.
const HOPPER_OR_LATER: [&str; 9] = ["h100", "h200", "h800", "h20-", "gh200", "b200", "gb200", "b300", "gb300"];

/// Classes of all products that are present and in the catalogue, by name.
pub(super) fn wanted(objects: &Objects) -> Vec<AcceleratorClass> {
    let present: BTreeSet<&str> =
        objects.nodes.iter().filter_map(|node| node.labels().get(PRODUCT_LABEL)).map(String::as_str).collect();
    // A share of a device (`-SHARED`) is less than the figures of the product say: an administrator must describe it.
    let known = |product: &Product| product.labels.iter().any(|label| present.contains(label));
    let products = catalogue::PRODUCTS.iter().filter(|product| known(product));
    let mut classes: Vec<AcceleratorClass> =
        products.flat_map(|product| of_product(product, &present, objects)).collect();
    classes.sort_by_key(AcceleratorClass::name_any);
    classes
}

/// One class for each label that the product is present under. The catalogue's name goes to the label that has it
/// already, else to the first; further ones are numbered by their place in the catalogue, so that names never move.
fn of_product(product: &Product, present: &BTreeSet<&str>, objects: &Objects) -> Vec<AcceleratorClass> {
    let labels = product.labels.iter().enumerate().filter(|(_, label)| present.contains(*label));
    let labels: Vec<(usize, &str)> = labels.map(|(place, label)| (place, *label)).collect();
    let existing = objects.classes.iter().find(|class| class.name_any() == product.class);
    let taken = existing.and_then(|class| class.spec.node_selector.get(PRODUCT_LABEL)).map(String::as_str);
    let taken = taken.filter(|label| product.labels.contains(label));
    let first = taken.or(labels.first().map(|(_, label)| *label));
    let named = |(place, label): &(usize, &str)| {
        let name =
            if Some(*label) == first { product.class.to_owned() } else { format!("{}-{}", product.class, place + 1) };
        AcceleratorClass::new(&name, spec(product, label))
    };
    labels.iter().map(named).collect()
}

fn spec(product: &Product, label: &str) -> AcceleratorClassSpec {
    let giga = |rate: f64| (rate > 0.0).then(|| quantity(rate * 1e3));
    let tera = |rate: f64| (rate > 0.0).then(|| quantity(rate * 1e6));
    AcceleratorClassSpec {
        partitioned: None,
        node_selector: BTreeMap::from([(PRODUCT_LABEL.to_owned(), label.to_owned())]),
        resource_name: RESOURCE.to_owned(),
        memory: Quantity(format!("{}Mi", (product.memory_gib * 1024.0).floor())),
        bandwidth_bytes_per_second: quantity(product.bandwidth * 1e3),
        peak_flops: PeakFlops {
            fp32: tera(product.fp32),
            tf32: tera(product.tf32),
            fp16: tera(product.fp16),
            bf16: tera(product.bf16),
            fp8: tera(product.fp8),
        },
        link_bytes_per_second: giga(product.link),
        network_bytes_per_second: giga(product.network),
        watts: Some(product.watts.round() as i32),
        // What a device costs is for whoever pays for it to say.
        price_per_hour: None,
        load_line: None,
        signal: Some(signal(product)),
    }
}

fn signal(product: &Product) -> ClassSignal {
    let hopper = HOPPER_OR_LATER.iter().any(|beginning| product.class.starts_with(beginning));
    if hopper { ClassSignal::Gpm } else { ClassSignal::ProcessSM }
}

/// So many millions, with the largest suffix that keeps a whole number.
fn quantity(millions: f64) -> Quantity {
    let (mut number, mut suffix) = (millions.round() as u64, "M");
    for larger in ["G", "T", "P"] {
        if number == 0 || !number.is_multiple_of(1000) {
            break;
        }
        (number, suffix) = (number / 1000, larger);
    }
    Quantity(format!("{number}{suffix}"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Node;

    use super::*;

    /// Nodes of these products.
    pub(in crate::classes) fn cluster(labels: &[&str]) -> Objects {
        let node = |(index, label): (usize, &&str)| {
            serde_yaml::from_str::<Node>(&format!(
                "{{metadata: {{name: n{index}, labels: {{nvidia.com/gpu.product: {label}}}}}, status: {{allocatable: {{nvidia.com/gpu: '8'}}}}}}"
            ))
            .expect("a node")
        };
        Objects { nodes: labels.iter().enumerate().map(node).map(Arc::new).collect(), ..Objects::default() }
    }

    fn names(objects: &Objects) -> Vec<String> {
        wanted(objects).iter().map(AcceleratorClass::name_any).collect()
    }

    #[test]
    fn only_products_that_are_present_and_known_get_a_class() {
        let labels =
            ["NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3", "Tesla-T4-SHARED", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"];
        assert_eq!(names(&cluster(&labels)), ["h100-sxm5-80gb"]);
    }

    #[test]
    fn figures_are_round_quantities() {
        let class = wanted(&cluster(&["NVIDIA-H100-80GB-HBM3"])).remove(0);
        let json = serde_json::to_value(&class).expect("JSON");
        let expected = serde_json::json!({
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "AcceleratorClass",
            "metadata": {"name": "h100-sxm5-80gb"},
            "spec": {
                "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
                "resourceName": "nvidia.com/gpu",
                "memory": "80998Mi",
                "bandwidthBytesPerSecond": "3350G",
                "peakFlops": {"fp32": "67T", "tf32": "494700G", "fp16": "989500G", "bf16": "989500G", "fp8": "1979T"},
                "linkBytesPerSecond": "450G",
                "networkBytesPerSecond": "50G",
                "watts": 700,
                "signal": "Gpm"
            }
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn every_product_says_which_signal_it_has() {
        for (label, expected) in [("NVIDIA-A100-SXM4-40GB", ClassSignal::ProcessSM), ("NVIDIA-B200", ClassSignal::Gpm)]
        {
            assert_eq!(wanted(&cluster(&[label]))[0].spec.signal, Some(expected));
        }
    }

    #[test]
    fn a_name_stays_with_the_label_that_has_it() {
        assert_eq!(names(&cluster(&["NVIDIA-T4"])), ["t4"]);
        assert_eq!(names(&cluster(&["NVIDIA-T4", "Tesla-T4"])), ["t4", "t4-2"]);
        let mut objects = cluster(&["NVIDIA-T4"]);
        objects.classes = wanted(&objects).into_iter().map(Arc::new).collect();
        objects.nodes.extend(cluster(&["Tesla-T4"]).nodes);
        assert_eq!(names(&objects), ["t4", "t4-1"]);
    }
}
