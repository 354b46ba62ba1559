//! The figures that gates print, found in their output. What a gate does not print is absent.

use serde::{Deserialize, Serialize};

/// One thing that a gate measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) name: String,
    /// The value as the gate printed it, with its unit.
    pub(super) value: String,
}

/// How a line with a figure begins, what is measured, and how the line ends after the value.
const LINES: &[(&str, &str, &str)] = &[
    ("chart installed in ", "chart installed", ""),
    ("operator and agents ready in ", "operator and agents ready after that", ""),
    ("in band / (held - unknown) ", "GPU time in band, until the last correction and after it", ""),
    ("held time that is known ", "held GPU time that is known, until then and after it", ""),
    ("GPU-hours freed against the first sizes, on this clock: ", "GPU-hours freed against the first sizes", ""),
    ("Resident memory: ", "resident memory", ""),
    ("the story took ", "the story in all", " in all"),
    ("fastest ", "apply to all pods bound, fastest", ""),
];

/// How a line of the planner's measurement is cut in two; before it stands what is planned.
const PLAN: &str = " of them running: ";

/// All figures, in the order of the output.
pub(super) fn read(output: &str) -> Vec<Figure> {
    output.lines().filter_map(|line| figure(line.trim())).collect()
}

fn figure(line: &str) -> Option<Figure> {
    if let Some((what, value)) = line.split_once(PLAN) {
        let name = format!("a plan of {what} running, the best of 10");
        return Some(Figure { name, value: value.to_owned() });
    }
    LINES.iter().find_map(|(begins, name, ends)| {
        let value = line.strip_prefix(begins)?.strip_suffix(ends)?;
        let columns: Vec<_> = value.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        Some(Figure { name: (*name).to_owned(), value: columns.join(", ") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(output: &str) -> Vec<String> {
        read(output).into_iter().map(|figure| format!("{}: {}", figure.name, figure.value)).collect()
    }

    #[test]
    fn a_story_has_its_times_its_share_in_band_and_its_memory() {
        let output = "\
chart installed in 2.1 s
  held_in_band                                      213         1425
  in band / (held - unknown)                       34 %        100 %
  held time that is known                          70 %        100 %
  GPU-hours freed against the first sizes, on this clock: 0.05

Resident memory: 2 operators, at most 21.1 MiB; 13 agents, at most 11.1 MiB

the story took 91 s in all
";
        assert_eq!(
            shown(output),
            [
                "chart installed: 2.1 s",
                "GPU time in band, until the last correction and after it: 34 %, 100 %",
                "held GPU time that is known, until then and after it: 70 %, 100 %",
                "GPU-hours freed against the first sizes: 0.05",
                "resident memory: 2 operators, at most 21.1 MiB; 13 agents, at most 11.1 MiB",
                "the story in all: 91 s",
            ]
        );
    }

    #[test]
    fn the_bench_has_three_readings_and_the_planner_one_for_each_size() {
        assert_eq!(
            shown("  fastest 0.101 s, median 0.140 s, slowest 0.300 s\n"),
            ["apply to all pods bound, fastest: 0.101 s, median 0.140 s, slowest 0.300 s"]
        );
        assert_eq!(
            shown("500 nodes, 200 jobs, 150 of them running: 6.0 ms\n"),
            ["a plan of 500 nodes, 200 jobs, 150 running, the best of 10: 6.0 ms"]
        );
    }

    #[test]
    fn what_was_not_printed_is_absent() {
        assert_eq!(read("test result: ok. 12 passed\nthe story took\nfastest\n"), []);
    }
}
