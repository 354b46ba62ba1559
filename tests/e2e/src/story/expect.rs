//! What must hold of the story, whatever the numbers are: predicates, not values.

use super::{Act, Record, Sighting};

/// Reasons of a gang that waits for devices.
const WAITS_FOR_DEVICES: [&str; 2] = ["WaitingForCapacity", "WaitingForNodes"];
/// Reason of condition Efficient where no smaller size keeps the pace.
const AT_FLOOR: &str = "AtFloor";

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What must hold, as a sentence.
    pub expected: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

pub(super) fn finding(expected: &'static str, holds: bool, seen: impl Into<String>) -> Finding {
    Finding { expected, holds, seen: seen.into() }
}

fn holding(history: &[Sighting]) -> Vec<&Sighting> {
    history.iter().filter(|s| s.holds()).collect()
}

fn size(s: &Sighting) -> String {
    format!("{} {} at micro-batch {} x {}", s.gpus, s.class, s.micro_batch, s.accumulation)
}

fn percent(value: Option<i32>) -> String {
    value.map_or("none".to_owned(), |value| format!("{value} %"))
}

fn time(at: Option<jiff::Timestamp>) -> String {
    at.map_or("never".to_owned(), |at| at.strftime("%H:%M:%S%.3f").to_string())
}

fn from_to(history: &[Sighting]) -> String {
    let held = holding(history);
    match (held.first(), held.last()) {
        (Some(first), Some(last)) => format!("{} -> {}", size(first), size(last)),
        _ => "never ran".to_owned(),
    }
}

/// Everything that must hold of `record` at the end of the story.
pub fn expectations(record: &Record, acts: &[Act]) -> Vec<Finding> {
    let job = |letter| record.job(acts.iter().find(|a| a.letter == letter).map_or("", |a| a.job));
    let mut findings = Vec::new();
    findings.extend(right_at_once(job('a')));
    findings.extend(out_of_memory_once(job('b')));
    findings.extend(shrunk(job('c')));
    findings.extend(waits_for_room(job('d'), job('c'), "resnet-elastic"));
    findings.extend(grows_live(job('e')));
    if acts.iter().any(|a| a.letter == 'f') {
        findings.extend(out_of_host_memory_once(job('f')));
    }
    findings.extend(everywhere(record, &acts.iter().map(|a| a.job).collect::<Vec<_>>()));
    findings
}

fn right_at_once(history: &[Sighting]) -> Vec<Finding> {
    let held = holding(history);
    let last = history.last().cloned().unwrap_or_default();
    let efficient = held.iter().any(|s| s.efficient.as_ref().is_some_and(|(yes, _)| *yes));
    vec![
        finding(
            "(a) runs at its first size to the end",
            last.moves == 0 && held.iter().all(|s| s.revision == 1),
            from_to(history),
        ),
        finding(
            "(a) is used within the band",
            efficient,
            percent(held.iter().filter_map(|s| s.sm_activity_percent).max()),
        ),
        finding("(a) never runs out of memory", last.device_out_of_memory == 0, last.device_out_of_memory.to_string()),
    ]
}

fn out_of_memory_once(history: &[Sighting]) -> Vec<Finding> {
    let held = holding(history);
    let last = history.last().cloned().unwrap_or_default();
    let (first, end) =
        (held.first().copied().cloned().unwrap_or_default(), held.last().copied().cloned().unwrap_or_default());
    let after: Vec<_> = held.iter().filter(|s| s.revision > first.revision).collect();
    vec![
        finding(
            "(b) runs out of device memory exactly once",
            last.device_out_of_memory == 1,
            last.device_out_of_memory.to_string(),
        ),
        finding(
            "(b) starts again at a smaller micro-batch",
            after.first().is_some_and(|s| s.micro_batch < first.micro_batch) && end.micro_batch < first.micro_batch,
            from_to(history),
        ),
        finding(
            "(b) keeps its global batch",
            held.iter().all(|s| s.global_batch == first.global_batch) && first.global_batch > 0,
            first.global_batch.to_string(),
        ),
        finding("(b) is not counted as a failure", last.failures == 0, last.failures.to_string()),
        finding(
            "(b) moves the device ledger, not the host's",
            last.device_ledger_moved && last.host_memory.is_none() && last.host_out_of_memory == 0,
            ledgers(&last),
        ),
    ]
}

fn ledgers(s: &Sighting) -> String {
    let host = s.host_memory.map_or("unmoved".to_owned(), |(at, given)| format!("{} -> {} MiB", at >> 20, given >> 20));
    format!("device {}, host {host}", if s.device_ledger_moved { "moved" } else { "unmoved" })
}

fn out_of_host_memory_once(history: &[Sighting]) -> Vec<Finding> {
    let held = holding(history);
    let last = history.last().cloned().unwrap_or_default();
    let batches: std::collections::BTreeSet<_> = held.iter().map(|s| (s.gpus, s.micro_batch, s.accumulation)).collect();
    let grew = last.host_memory.is_some_and(|(at, given)| given > at && at > 0);
    vec![
        finding(
            "(f) is ended by the kernel exactly once",
            last.host_out_of_memory == 1 && last.device_out_of_memory == 0,
            format!("{} for host memory, {} for device memory", last.host_out_of_memory, last.device_out_of_memory),
        ),
        finding("(f) moves the host ledger, not the device's", grew && !last.device_ledger_moved, ledgers(&last)),
        finding("(f) keeps its size", batches.len() == 1, from_to(history)),
    ]
}

fn shrunk(history: &[Sighting]) -> Vec<Finding> {
    let held = holding(history);
    let (first, end) =
        (held.first().copied().cloned().unwrap_or_default(), held.last().copied().cloned().unwrap_or_default());
    let settled = held.iter().filter(|s| s.revision == end.revision).filter_map(|s| s.efficient.clone()).next_back();
    let in_band = settled.as_ref().is_some_and(|(yes, reason)| *yes || reason == AT_FLOOR);
    vec![
        finding("(c) starts at the 8 GPUs that it requested", first.gpus == 8, from_to(history)),
        finding("(c) is shrunk while it runs", end.gpus < first.gpus && end.gpus > 0, from_to(history)),
        finding(
            "(c) ends in band, or at its proven floor",
            in_band,
            format!(
                "{} SM activity, {}",
                percent(end.sm_activity_percent),
                settled.map_or("not judged".to_owned(), |(_, reason)| reason)
            ),
        ),
    ]
}

fn waits_for_room(gang: &[Sighting], giver: &[Sighting], giver_name: &str) -> Vec<Finding> {
    let waits: Vec<_> = gang.iter().filter(|s| WAITS_FOR_DEVICES.contains(&s.reason.as_str())).collect();
    let first_held = holding(gang).first().copied().cloned();
    // (c) gives its devices back while it is resized; its next allocation may be seen a moment after (d)'s.
    let gives = giver.iter().find(|s| s.state == "Resizing").and_then(|s| s.at);
    let true_numbers = waits.iter().any(|s| s.needs_gpus == Some(32) && s.free_gpus.is_some_and(|free| free < 32));
    let started = first_held.as_ref().and_then(|s| s.at);
    let because = first_held.as_ref().map(|s| s.because.clone()).unwrap_or_default();
    vec![
        finding(
            "(d) waits for devices with its numbers",
            true_numbers,
            waits.first().map_or("never waited".to_owned(), |s| s.message.clone()),
        ),
        finding(
            "(d) holds all 32 GPUs or none",
            holding(gang).iter().all(|s| s.gpus == 32) && first_held.is_some(),
            from_to(gang),
        ),
        finding(
            "(d) starts after (c) began to give devices back",
            matches!((gives, started), (Some(gives), Some(started)) if started > gives),
            format!("{} and {}", time(gives), time(started)),
        ),
        finding("(d) names (c)'s move as what let it start", because.contains(giver_name), because.clone()),
    ]
}

fn grows_live(history: &[Sighting]) -> Vec<Finding> {
    let held = holding(history);
    let last = history.last().cloned().unwrap_or_default();
    let (first, end) =
        (held.first().copied().cloned().unwrap_or_default(), held.last().copied().cloned().unwrap_or_default());
    vec![
        finding("(e) grows its micro-batch", end.micro_batch > first.micro_batch, from_to(history)),
        finding(
            "(e) does so without a restart",
            held.iter().all(|s| s.revision == 1) && last.live_batches >= 1 && last.moves == 0,
            format!("{} live changes, {} moves", last.live_batches, last.moves),
        ),
        finding(
            "(e) keeps its global batch",
            held.iter().all(|s| s.global_batch == first.global_batch) && first.global_batch > 0,
            first.global_batch.to_string(),
        ),
    ]
}

fn everywhere(record: &Record, jobs: &[&str]) -> Vec<Finding> {
    let ended: Vec<_> = jobs.iter().filter(|j| !record.job(j).last().is_some_and(|s| s.complete)).collect();
    let twice = record.pods_seen_twice();
    // A restart that is neither a move nor a device that ran out of memory would be Plimsoll's own doing.
    let unexplained: Vec<_> = jobs
        .iter()
        .filter(|job| {
            let revisions = holding(record.job(job)).last().map_or(0, |s| s.revision);
            let last = record.job(job).last().cloned().unwrap_or_default();
            revisions != 1 + last.moves + last.device_out_of_memory + last.host_out_of_memory
        })
        .collect();
    vec![
        finding(
            "every job completes",
            ended.is_empty(),
            if ended.is_empty() { "all".to_owned() } else { format!("not complete: {ended:?}") },
        ),
        finding(
            "nothing restarts but by a move or out of memory",
            unexplained.is_empty(),
            if unexplained.is_empty() { "all explained".to_owned() } else { format!("{unexplained:?}") },
        ),
        finding(
            "no pod name exists twice",
            twice.is_empty(),
            if twice.is_empty() { "none".to_owned() } else { format!("{twice:?}") },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_in_which_nothing_ran_does_not_hold() {
        let findings = expectations(&Record::default(), &super::super::acts(true));
        let holds = |expected: &str| findings.iter().any(|f| f.expected == expected && f.holds);
        for expected in [
            "(a) is used within the band",
            "(b) runs out of device memory exactly once",
            "(b) starts again at a smaller micro-batch",
            "(c) is shrunk while it runs",
            "(c) ends in band, or at its proven floor",
            "(d) waits for devices with its numbers",
            "(d) starts after (c) began to give devices back",
            "(d) names (c)'s move as what let it start",
            "(e) grows its micro-batch",
            "(b) moves the device ledger, not the host's",
            "(f) is ended by the kernel exactly once",
            "(f) moves the host ledger, not the device's",
            "(f) keeps its size",
            "every job completes",
            "nothing restarts but by a move or out of memory",
        ] {
            assert!(findings.iter().any(|f| f.expected == expected), "{expected} is not looked at");
            assert!(!holds(expected), "{expected}");
        }
    }
}
