//! `plimsoll simulate` from a workload to text and a report.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::ffi::OsString;

use plimsoll_cli::{Outcome, run};

fn simulate(arguments: &[&str]) -> (Outcome, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["plimsoll", "simulate"].iter().chain(arguments).map(OsString::from);
    let outcome = run("plimsoll", words, &mut out, &mut err);
    (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_workload_under_two_policies_becomes_a_table_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, report) = (folder.path().join("jobs.jsonl"), folder.path().join("out.html"));
    let job = |name, at| format!(r#"{{"name":"{name}","at_seconds":{at},"application":"ncf","gpus":1,"batch":32768}}"#);
    std::fs::write(&trace, [job("a", 0), job("b", 30), job("c", 40)].join("\n")).unwrap();
    let (trace, report) = (trace.to_str().unwrap(), report.to_str().unwrap());
    let ask = ["--trace", trace, "--cluster", "t4=1x2", "--policy", "plimsoll-b,fifo", "--report", report];
    let (outcome, out, err) = simulate(&ask);
    assert_eq!(outcome, Outcome::Done, "{err}");
    assert!(out.contains("plimsoll-b") && out.contains("fifo") && out.contains("RESTARTS/JOB"), "{out}");
    let html = std::fs::read_to_string(report).unwrap();
    assert!(html.contains("<svg") && html.contains("Finish-time fairness"), "a report of {} bytes", html.len());
    assert_eq!(simulate(&ask).1, out, "the same question has the same answer");
}

#[test]
fn an_unknown_policy_and_an_unknown_kind_are_named() {
    let (outcome, _, err) = simulate(&["--trace", "pollux-1", "--policy", "lottery"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("failed to find the policy lottery; known: plimsoll-a"), "{err}");
    let (outcome, _, err) = simulate(&["--trace", "pollux-1", "--cluster", "h100=2x8"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("nothing is known of application") && err.contains("h100=2x8"), "{err}");
}
