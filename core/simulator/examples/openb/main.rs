//! How full placement fills a cluster: `cargo run --release -p plimsoll-simulator --example openb -- --traces DIR`, or
//! `cargo xtask bench placement --traces DIR`.
//!
//! Alibaba's openb trace, filled as in the FGD paper: each policy's unallocated share of GPUs when 100 % and 130 % of the capacity
//! were asked for, mean and range over seeds.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example is no part of the pure core"
)]

mod files;
mod published;

use std::path::PathBuf;
use std::process::ExitCode;

use plimsoll_simulator::fgd::{Policy, saturate};
use plimsoll_simulator::openb::{Node, Pod};

/// Lists of pods that are filled in.
const LISTS: [&str; 4] = ["default", "multigpu50", "gpushare100", "gpuspec33"];

/// Marks at which shares are read: capacity asked for.
const MARKS: [f64; 2] = [1.0, 1.3];

/// The seeds of the published runs; chance is drawn another way here, so they are only as many.
const SEEDS: std::ops::Range<u64> = 42..52;

fn main() -> ExitCode {
    let mut traces = None;
    let mut seeds = SEEDS;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next();
        match (argument.as_str(), value) {
            ("--traces", Some(folder)) => traces = Some(PathBuf::from(folder)),
            ("--seeds", Some(count)) if count.parse::<u64>().is_ok_and(|count| (1..=1000).contains(&count)) => {
                seeds.end = seeds.start + count.parse().unwrap_or(10);
            }
            (other, _) => {
                eprintln!("error: `{other}` is unknown or has no value: give --traces DIR, --seeds 1 to 1000");
                return ExitCode::from(2);
            }
        }
    }
    let Some(folder) = traces else {
        eprintln!("error: the trace is not in the repository: give the folder that holds it as --traces DIR");
        return ExitCode::from(2);
    };
    match run(&folder, seeds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a table for each list; whether ours leaves no more unallocated than FGD in any of them.
fn run(folder: &std::path::Path, seeds: std::ops::Range<u64>) -> Result<bool, String> {
    let nodes = files::nodes(folder)?;
    let gpus: u32 = nodes.iter().map(|node| node.gpus).sum();
    println!(
        "{} nodes with {gpus} GPUs; unallocated GPUs in %, mean (least to most) of {} seeds",
        nodes.len(),
        seeds.end - seeds.start
    );
    let mut holds = true;
    for list in LISTS {
        let pods = files::pods(folder, list)?;
        println!(
            "\n{list}: {} pods\n{:<10} {:>22} {:>22}   published",
            pods.len(),
            "",
            "100 % asked for",
            "130 % asked for"
        );
        let means: Vec<[f64; 2]> =
            Policy::ALL.iter().map(|policy| row(&nodes, &pods, list, *policy, seeds.clone())).collect();
        let of = |policy: Policy| means[Policy::ALL.iter().position(|other| *other == policy).unwrap_or(0)];
        for (mark, (ours, fgd)) in of(Policy::Plimsoll).into_iter().zip(of(Policy::Fgd)).enumerate() {
            let word = if ours <= fgd { "ok  " } else { "MISS" };
            holds &= ours <= fgd;
            println!("  {word} at {:.0} %: {ours:.2} %, FGD {fgd:.2} %", 100.0 * MARKS[mark]);
        }
    }
    Ok(holds)
}

/// Prints a policy's row and gives its means, in %.
fn row(nodes: &[Node], pods: &[Pod], list: &str, policy: Policy, seeds: std::ops::Range<u64>) -> [f64; 2] {
    let runs: Vec<Vec<f64>> = seeds.map(|seed| saturate(nodes, pods, policy, &MARKS, seed).unallocated).collect();
    let (mut means, mut cells) = ([0.0; 2], Vec::new());
    for (mark, mean) in means.iter_mut().enumerate() {
        let percent = runs.iter().map(|run| 100.0 * run[mark]);
        *mean = percent.clone().sum::<f64>() / runs.len() as f64;
        let (least, most) = percent.fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
        cells.push(format!("{mean:.2} ({least:.2} to {most:.2})"));
    }
    let published = published::unallocated_percent(policy, list);
    let published = published.map_or_else(String::new, |[at_100, at_130]| format!("{at_100:.2} {at_130:.2}"));
    println!("{:<10} {:>22} {:>22}   {published}", policy.name(), cells[0], cells[1]);
    means
}
