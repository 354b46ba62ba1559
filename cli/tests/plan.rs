//! `plimsoll plan` on saved snapshots.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::ffi::OsString;
use std::path::Path;

use plimsoll_cli::{Outcome, run};
use plimsoll_scheduling::{Saved, Snapshot, plan};

/// The snapshot by which the planner's own tests are known.
const SNAPSHOT: &str = include_str!("../../core/scheduling/tests/golden/snapshot.json");
const AT: &str = "2026-11-25T12:00:00Z";

fn ask(arguments: &[&str]) -> (Outcome, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["plimsoll", "plan"].iter().chain(arguments).map(OsString::from);
    let outcome = run("plimsoll", words, &mut out, &mut err);
    (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("snapshot.json");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_saved_snapshot_gives_the_plan_that_the_planner_gives_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot: Snapshot = serde_json::from_str(SNAPSHOT).unwrap();
    let saved = Saved { at: AT.parse().unwrap(), violations: vec!["it is here".into()], snapshot };
    let path = file(folder.path(), &serde_json::to_string(&saved).unwrap());
    let expected = plan(&saved.snapshot, saved.at);
    let (outcome, out, err) = ask(&["-f", &path, "-o", "json"]);
    assert_eq!((outcome, err.as_str()), (Outcome::Done, ""));
    assert_eq!(out, serde_json::to_string_pretty(&expected).unwrap() + "\n");
    let (_, table, _) = ask(&["-f", &path]);
    assert_eq!(table.lines().filter(|line| line.contains('/')).count(), expected.decisions.len(), "{table}");
    assert!(table.starts_with("JOB") && table.contains("wait"), "{table}");
}

#[test]
fn a_snapshot_alone_needs_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), SNAPSHOT);
    let (outcome, _, err) = ask(&["-f", &path]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.ends_with("has no field at, the time that it was planned at; give --at\n"), "{err}");
    assert_eq!(ask(&["-f", &path, "--at", AT, "-o", "yaml"]).0, Outcome::Done);
}

#[test]
fn a_snapshot_of_another_form_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &SNAPSHOT.replacen("\"version\": 2", "\"version\": 1", 1));
    let (outcome, out, err) = ask(&["-f", &path, "--at", AT]);
    assert_eq!((outcome, out.as_str()), (Outcome::Failed, ""));
    assert!(err.contains("the snapshot was saved in form 1 and this program reads form 2"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}
