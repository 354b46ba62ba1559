//! Whether it pays to move a running job to another candidate, and what to say about it.

use plimsoll_menu::{Candidate, Fit, RejectionReason, Shape};

use crate::words::count;
use crate::{Allocation, Cause, Elasticity, Job, MoveRules};

/// How a running job can become a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is told another cut of its batch while it runs.
    Live,
    /// It is stopped and started again.
    Restart,
}

/// How this job can become this candidate, if its elasticity allows it.
pub(crate) fn change(job: &Job, held: &Allocation, candidate: &Candidate) -> Option<Change> {
    let same_devices = held.shape == candidate.shape && held.layout == candidate.layout;
    if same_devices && held.batch.global == candidate.batch.global && held.live_batch {
        return Some(Change::Live);
    }
    match job.elasticity {
        Elasticity::Elastic => Some(Change::Restart),
        Elasticity::Moldable => same_devices.then_some(Change::Restart),
        Elasticity::Fixed => None,
    }
}

/// The candidate of the corrected menu that a job runs as now; `None` when the menu does not offer it any more.
pub(crate) fn current<'a>(job: &'a Job, held: &Allocation) -> Option<&'a Candidate> {
    job.menu.candidates.iter().find(|candidate| is_current(candidate, held))
}

/// Whether a job runs as this candidate already.
pub(crate) fn is_current(candidate: &Candidate, held: &Allocation) -> bool {
    candidate.shape == held.shape && candidate.layout == held.layout && candidate.batch == held.batch
}

/// Why it pays to go from what is held to a candidate, with a sentence; `None` when it does not.
///
/// * `OverLoaded`: what runs is past the memory line. A restart is worth that only when sizing has ruled the size out; a
///   live change costs nothing, so a tight fit is enough. There is no gain to weigh.
/// * `UnderUsed`: what runs is below the load line, and the candidate takes fewer GPU-seconds per step on no more
///   devices. The gain is counted in GPU-seconds.
/// * `Faster`: the candidate's steps are shorter. The gain is counted in wall time, on the candidate's devices.
///
/// A gain counts over the horizon, or to the job's end if that is nearer. It must be at least `least_gain` of what is
/// spent now, and more than the restart costs. That, the cool-down and the limit per hour keep jobs from going to and fro.
pub(crate) fn worth(
    job: &Job,
    held: &Allocation,
    candidate: &Candidate,
    change: Change,
    rules: &MoveRules,
    low_activity: f64,
) -> Option<(Cause, String)> {
    let current = current(job, held);
    let (before, after) = (sizes(&held.shape, held), (candidate.shape.gpus(), candidate.predicted.step_seconds));
    let (gpus, step) = (f64::from(held.shape.gpus()), held.step_seconds.or(current.map(|c| c.predicted.step_seconds))?);
    let (target_gpus, target_step) = (f64::from(after.0), after.1);
    if !(step > 0.0 && target_step > 0.0 && step.is_finite() && target_step.is_finite()) {
        return None;
    }
    let to = format!("{} instead of {before}", words(candidate));

    let ruled_out = current.is_none()
        && job.menu.rejected.iter().any(|rejection| {
            rejection.class == held.shape.class
                && rejection.gpus == held.shape.gpus()
                && matches!(rejection.reason, RejectionReason::DeviceMemory | RejectionReason::RanOutOfMemory)
        });
    let tight = current.is_some_and(|current| current.fit == Fit::Tight);
    if candidate.fit == Fit::Fits && (ruled_out || tight && change == Change::Live) {
        let evidence = if ruled_out { "what runs now is ruled out" } else { "what runs now is above it" };
        return Some((Cause::OverLoaded, format!("{to}: stays below the memory line, {evidence}")));
    }

    let restart = if change == Change::Live { 0.0 } else { job.restart_seconds.max(0.0) };
    let to_the_end = job.remaining_steps.map_or(f64::INFINITY, |steps| steps as f64 * step);
    let window = rules.horizon_seconds.min(to_the_end);
    let pays = |spent: f64, then: f64, cost: f64| {
        let saved = (spent - then) * window / step;
        (then < spent && (spent - then) / spent >= rules.least_gain && saved > cost).then_some(saved)
    };

    let below_line = current.is_none_or(|current| !current.in_band);
    let (per_step, then_per_step) = (gpus * step, target_gpus * target_step);
    if below_line
        && target_gpus < gpus
        && let Some(saved) = pays(per_step, then_per_step, restart * target_gpus)
    {
        let evidence = current.map_or_else(String::new, |current| {
            let (activity, line) = (percent(current.predicted.sm_activity), percent(low_activity));
            format!("SM activity of {activity} % is below the line of {line} %; ")
        });
        let message = format!(
            "{to}: {evidence}{then_per_step:.1} instead of {per_step:.1} GPU-seconds per step save {saved:.0} \
             GPU-seconds in {window:.0} s for {:.0} that the restart costs",
            restart * target_gpus
        );
        return Some((Cause::UnderUsed, message));
    }
    let saved = pays(step, target_step, restart)?;
    let price = match change {
        Change::Live => "without a restart".to_owned(),
        Change::Restart => format!("for {restart:.0} s that the restart costs"),
    };
    let message =
        format!("{to}: steps of {target_step:.2} s instead of {step:.2} s save {saved:.0} s in {window:.0} s, {price}");
    Some((Cause::Faster, message))
}

fn words(candidate: &Candidate) -> String {
    let Candidate { shape, batch, .. } = candidate;
    describe(shape, batch.micro, batch.accumulation)
}

fn sizes(shape: &Shape, held: &Allocation) -> String {
    describe(shape, held.batch.micro, held.batch.accumulation)
}

fn describe(shape: &Shape, micro: u32, accumulation: u32) -> String {
    let gpus = count(shape.gpus(), &format!("{} GPU", shape.class));
    format!("{gpus} (micro-batch {micro}, accumulation {accumulation})")
}

fn percent(share: f64) -> f64 {
    (share * 100.0).round()
}
