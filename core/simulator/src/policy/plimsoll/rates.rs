//! How fast a job is believed to be at every size.

use super::View;
use crate::beliefs::{Size, corrected_rate, counts, speed_of_one, true_rate};
use crate::job::Job;
use crate::random::Random;

/// Every count worth a look on every kind.
pub(super) fn sizes<'a>(view: &View<'a>) -> Vec<Size<'a>> {
    let kinds = view.cluster.kinds.iter().enumerate();
    kinds.flat_map(|(index, kind)| counts(kind).into_iter().map(move |gpus| Size { index, kind, gpus })).collect()
}

/// The rate that a job's measurements say; on a kind that it has not tried that of the one it runs on, or knows most of, scaled by
/// what one GPU of each does.
pub(super) fn measured(view: &View<'_>, job: &Job, size: Size<'_>) -> Option<f64> {
    let application = view.application(job);
    if job.measured[size.index].estimate.is_some() {
        return corrected_rate(job, application, view.rules, size);
    }
    let held = job.allocation.as_ref().map(|held| held.kind);
    let known = (0..job.measured.len()).filter(|kind| job.measured[*kind].estimate.is_some());
    let best = known.max_by_key(|kind| (held == Some(*kind), job.measured[*kind].seen.len()))?;
    let kind = crate::cluster::Kind { gpus_per_node: size.kind.gpus_per_node, ..view.cluster.kinds[best].clone() };
    let there = corrected_rate(job, application, view.rules, Size { index: best, kind: &kind, gpus: size.gpus })?;
    Some(there * speed_of_one(application, view.rules, size.index)? / speed_of_one(application, view.rules, best)?)
}

/// The rate that was predicted; at a count that was seen on the kind what was measured, and at another one the prediction corrected
/// by how far off it was at the nearest count seen.
pub(super) fn predicted(view: &View<'_>, job: &Job, size: Size<'_>, seed: u64, error: f64) -> Option<f64> {
    let application = view.application(job);
    // Off by one share at one GPU and by another at the whole kind: a model of size errs smoothly.
    let mut random = Random::new(&[seed, job.id as u64, size.index as u64]);
    let ends = [0; 2].map(|_| error * (2.0 * random.unit() - 1.0));
    let off = |gpus: u32| {
        let share = f64::from(gpus).ln() / f64::from(size.kind.gpus()).ln().max(1e-9);
        1.0 + ends[0] + (ends[1] - ends[0]) * share
    };
    let prediction = true_rate(job, application, view.rules, size, off(size.gpus))?;
    let known = &job.measured[size.index];
    if known.estimate.is_none() {
        return Some(prediction);
    }
    // Of the nearest count that was seen, what the fit says of it against what was predicted of it.
    let distance = |gpus: u32| (f64::from(gpus) / f64::from(size.gpus)).ln().abs();
    let nearest = known.seen.iter().map(|seen| seen.gpus).min_by(|a, b| distance(*a).total_cmp(&distance(*b)))?;
    let there = Size { gpus: nearest, ..size };
    let seen = corrected_rate(job, application, view.rules, there)?;
    if nearest == size.gpus {
        return Some(seen);
    }
    Some(prediction * seen / true_rate(job, application, view.rules, there, off(nearest))?)
}
