//! Who may know whom. The arrows of docs/architecture.md, kept.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// For each crate of the product, the crates of the product that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("plimsoll-protocol", &[]),
    ("plimsoll-menu", &[]),
    ("plimsoll-sizing", &["plimsoll-menu"]),
    // Reads tables from files: a tool beside the core, which the product never links.
    ("plimsoll-calibration", &["plimsoll-sizing"]),
    ("plimsoll-scheduling", &["plimsoll-menu"]),
    ("plimsoll-lifecycle", &["plimsoll-protocol", "plimsoll-menu"]),
    // Drives the planner over traces; what it draws costs nothing to the product, so cli may show it.
    ("plimsoll-simulator", &["plimsoll-menu", "plimsoll-sizing", "plimsoll-scheduling"]),
    ("plimsoll-crds", &[]),
    ("plimsoll-observe", &["plimsoll-crds", "plimsoll-scheduling", "plimsoll-sizing", "plimsoll-menu"]),
    ("plimsoll-telemetry", &[]),
    (
        "plimsoll-operator",
        &[
            "plimsoll-protocol",
            "plimsoll-menu",
            "plimsoll-sizing",
            "plimsoll-scheduling",
            "plimsoll-lifecycle",
            "plimsoll-crds",
            "plimsoll-observe",
            "plimsoll-telemetry",
        ],
    ),
    ("plimsoll-agent", &["plimsoll-crds", "plimsoll-telemetry", "plimsoll-protocol"]),
    (
        "plimsoll-cli",
        &[
            "plimsoll-protocol",
            "plimsoll-menu",
            "plimsoll-sizing",
            "plimsoll-scheduling",
            "plimsoll-lifecycle",
            "plimsoll-crds",
            "plimsoll-observe",
            "plimsoll-simulator",
        ],
    ),
    // What plays the world must not know what Plimsoll thinks of it: never sizing, scheduling or the operator.
    ("plimsoll-test-fleet", &["plimsoll-agent", "plimsoll-protocol", "plimsoll-crds", "nvml-mock"]),
    ("plimsoll-images", &[]),
    ("plimsoll-test-cluster", &["plimsoll-images"]),
    ("plimsoll-demo-trainer", &["plimsoll-protocol"]),
    ("nvml-mock", &[]),
];

/// What the pure crates must not reach, however far away.
const WORLD: &[&str] =
    &["kube", "kube-core", "k8s-openapi", "tokio", "hyper", "axum", "reqwest", "rand", "getrandom", "tracing"];

/// The crates without Kubernetes, async runtime, clock, environment or randomness.
const PURE: &[&str] = &[
    "plimsoll-protocol",
    "plimsoll-menu",
    "plimsoll-sizing",
    "plimsoll-scheduling",
    "plimsoll-lifecycle",
    "plimsoll-simulator",
];

fn metadata() -> Metadata {
    MetadataCommand::new().other_options(vec!["--locked".to_owned()]).exec().unwrap()
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    metadata.packages.iter().find(|p| p.name.as_str() == name).unwrap()
}

fn own_dependencies(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let members: BTreeSet<_> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .map(|d| d.name.clone())
        .filter(|name| members.contains(name))
        .collect()
}

#[test]
fn every_crate_names_only_the_crates_that_its_arrows_allow() {
    let metadata = metadata();
    for (name, allowed) in ARROWS {
        let allowed: BTreeSet<_> = allowed.iter().map(ToString::to_string).collect();
        let found = own_dependencies(&metadata, package(&metadata, name));
        let extra: Vec<_> = found.difference(&allowed).collect();
        assert!(extra.is_empty(), "{name} must not depend on {extra:?}");
    }
}

#[test]
fn every_crate_of_the_product_has_its_arrows_written_down() {
    let metadata = metadata();
    let known: BTreeSet<_> = ARROWS.iter().map(|(name, _)| *name).chain(["plimsoll-e2e", "xtask"]).collect();
    for package in metadata.workspace_packages() {
        assert!(known.contains(package.name.as_str()), "{} is not in ARROWS", package.name);
    }
}

#[test]
fn the_pure_crates_reach_nothing_of_the_world() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    for root in PURE {
        let mut open = vec![&package(&metadata, root).id];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            assert!(!WORLD.contains(&names[id]), "{root} reaches {}", names[id]);
            let node = resolve.nodes.iter().find(|n| n.id == *id).unwrap();
            let normal = node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            open.extend(normal.map(|d| &d.pkg));
        }
    }
}
