//! The order of preference.
//!
//! Rules, the first that applies:
//! 1. Mode Off: the count is fixed; what runs, then the shortest step.
//! 2. Auto, steps observed, and the job is under-used or slower than the bound: the smallest count of its class whose
//!    activity is in band and whose step is at most [`BOUND`] times the fastest one observed; if none is in band, the
//!    smallest count under that bound. What is slower is rejected with its numbers.
//! 3. Something runs: what runs stays first (its cut may be better). Slower sizes stay on the menu, since a busy job may
//!    have to make do with less.
//! 4. Auto and a requested count: that count first.
//! 5. In band before out of band; in band the shortest step, then the fewest devices; out of band the highest activity.
//!
//! Ties end with class, shape, layout and batch, so that the order is total.

use std::cmp::Ordering;
use std::ops::Range;

use crate::learned::{StepCorrection, StepEvidence};
use crate::{Candidate, ClassSpec, Current, JobSpec, Menu, Mode, Rejection, RejectionReason};

/// A smaller size may take this many times the fastest step observed.
pub(crate) const BOUND: f64 = 1.15;

/// Steps within this share of each other count as equal when counts are compared.
const SAME_STEP: f64 = 0.02;

/// Ranks candidates; some may move to the rejected.
pub(crate) fn rank(
    job: &JobSpec,
    classes: &[&ClassSpec],
    steps: &StepCorrection<'_>,
    current: Option<&Current>,
    mut candidates: Vec<Candidate>,
) -> Menu {
    if let (false, Some(current)) = (job.elastic, current)
        && candidates.iter().any(|candidate| candidate.shape.gpus() == current.shape.gpus())
    {
        candidates.retain(|candidate| candidate.shape.gpus() == current.shape.gpus());
    }
    let order = if job.mode == Mode::Off { by_seconds } else { by_merit };
    let mut menu = Menu { candidates: by_first_of_shape(candidates, order), rejected: Vec::new() };
    match job.mode {
        Mode::Off | Mode::Initial => keep_current_first(&mut menu.candidates, current),
        Mode::Auto => {
            let latest = steps.latest(current);
            let bound = steps.reference_seconds().map(|fastest| fastest * BOUND);
            match (latest, bound) {
                (Some(latest), Some(bound)) => learned(&mut menu, classes, steps, current, latest, bound),
                _ if current.is_some() => keep_current_first(&mut menu.candidates, current),
                _ => {
                    if let Some(requested) = job.requested_gpus {
                        menu.candidates.sort_by_key(|candidate| candidate.shape.gpus() != requested);
                    }
                }
            }
        }
    }
    menu
}

/// Rules 2 and 3 for a job whose steps were observed.
fn learned(
    menu: &mut Menu,
    classes: &[&ClassSpec],
    steps: &StepCorrection<'_>,
    current: Option<&Current>,
    latest: &StepEvidence,
    bound: f64,
) {
    let home = current.map_or(&latest.class, |current| &current.shape.class);
    let line = classes.iter().find(|class| class.name == *home).map_or(0.0, |class| class.line.low_activity);
    let observed_now = current.is_none_or(|current| latest.shape == current.shape);
    let settled = observed_now && latest.sm_activity >= line && latest.step_seconds <= bound;
    if settled {
        let running = current.map_or(&latest.shape, |current| &current.shape);
        menu.candidates.sort_by_key(|candidate| candidate.shape != *running);
        return;
    }
    if !menu.candidates.iter().any(|candidate| candidate.shape.class == *home && seconds(candidate) <= bound) {
        // Nothing of its class is as fast any more (the fastest size may have run out of memory since): what comes
        // nearest, rather than another class that nothing was observed on.
        menu.candidates.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        menu.candidates.sort_by_key(|candidate| candidate.shape.class != *home);
        return;
    }
    reject_slow(menu, steps, bound);
    let at_home = |candidate: &&Candidate| candidate.shape.class == *home;
    let smallest = |in_band: bool| {
        menu.candidates
            .iter()
            .filter(at_home)
            .filter(|candidate| candidate.in_band || !in_band)
            .map(|candidate| candidate.shape.gpus())
            .min()
    };
    let Some(target) = smallest(true).or_else(|| smallest(false)) else { return };
    let home = home.clone();
    let rank = |candidate: &Candidate| {
        let away = candidate.shape.class != home;
        let gpus = candidate.shape.gpus();
        (away, !away && gpus != target, if away { 0 } else { gpus })
    };
    menu.candidates.sort_by_key(rank);
}

/// Moves what would be slower than the bound to the rejected.
fn reject_slow(menu: &mut Menu, steps: &StepCorrection<'_>, bound: f64) {
    let (kept, slow): (Vec<_>, Vec<_>) =
        std::mem::take(&mut menu.candidates).into_iter().partition(|candidate| seconds(candidate) <= bound);
    let fastest = steps.reference_seconds().unwrap_or_default();
    let mut rejected: Vec<Rejection> = Vec::new();
    for candidate in slow {
        let (class, gpus) = (&candidate.shape.class, candidate.shape.gpus());
        let same_size = |c: &Candidate| c.shape.class == *class && c.shape.gpus() == gpus;
        // A size that is offered with another cut is no alternative left out.
        if kept.iter().any(same_size) || rejected.iter().any(|r| r.class == *class && r.gpus >= gpus) {
            continue;
        }
        rejected.retain(|known| known.class != *class);
        let message = format!(
            "a step on {gpus} GPUs would take {:.3} s, more than {BOUND} × the {fastest:.3} s observed",
            seconds(&candidate)
        );
        rejected.push(Rejection { class: class.clone(), gpus, reason: RejectionReason::TooSlow, message });
    }
    menu.candidates = kept;
    menu.rejected.extend(rejected);
}

fn keep_current_first(candidates: &mut [Candidate], current: Option<&Current>) {
    if let Some(current) = current {
        candidates.sort_by_key(|candidate| candidate.shape != current.shape);
    }
}

/// Orders shapes by their first candidate; the others of a shape stay behind it, in their order.
fn by_first_of_shape(candidates: Vec<Candidate>, order: fn(&Merit<'_>, &Merit<'_>) -> Ordering) -> Vec<Candidate> {
    let mut start = 0;
    let groups = candidates.chunk_by(|a, b| a.shape == b.shape).filter_map(|group| {
        let range = start..start + group.len();
        start = range.end;
        Some((Merit::of(group.first()?), range))
    });
    let mut merits: Vec<(Merit<'_>, Range<usize>)> = groups.collect();
    merits.sort_by(|a, b| order(&a.0, &b.0));
    let order: Vec<usize> = merits.into_iter().flat_map(|(_, range)| range).collect();
    let mut left: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| left.get_mut(at)?.take()).collect()
}

/// A candidate with its rounded step, so that sorting takes each logarithm once.
struct Merit<'a> {
    candidate: &'a Candidate,
    bucket: i64,
}

impl<'a> Merit<'a> {
    fn of(candidate: &'a Candidate) -> Self {
        let bucket = (seconds(candidate).max(f64::MIN_POSITIVE).ln() / SAME_STEP).round() as i64;
        Self { candidate, bucket }
    }
}

fn seconds(candidate: &Candidate) -> f64 {
    candidate.predicted.step_seconds
}

/// Rule 5 and the ties.
fn by_merit(a: &Merit<'_>, b: &Merit<'_>) -> Ordering {
    let (one, two) = (a.candidate, b.candidate);
    two.in_band
        .cmp(&one.in_band)
        .then_with(|| {
            if one.in_band {
                a.bucket.cmp(&b.bucket).then(one.shape.gpus().cmp(&two.shape.gpus()))
            } else {
                two.predicted.sm_activity.total_cmp(&one.predicted.sm_activity).then(a.bucket.cmp(&b.bucket))
            }
        })
        .then_with(|| by_seconds(a, b))
}

/// The shortest step, then class, shape, layout and batch.
fn by_seconds(a: &Merit<'_>, b: &Merit<'_>) -> Ordering {
    let ties = |candidate: &'_ Candidate| (candidate.layout, candidate.batch);
    let (one, two) = (a.candidate, b.candidate);
    seconds(one)
        .total_cmp(&seconds(two))
        .then_with(|| one.shape.cmp(&two.shape))
        .then_with(|| ties(one).cmp(&ties(two)))
}
