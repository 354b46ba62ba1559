//! docs/measured.md: what a long run gave, and on which machine.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::gate::Gate;
use super::machine::Machine;
use super::results::Results;

/// The file, relative to the checkout.
pub(super) const FILE: &str = "docs/measured.md";

/// Its text.
pub(super) fn page(gates: &[Gate], results: &Results, machine: &Machine, now: Timestamp) -> String {
    let mut page =
        "# Measured\n\nWritten by `cargo xtask test --long`, not by hand. A figure is as its gate printed it; \
         one that was not printed is absent.\n\n"
            .to_owned();
    about(&mut page, results, machine, now);
    page.push_str("\n## Gates\n\n| gate | result | seconds | command |\n|---|---|---:|---|\n");
    for gate in gates {
        let result = results.gates.get(gate.name);
        let said = result.map_or("not run", |result| if result.passed { "passed" } else { "failed" });
        let seconds = result.map(|result| format!("{:.0}", result.seconds)).unwrap_or_default();
        row(&mut page, &[gate.name, said, &seconds, &format!("`{}`", gate.shown())]);
    }
    page.push_str("\n## Figures\n");
    for gate in gates {
        let figures = results.gates.get(gate.name).map(|result| result.figures.as_slice()).unwrap_or_default();
        if !figures.is_empty() {
            let _ = write!(page, "\n### {}\n\n| | |\n|---|---|\n", gate.name);
            figures.iter().for_each(|figure| row(&mut page, &[&figure.name, &figure.value]));
        }
    }
    page
}

fn about(page: &mut String, results: &Results, machine: &Machine, now: Timestamp) {
    let Machine { processor, cores, memory_kib, kernel, system, kubernetes } = machine;
    let changed = if results.sources.changed { ", changed" } else { "" };
    let memory = memory_kib.map(|kib| format!("{:.1} GiB", kib as f64 / f64::from(1 << 20)));
    let facts = [
        ("Date", Some(now.strftime("%Y-%m-%d").to_string())),
        ("Commit", Some(format!("{}{changed}", results.sources.commit))),
        ("Processor", processor.clone()),
        ("Cores", cores.map(|cores| cores.to_string())),
        ("Memory", memory),
        ("Kernel", kernel.as_ref().map(|release| format!("Linux {release}"))),
        ("System", system.clone()),
        ("Kubernetes", Some(kubernetes.join(", ")).filter(|versions| !versions.is_empty())),
    ];
    page.push_str("| | |\n|---|---|\n");
    for (name, value) in facts {
        if let Some(value) = value {
            row(page, &[name, &value]);
        }
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::super::figures::Figure;
    use super::super::results::GateResult;
    use super::super::sources::Sources;
    use super::*;

    #[test]
    fn the_page_has_the_machine_every_gate_and_every_figure_and_nothing_that_was_not_measured() {
        let gates = [Gate::shell("quick", "true"), Gate::shell("slow", "a | b"), Gate::shell("last", "true")];
        let mut results = Results::of(Sources { commit: "abc".to_owned(), changed: false });
        let figure = Figure { name: "resident memory".to_owned(), value: "9.8 MiB".to_owned() };
        let quick = GateResult { passed: true, seconds: 1.4, figures: vec![figure] };
        results.gates.insert("quick".to_owned(), quick);
        results.gates.insert("slow".to_owned(), GateResult { passed: false, seconds: 61.0, figures: Vec::new() });
        let machine = Machine {
            cores: Some(2),
            memory_kib: Some(24 << 20),
            kubernetes: vec!["v1.37.2".into()],
            ..Machine::default()
        };
        let page = page(&gates, &results, &machine, Timestamp::UNIX_EPOCH);
        let expected = "\
# Measured

Written by `cargo xtask test --long`, not by hand. A figure is as its gate printed it; one that was not printed is absent.

| | |
|---|---|
| Date | 1970-01-01 |
| Commit | abc |
| Cores | 2 |
| Memory | 24.0 GiB |
| Kubernetes | v1.37.2 |

## Gates

| gate | result | seconds | command |
|---|---|---:|---|
| quick | passed | 1 | `sh -ec 'true'` |
| slow | failed | 61 | `sh -ec 'a \\| b'` |
| last | not run |  | `sh -ec 'true'` |

## Figures

### quick

| | |
|---|---|
| resident memory | 9.8 MiB |
";
        assert_eq!(page, expected);
    }
}
