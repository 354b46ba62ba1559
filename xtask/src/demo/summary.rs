//! What came of it: GPU-seconds before and after the corrections, each job's correction and its evidence, memory, addresses.

use jiff::Timestamp;
use plimsoll_e2e::stage::Stage;
use plimsoll_e2e::story::{Act, GpuSeconds, Record, STATES};
use plimsoll_e2e::system::SystemPod;

use super::live::Told;

const MIB: f64 = (1u64 << 20) as f64;

/// Prints the summary.
pub(super) fn print(stage: &Stage, told: &Told, system: &[SystemPod]) {
    println!();
    gpu_seconds(told);
    corrections(&told.record, &stage.acts());
    memory(system);
    println!("\nKubeconfig: {}", stage.cluster.kubeconfig().display());
    let of = |component| system.iter().filter(move |pod| pod.component == component);
    for pod in of("operator").chain(of("agent").take(1)) {
        println!("Metrics of {}: http://{}/metrics", pod.name, pod.admin);
    }
}

fn between(told: &Told, from: Option<Timestamp>, to: Option<Timestamp>) -> GpuSeconds {
    let inside = |at: &Timestamp| from.is_none_or(|f| *at >= f) && to.is_none_or(|t| *at <= t);
    let mut readings = told.gpu_seconds.iter().filter(|(at, _)| inside(at));
    let mut sum = GpuSeconds::default();
    if let Some((_, first)) = readings.next() {
        let last = readings.next_back().map_or(first, |(_, last)| last);
        sum.add_since(first, last);
    }
    sum
}

fn gpu_seconds(told: &Told) {
    let Some(last) = told.record.last_correction() else {
        println!("Nothing was corrected.");
        return;
    };
    let (before, after) = (between(told, None, Some(last)), between(told, Some(last), None));
    println!("GPU-seconds by state          until the last correction     after it");
    for state in STATES {
        println!("  {state:<28} {:>24.0} {:>12.0}", before.of(state), after.of(state));
    }
    let say =
        |sum: &GpuSeconds| sum.headline().map_or("unknown".to_owned(), |(share, _)| format!("{:.0} %", 100.0 * share));
    println!("  {:<28} {:>24} {:>12}", "in band / (held - unknown)", say(&before), say(&after));
    let cover =
        |sum: &GpuSeconds| sum.headline().map_or("-".to_owned(), |(_, known)| format!("{:.0} %", 100.0 * known));
    println!("  {:<28} {:>24} {:>12}", "held time that is known", cover(&before), cover(&after));
}

fn corrections(record: &Record, acts: &[Act]) {
    println!("\nWhat each job was corrected to, and on what evidence:");
    let mut freed = 0.0;
    for act in acts {
        let held: Vec<_> = record.job(act.job).iter().filter(|s| s.holds()).collect();
        let Some(first) = held.first() else {
            println!("  ({}) {:<16} never ran", act.letter, act.job);
            continue;
        };
        println!(
            "  ({}) {:<16} {} x {} at micro-batch {}",
            act.letter, act.job, first.gpus, first.class, first.micro_batch
        );
        for pair in held.windows(2) {
            let (old, new) = (pair[0], pair[1]);
            let resized = (old.gpus, old.micro_batch, &old.class) != (new.gpus, new.micro_batch, &new.class);
            if resized || old.revision != new.revision {
                println!("      -> {} x {} at micro-batch {}: {}", new.gpus, new.class, new.micro_batch, new.because);
            }
        }
        let end = record.job(act.job).last().and_then(|s| s.at);
        freed += freed_gpu_seconds(&held.iter().filter_map(|s| Some((s.at?, s.gpus))).collect::<Vec<_>>(), end);
    }
    println!("  GPU-hours freed against the first sizes, on this clock: {:.2}", freed / 3600.0);
}

/// GPU-seconds that a job did not hold because it was shrunk: the first size less the one held, over time.
fn freed_gpu_seconds(held: &[(Timestamp, i32)], end: Option<Timestamp>) -> f64 {
    let Some((_, first)) = held.first() else { return 0.0 };
    let ends = held.iter().skip(1).map(|(at, _)| *at).chain(end);
    held.iter()
        .zip(ends)
        .map(|((at, gpus), to)| f64::from((first - gpus).max(0)) * (to.as_second() - at.as_second()) as f64)
        .sum()
}

fn memory(system: &[SystemPod]) {
    println!();
    for (component, contained) in [("operator", true), ("operator", false), ("agent", true), ("agent", false)] {
        let these = system.iter().filter(|pod| pod.component == component && pod.contained == contained);
        let sizes: Vec<_> = these.filter_map(SystemPod::resident_bytes).map(|bytes| bytes as f64 / MIB).collect();
        if !sizes.is_empty() {
            let (most, how) =
                (sizes.iter().copied().fold(0.0, f64::max), if contained { "containers" } else { "processes" });
            println!("Resident memory: {component}, {} {how}: at most {most:.1} MiB", sizes.len());
        }
    }
}
