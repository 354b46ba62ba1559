//! Last step: conditions, the State column, why it waits; and whether all that is worth a write. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use plimsoll_crds::condition::{self, job as kind};
use plimsoll_crds::training_job::{OptimalityVerdict, Rejected, TrainingJobStatus, Waiting};
use plimsoll_lifecycle::{Phase, StopCause};
use plimsoll_menu::Menu;
use plimsoll_scheduling::{Reason, WaitNumbers};
use plimsoll_sizing::ClassSpec;

use super::gang::HoldUp;
use super::memory::{cause_word, integer, remember, shorten};
use super::size::Optimality;
use super::{Turn, outlook, standing};
use crate::notes::Note;

/// Alternatives that a status keeps.
const REJECTED: usize = 16;

/// What the status of a job becomes at the end of a turn.
pub fn finish(turn: &mut Turn, classes: &[ClassSpec], silent_after: SignedDuration, now: Timestamp) {
    if turn.was.phase.is_final() {
        return;
    }
    let entered = entered(turn, now);
    turn.status.lifecycle = Some(remember(&turn.state, entered));
    turn.status.observed_generation = turn.job.metadata.generation;
    if let Some(menu) = turn.menu() {
        turn.status.rejected = rejected(menu);
    }
    if let Some(sized) = &turn.sized {
        turn.status.compute_optimality = Some(sized.optimality.status.clone());
    }
    turn.status.waiting = waiting(turn, now);
    turn.status.summary = Some(summary(turn));
    turn.status.eta = eta(turn, now);
    conditions(turn, classes, silent_after, now);
    tell_what_is_new(turn);
}

/// Tells the user once that a job fits, and once of every reason that waiting alone will not cure.
fn tell_what_is_new(turn: &mut Turn) {
    let before = turn.job.status.clone().unwrap_or_default();
    if let Some(best) = turn.menu().and_then(|menu| menu.candidates.first())
        && !condition::is_true(&before.conditions, kind::SIZED)
    {
        let (ways, left_out) = turn.menu().map_or((0, 0), |menu| (menu.candidates.len(), menu.rejected.len()));
        let message = format!(
            "{ways} ways to run it, {left_out} left out; preferred: {} x {} at micro-batch {}",
            best.shape.gpus(),
            best.shape.class,
            best.batch.micro
        );
        turn.notes.insert(0, Note { reason: "Sized".into(), message, warning: false });
    }
    tell_what_is_stuck(turn, &before);
    let Some(Waiting { reason, message, .. }) = &turn.status.waiting else { return };
    let known = before.waiting.as_ref().is_some_and(|waiting| waiting.reason == *reason);
    let told = turn.notes.iter().any(|note| note.reason == *reason);
    if needs_somebody(reason) && !known && !told {
        turn.notes.push(Note { reason: reason.clone(), message: message.clone(), warning: true });
    }
}

/// Tells the user once per revision that a pod is stuck. The kubelet's word changes as it tries again; that is no news.
fn tell_what_is_stuck(turn: &mut Turn, before: &TrainingJobStatus) {
    let waits = |reason: &str| Reason::ALL.iter().any(|known| known.as_str() == reason);
    let known = before.conditions.iter().any(|c| c.type_ == kind::RUNNING && c.status == "False" && !waits(&c.reason));
    let starting = matches!(turn.was.phase, Phase::Committed { .. } | Phase::Starting { .. });
    if let (Some(reason), message) = runs(turn)
        && matches!(turn.state.phase, Phase::Committed { .. } | Phase::Starting { .. })
        && !(known && starting)
    {
        turn.notes.push(Note { reason, message, warning: true });
    }
}

/// Reasons that somebody has to do something about.
fn needs_somebody(reason: &str) -> bool {
    [
        Reason::Invalid,
        Reason::QueueMissing,
        Reason::QueueForbidden,
        Reason::BudgetExhausted,
        Reason::NoFeasibleSize,
        Reason::ExceedsQuota,
        Reason::ExceedsCluster,
        Reason::PodsRejected,
    ]
    .iter()
    .any(|known| known.as_str() == reason)
}

/// When the phase was entered: what the status remembers, unless it was entered now.
pub(super) fn entered(turn: &Turn, now: Timestamp) -> Timestamp {
    let same = std::mem::discriminant(&turn.was.phase) == std::mem::discriminant(&turn.state.phase);
    let before = turn.job.status.as_ref().and_then(|status| status.lifecycle.as_ref());
    before.and_then(|stored| stored.since.as_ref()).filter(|_| same).map_or(now, |time| time.0)
}

fn rejected(menu: &Menu) -> Vec<Rejected> {
    let write = |r: &plimsoll_menu::Rejection| Rejected {
        class: r.class.to_string(),
        gpus: integer(r.gpus),
        reason: format!("{:?}", r.reason),
        message: shorten(&r.message, 512),
    };
    menu.rejected.iter().take(REJECTED).map(write).collect()
}

/// Why it does not run, with the numbers; nothing while it runs or once it has ended.
fn waiting(turn: &Turn, now: Timestamp) -> Option<Waiting> {
    let before = turn.job.status.as_ref().and_then(|status| status.waiting.as_ref());
    let (reason, numbers, message) = match (&turn.state.phase, &turn.waiting) {
        (Phase::Running { .. } | Phase::Complete | Phase::Failed { .. } | Phase::Stopping { .. }, _) => return None,
        (Phase::Committed { .. } | Phase::Starting { .. }, _) => {
            let pods = turn.status.allocation.as_ref().map_or(0, |a| a.pods);
            let started = turn.gang.members.values().filter(|member| member.started).count();
            let bound = turn.gang.members.values().filter(|member| member.bound).count();
            let mut message = format!("{bound} of {pods} pods are bound, {started} have started");
            if let Some((pod, hold_up)) = turn.gang.held_up() {
                message = format!("{message}; {pod}: {}", hold_up.message());
            }
            (Reason::Starting, WaitNumbers::default(), message)
        }
        (_, Some((reason, numbers, message))) => (*reason, numbers.clone(), message.clone()),
        (Phase::Suspended, None) => (Reason::Suspended, WaitNumbers::default(), "spec.suspend is true".into()),
        // An unlawful plan says nothing: the last word stands.
        (_, None) if before.is_some_and(|waiting| waiting.reason != Reason::Starting.as_str()) => {
            return before.cloned();
        }
        (_, None) => (Reason::Pending, WaitNumbers::default(), "it was not looked at yet".into()),
    };
    let since = before.filter(|w| w.reason == reason.as_str()).and_then(|w| w.since.clone()).unwrap_or(Time(now));
    let counted = |n: u32| (n > 0).then(|| integer(n));
    let counts = numbers.needs_gpus > 0;
    Some(Waiting {
        reason: reason.as_str().into(),
        message: shorten(&message, 1024),
        since: Some(since),
        position: counted(numbers.position),
        needs_gpus: counted(numbers.needs_gpus),
        free_gpus: counts.then(|| integer(numbers.free_gpus)),
        nodes_that_fit: counts.then(|| integer(numbers.nodes_that_fit)),
        coming_gpus: counts.then(|| integer(numbers.coming_gpus)),
        start: numbers.start.as_ref().and_then(|estimate| outlook::start(estimate, before, now)),
        fits_now: numbers.fits_now.as_ref().map(outlook::fits_now),
        would_run: numbers.would_run.as_deref().map(|sentence| shorten(sentence, 1024)),
    })
}

/// When training ends, while it runs: the steps that are left, every epoch among them, at the pace that was seen, else at
/// the one that was predicted. What was said before stays while the new time differs by less than a twentieth of what is
/// left.
fn eta(turn: &Turn, now: Timestamp) -> Option<Time> {
    let Phase::Running { .. } = turn.state.phase else { return None };
    let seen = turn.status.observed.as_ref().and_then(|observed| observed.step_milliseconds);
    let milliseconds = seen.or(turn.status.predicted.as_ref().map(|predicted| predicted.step_milliseconds))?;
    let steps = i64::try_from(turn.remaining_steps()?).ok()?;
    let left = SignedDuration::from_millis(steps.checked_mul(milliseconds)?);
    let end = now.checked_add(left).ok()?.round(jiff::Unit::Second).ok()?;
    let before = turn.job.status.as_ref().and_then(|status| status.eta.clone());
    before.filter(|said| said.0.duration_since(end).abs() <= left / 20).or(Some(Time(end)))
}

/// The State column.
fn summary(turn: &Turn) -> String {
    match &turn.state.phase {
        Phase::Waiting { .. } => "Waiting",
        Phase::Suspended => "Suspended",
        Phase::Committed { .. } | Phase::Starting { .. } => "Starting",
        Phase::Running { .. } => "Running",
        Phase::Stopping { why: StopCause::Move, .. } => "Resizing",
        Phase::Stopping { why: StopCause::Preempted { .. }, .. } => "Preempted",
        Phase::Stopping { why: StopCause::Suspend, .. } => "Suspending",
        Phase::Stopping { why: StopCause::Succeeded, .. } => "Completing",
        Phase::Stopping { .. } => "Stopping",
        Phase::Complete => "Complete",
        Phase::Failed { .. } => "Failed",
    }
    .into()
}

fn conditions(turn: &mut Turn, classes: &[ClassSpec], silent_after: SignedDuration, now: Timestamp) {
    let generation = turn.job.metadata.generation;
    let mut facts: Vec<(&str, bool, String, String)> = Vec::new();
    match &turn.validated {
        Ok(_) => facts.push((kind::VALID, true, "Valid".into(), String::new())),
        Err(message) => facts.push((kind::VALID, false, "Invalid".into(), message.clone())),
    }
    if let Some(menu) = turn.menu() {
        let fits = !menu.candidates.is_empty();
        let reason = if fits { "Sized" } else { "NoFeasibleSize" };
        let message =
            if fits { String::new() } else { menu.rejected.first().map(|r| r.message.clone()).unwrap_or_default() };
        facts.push((kind::SIZED, fits, reason.into(), message));
    }
    match turn.sized.as_ref().map(|sized| sized.optimality.as_ref()) {
        Some(Optimality { status, sentence: Some(sentence), .. }) => {
            let optimal = status.verdict == OptimalityVerdict::Optimal;
            facts.push((kind::COMPUTE_OPTIMAL, optimal, format!("{:?}", status.verdict), sentence.clone()));
        }
        // It was another model or method once.
        Some(_) => turn.status.conditions.retain(|condition| condition.type_ != kind::COMPUTE_OPTIMAL),
        None => {}
    }
    let waits = turn.status.waiting.as_ref().map_or("Ended", |waiting| waiting.reason.as_str()).to_owned();
    let why = turn.status.waiting.as_ref().map(|waiting| waiting.message.clone()).unwrap_or_default();
    match &turn.status.allocation {
        Some(held) => {
            let because = held.because.clone().unwrap_or_default();
            facts.push((kind::ADMITTED, true, "Admitted".into(), because));
        }
        None => facts.push((kind::ADMITTED, false, waits.clone(), why)),
    }
    let suspended = matches!(turn.state.phase, Phase::Suspended) || turn.waiting_for(Reason::Suspended);
    if suspended || has(&turn.status.conditions, kind::SUSPENDED) {
        let reason = if suspended { "Suspended" } else { "Resumed" };
        facts.push((kind::SUSPENDED, suspended, reason.into(), String::new()));
    }
    let running = matches!(turn.state.phase, Phase::Running { .. });
    let (reason, message) = runs(turn);
    facts.push((kind::RUNNING, running, reason.unwrap_or(waits), message));
    facts.extend(reporting(turn, silent_after, now));
    if running {
        facts.extend(efficient(turn, classes));
    }
    match &turn.state.phase {
        Phase::Complete => facts.push((kind::COMPLETE, true, "Complete".into(), String::new())),
        Phase::Failed { reason, message } => facts.push((kind::FAILED, true, reason.as_str().into(), message.clone())),
        _ => {}
    }
    for (type_, status, reason, message) in facts {
        let message = shorten(&message, 1024);
        condition::set(&mut turn.status.conditions, type_, status, &reason, &message, generation, now);
    }
}

/// What condition Running says: a reason, where it is another than what the job waits for, and a sentence.
fn runs(turn: &Turn) -> (Option<String>, String) {
    let nodes = turn.hosts.not_ready();
    match &turn.state.phase {
        Phase::Running { .. } => {
            // Nobody can say that they do not run, and two revisions must never write beside each other.
            let message = nodes.map(|nodes| format!("{nodes}; pods there count as running"));
            (Some("Running".into()), message.unwrap_or_default())
        }
        Phase::Stopping { why, .. } => {
            let message = match nodes {
                Some(nodes) => format!("{}; {nodes}, and pods there may still run", why.sentence()),
                None => why.sentence(),
            };
            (Some(cause_word(why).to_owned()), message)
        }
        Phase::Committed { .. } | Phase::Starting { .. } => match turn.gang.held_up() {
            Some((pod, HoldUp::Stuck { reason, message })) => (Some(reason.clone()), format!("{pod}: {message}")),
            _ => (None, String::new()),
        },
        _ => (None, String::new()),
    }
}

fn has(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_)
}

/// Whether its program reports. A program that never did is told so after a while, not left in silence.
fn reporting(
    turn: &Turn,
    silent_after: SignedDuration,
    now: Timestamp,
) -> Option<(&'static str, bool, String, String)> {
    let Phase::Running { since } = turn.state.phase else { return None };
    let heard = turn.status.progress.as_ref().and_then(|p| p.reported_at.as_ref()).map(|at| at.0);
    let of_this_run = heard.filter(|at| *at >= since);
    let (told, reason, message) = match of_this_run {
        Some(at) if now.duration_since(at) <= silent_after => (true, "Reporting", String::new()),
        Some(_) => (false, "Silent", "its program has stopped reporting progress".to_owned()),
        None if now.duration_since(since) <= silent_after => return None,
        None => {
            let message = "its program has not reported progress: post to $KUBEFLOW_TRAINER_SERVER_URL, or use Hugging \
                Face's trainer, which does so by itself";
            (false, "NeverReported", message.to_owned())
        }
    };
    Some((kind::REPORTING, told, reason.into(), message))
}

/// Whether its devices are used within the band, once that was seen of this revision.
fn efficient(turn: &Turn, classes: &[ClassSpec]) -> Option<(&'static str, bool, String, String)> {
    let (allocation, observed) = (turn.status.allocation.as_ref()?, turn.status.observed.as_ref()?);
    if !standing::is_observed(&turn.status) {
        return None;
    }
    let class = classes.iter().find(|class| class.name.as_str() == allocation.class)?;
    let (percent, low) = (observed.sm_activity_percent?, (class.line.low_activity * 100.0).round() as i32);
    let peak = observed.device_memory_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    let (within, reason, message) = if peak > class.memory_line_bytes() {
        (false, "OverLoaded", "its peak of device memory is above the memory line of its class".to_owned())
    } else if percent >= low {
        (true, "InBand", String::new())
    } else if turn.menu().is_some_and(|menu| is_floor(menu, turn)) {
        (false, "AtFloor", format!("SM activity is below the load line of {low} %, but no smaller size keeps the pace"))
    } else {
        (false, "UnderUsed", format!("SM activity is below the load line of {low} %"))
    };
    Some((kind::EFFICIENT, within, reason.into(), message))
}

/// Whether what runs is the best there is: the menu has nothing smaller of its class, and no better cut.
fn is_floor(menu: &Menu, turn: &Turn) -> bool {
    let Some(now) = turn.status.allocation.as_ref().and_then(plimsoll_observe::current) else { return false };
    let smaller = |c: &&plimsoll_menu::Candidate| c.shape.class == now.shape.class && c.shape.gpus() < now.shape.gpus();
    let first = menu.candidates.first();
    let is_first = first.is_some_and(|c| c.shape.gpus() == now.shape.gpus() && c.batch == now.batch);
    is_first && !menu.candidates.iter().any(|c| smaller(&c))
}

impl Turn {
    fn waiting_for(&self, reason: Reason) -> bool {
        self.waiting.as_ref().is_some_and(|(waits, ..)| *waits == reason)
    }
}

/// Whether a status is to be written now: at once when it says something new, else at most every so often.
pub fn is_due(
    old: Option<&TrainingJobStatus>,
    new: &TrainingJobStatus,
    last: Option<Timestamp>,
    flush: SignedDuration,
    now: Timestamp,
) -> bool {
    let Some(old) = old else { return true };
    if old == new {
        return false;
    }
    gist(old) != gist(new) || last.is_none_or(|at| now.duration_since(at) >= flush)
}

/// A status without what may change often: numbers, and sentences that hold numbers.
fn gist(status: &TrainingJobStatus) -> TrainingJobStatus {
    let mut gist = status.clone();
    for condition in &mut gist.conditions {
        condition.message.clear();
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    gist.waiting = status.waiting.as_ref().map(|w| Waiting { reason: w.reason.clone(), ..Waiting::default() });
    gist.progress = status.progress.as_ref().map(|p| plimsoll_crds::training_job::Progress {
        checkpoint_revision: p.checkpoint_revision,
        checkpoint_step: p.checkpoint_step,
        ..Default::default()
    });
    gist.eta = None;
    gist.predicted = None;
    gist.observed = None;
    gist.rejected = Vec::new();
    gist
}

#[cfg(test)]
mod tests {
    use plimsoll_crds::training_job::Progress;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn status() -> TrainingJobStatus {
        TrainingJobStatus {
            waiting: Some(Waiting {
                reason: "WaitingForCapacity".into(),
                message: "3 free".into(),
                ..Waiting::default()
            }),
            progress: Some(Progress { step: Some(1), ..Progress::default() }),
            ..TrainingJobStatus::default()
        }
    }

    #[test]
    fn numbers_alone_are_written_at_most_every_so_often() {
        let flush = SignedDuration::from_secs(30);
        let due = |new: &TrainingJobStatus, now| is_due(Some(&status()), new, Some(at(0)), flush, at(now));
        assert!(!due(&status(), 1000), "nothing new is never written");
        let mut step = status();
        step.progress.as_mut().unwrap().step = Some(2);
        step.waiting.as_mut().unwrap().message = "2 free".into();
        assert!(!due(&step, 29));
        assert!(due(&step, 30));
    }

    #[test]
    fn a_new_reason_checkpoint_or_condition_is_written_at_once() {
        let flush = SignedDuration::from_secs(30);
        let due = |new: &TrainingJobStatus| is_due(Some(&status()), new, Some(at(0)), flush, at(1));
        let mut new = status();
        new.waiting.as_mut().unwrap().reason = "WaitingForQuota".into();
        assert!(due(&new));
        let mut new = status();
        new.progress.as_mut().unwrap().checkpoint_step = Some(100);
        assert!(due(&new));
        let mut new = status();
        condition::set(&mut new.conditions, kind::VALID, true, "Valid", "", None, at(1));
        assert!(due(&new));
        assert!(is_due(None, &status(), None, flush, at(0)));
    }
}
