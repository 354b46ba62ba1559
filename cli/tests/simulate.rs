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
    for part in ["<svg", "Finish-time fairness", "held_in_band", "CANCELLED", "ASKED FOR TOO MUCH", "kWh"] {
        assert!(html.contains(part), "no {part} in a report of {} bytes", html.len());
    }
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

#[test]
fn a_trace_of_gavel_runs_with_its_table_and_asks_for_it_without() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, table) = (folder.path().join("a.trace"), folder.path().join("table.json"));
    std::fs::write(&trace, "A\tc\td\t-n\t0\t600\t1\t1\t-1.0\t0\nB\tc\td\t-n\t0\t600\t1\t1\t-1.0\t5\n").unwrap();
    let pair = r#"{"v100": {"('A', 1)": {"null": 1, "('B', 1)": [0.9, 0.8]}, "('B', 1)": {"null": 1, "('A', 1)": [0.8, 0.9]}}}"#;
    std::fs::write(&table, pair).unwrap();
    let (trace, table) = (trace.to_str().unwrap(), table.to_str().unwrap());
    let ask = ["--trace", trace, "--cluster", "v100=1x1", "--policy", "gavel,gavel-packed", "--world", "sia"];
    let (outcome, _, err) = simulate(&ask);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("give it with --profiles FILE"), "{err}");
    let (outcome, out, err) = simulate(&[ask.as_slice(), &["--profiles", table]].concat());
    assert_eq!(outcome, Outcome::Done, "{err}");
    assert!(out.contains("gavel-packed"), "{out}");
    let (_, _, err) = simulate(&["--trace", trace, "--profiles", table, "--cluster", "v100=1x1", "--policy", "sia"]);
    assert!(err.contains("A-0 has a fixed size, and that policy resizes jobs; choose one that does not"), "{err}");
}

#[test]
fn a_summary_asks_which_cluster_is_meant_and_a_packed_file_to_be_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.csv");
    let header = "id,avg_run_time_gpu,med_run_time_gpu,max_run_time_gpu,avg_gpu_num,med_gpu_num,max_gpu,complete_rate_gpu,\
        cancel_rate_gpu,fail_rate_gpu,complete_rate_gpu_time,cancel_rate_gpu_time,fail_rate_gpu_time";
    std::fs::write(&path, format!("{header}\nA,60,60,60,1,1,1,0.5,0.2,0.3,0.5,0.2,0.3\n")).unwrap();
    let path = path.to_str().unwrap();
    let (_, _, err) = simulate(&["--trace", path]);
    assert!(err.contains(&format!("it sums several up; write {path}#A")), "{err}");
    let (outcome, out, err) = simulate(&["--trace", &format!("{path}#A"), "--policy", "fifo"]);
    assert_eq!(outcome, Outcome::Done, "{err}");
    assert!(out.contains("fifo"), "{out}");
    let (_, _, err) = simulate(&["--trace", "philly.csv.gz"]);
    assert!(err.contains("it is compressed; unpack it with gunzip first"), "{err}");
}
