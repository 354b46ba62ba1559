//! A snapshot that was saved once is read and planned in the same way for ever: it may be attached to a bug report.
#![allow(clippy::disallowed_methods, reason = "golden files are files")]

mod world;

use std::path::PathBuf;

use plimsoll_scheduling::{Plan, Reason, Snapshot, Standing, Taint, Toleration, plan};
use world::{allocation, candidate, job, node, now, queue, running, shape, snapshot};

/// One of everything.
fn saved() -> Snapshot {
    let mut nodes = ["n1", "n2", "n3", "n4"].map(|name| node(name, "t4", 4)).to_vec();
    nodes[3].open = false;
    nodes[3].closed_because = "cordoned".into();
    nodes[2].taints =
        vec![Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect: "NoSchedule".into() }];
    nodes[0].labels.insert("topology.kubernetes.io/zone".into(), "a".into());
    let (wide, narrow) = (candidate(shape("t4", 2, 2), 1.0, false), candidate(shape("t4", 1, 2), 1.1, true));
    let mover = running(job("mover", 1, vec![narrow, wide.clone()]), &wide, &["n1", "n2"]);
    let mut leaver = running(job("leaver", 2, vec![wide.clone()]), &candidate(shape("t4", 1, 1), 1.0, true), &["n1"]);
    leaver.standing = Standing::Leaving(allocation(&mut leaver).clone());
    let mut held = job("held", 3, vec![wide.clone()]);
    held.standing = Standing::Held { reason: Reason::Suspended, message: "by its user".into() };
    let mut tolerant = job("tolerant", 4, vec![candidate(shape("t4", 1, 4), 1.0, true)]);
    tolerant.needs.tolerations = vec![Toleration {
        key: "nvidia.com/gpu".into(),
        operator: "Exists".into(),
        value: String::new(),
        effect: String::new(),
    }];
    let large = job("large", 5, vec![candidate(shape("t4", 2, 4), 1.0, true)]);
    let mut snapshot = snapshot(nodes, vec![mover, leaver, held, tolerant, large]);
    snapshot.queues[0] = queue("q", Some(&[("t4", 14)]));
    snapshot.snapshot()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect("the golden file is there")
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it is JSON") + "\n"
}

#[test]
fn a_saved_snapshot_gives_the_saved_plan_byte_for_byte() {
    let snapshot: Snapshot = serde_json::from_str(&read("snapshot.json")).expect("a saved snapshot reads back");
    assert_eq!(pretty(&snapshot), read("snapshot.json"));
    assert_eq!(pretty(&plan(&snapshot, now())), read("plan.json"));
    let plan: Plan = serde_json::from_str(&read("plan.json")).expect("a saved plan reads back");
    assert_eq!(pretty(&plan), read("plan.json"));
}

#[test]
fn the_saved_snapshot_is_the_one_built_here() {
    assert_eq!(pretty(&saved()), read("snapshot.json"));
}

/// `cargo test -p plimsoll-scheduling --test golden -- --ignored` writes the files anew. An incompatible change to them
/// breaks saved snapshots: think twice.
#[test]
#[ignore = "writes the golden files"]
fn write() {
    std::fs::write(path("snapshot.json"), pretty(&saved())).expect("the folder is writable");
    std::fs::write(path("plan.json"), pretty(&plan(&saved(), now()))).expect("the folder is writable");
}
