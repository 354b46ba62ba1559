//! The state machine of a job as its status remembers it, both ways. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_crds::training_job::{Lifecycle, LifecycleState};
use plimsoll_lifecycle::{FailureReason, Phase, State, StopCause};

/// Longest text that the API keeps, in bytes.
const LONGEST: usize = 1024;

/// The state that a status remembers; a new job's when it remembers nothing.
pub fn recall(stored: Option<&Lifecycle>, now: Timestamp) -> State {
    let Some(stored) = stored else { return State::default() };
    // Destructured whole: a field that is added later must be thought of here.
    let Lifecycle {
        state,
        since,
        not_before,
        stop_cause,
        stop_message,
        stop_exit_code,
        deadline,
        last_revision,
        failures,
        setbacks,
        succeeded_pods: _,
        failure_reason,
        failure,
    } = stored;
    let since = since.as_ref().map_or(now, |time| time.0);
    let cause = || {
        let words = Words {
            message: stop_message.clone().unwrap_or_default(),
            exit_code: stop_exit_code.unwrap_or_default(),
            reason: failure_reason.as_deref().and_then(failure_word),
        };
        stop_cause.as_deref().and_then(|word| words.cause(word))
    };
    let phase = match state {
        LifecycleState::Waiting => {
            Phase::Waiting { not_before: not_before.as_ref().map(|time| time.0), after: cause() }
        }
        LifecycleState::Suspended => Phase::Suspended,
        LifecycleState::Committed => Phase::Committed { since },
        LifecycleState::Starting => Phase::Starting { since },
        LifecycleState::Running => Phase::Running { since },
        LifecycleState::Stopping => Phase::Stopping {
            // A cause from a newer version: ending what runs is safe, and it starts again.
            why: cause().unwrap_or(StopCause::Disrupted),
            since,
            checkpoint_until: deadline.as_ref().map(|time| time.0),
        },
        LifecycleState::Complete => Phase::Complete,
        LifecycleState::Failed => Phase::Failed {
            reason: failure_reason.as_deref().and_then(failure_word).unwrap_or(FailureReason::TooManyFailures),
            message: failure.clone().unwrap_or_default(),
        },
    };
    State { revision: natural(*last_revision), failures: natural(*failures), setbacks: natural(*setbacks), phase }
}

/// What a status is to remember of a state. `since` is when the phase was entered, where the phase itself does not say.
pub fn remember(state: &State, since: Timestamp) -> Lifecycle {
    let State { revision, failures, setbacks, phase } = state;
    let mut stored = Lifecycle {
        since: Some(Time(since)),
        last_revision: integer(*revision),
        failures: integer(*failures),
        setbacks: integer(*setbacks),
        ..Lifecycle::default()
    };
    match phase {
        Phase::Waiting { not_before, after } => {
            stored.state = LifecycleState::Waiting;
            stored.not_before = not_before.map(Time);
            if let Some(cause) = after {
                put_cause(&mut stored, cause);
            }
        }
        Phase::Suspended => stored.state = LifecycleState::Suspended,
        Phase::Committed { since } => {
            stored.state = LifecycleState::Committed;
            stored.since = Some(Time(*since));
        }
        Phase::Starting { since } => {
            stored.state = LifecycleState::Starting;
            stored.since = Some(Time(*since));
        }
        Phase::Running { since } => {
            stored.state = LifecycleState::Running;
            stored.since = Some(Time(*since));
        }
        Phase::Stopping { why, since, checkpoint_until } => {
            stored.state = LifecycleState::Stopping;
            stored.since = Some(Time(*since));
            stored.deadline = checkpoint_until.map(Time);
            put_cause(&mut stored, why);
        }
        Phase::Complete => stored.state = LifecycleState::Complete,
        Phase::Failed { reason, message } => {
            stored.state = LifecycleState::Failed;
            stored.failure_reason = Some(reason.as_str().into());
            stored.failure = Some(shorten(message, LONGEST));
        }
    }
    stored
}

/// The parts of a cause that are more than its name.
struct Words {
    message: String,
    exit_code: i32,
    reason: Option<FailureReason>,
}

impl Words {
    fn cause(self, word: &str) -> Option<StopCause> {
        let Self { message, exit_code, reason } = self;
        Some(match word {
            "Move" => StopCause::Move,
            "Suspend" => StopCause::Suspend,
            "Succeeded" => StopCause::Succeeded,
            "DeviceOutOfMemory" => StopCause::DeviceOutOfMemory,
            "HostOutOfMemory" => StopCause::HostOutOfMemory,
            "Disrupted" => StopCause::Disrupted,
            "ProgramFailed" => StopCause::ProgramFailed { exit_code, message },
            "InitFailed" => StopCause::InitFailed { message },
            "NodeCordoned" => StopCause::NodeCordoned { message },
            "Preempted" => StopCause::Preempted { message },
            "BindTimeout" => StopCause::BindTimeout { message },
            "StartTimeout" => StopCause::StartTimeout { message },
            "PodsRejected" => StopCause::PodsRejected { message },
            "NodeTaken" => StopCause::NodeTaken { message },
            "RefusedByNode" => StopCause::RefusedByNode { message },
            "GiveUp" => StopCause::GiveUp { reason: reason?, message },
            _ => return None,
        })
    }
}

/// The name of a cause, as it stands in status and metrics.
pub fn cause_word(cause: &StopCause) -> &'static str {
    match cause {
        StopCause::Move => "Move",
        StopCause::Suspend => "Suspend",
        StopCause::Succeeded => "Succeeded",
        StopCause::DeviceOutOfMemory => "DeviceOutOfMemory",
        StopCause::HostOutOfMemory => "HostOutOfMemory",
        StopCause::Disrupted => "Disrupted",
        StopCause::ProgramFailed { .. } => "ProgramFailed",
        StopCause::InitFailed { .. } => "InitFailed",
        StopCause::NodeCordoned { .. } => "NodeCordoned",
        StopCause::Preempted { .. } => "Preempted",
        StopCause::BindTimeout { .. } => "BindTimeout",
        StopCause::StartTimeout { .. } => "StartTimeout",
        StopCause::PodsRejected { .. } => "PodsRejected",
        StopCause::NodeTaken { .. } => "NodeTaken",
        StopCause::RefusedByNode { .. } => "RefusedByNode",
        StopCause::GiveUp { .. } => "GiveUp",
    }
}

fn put_cause(stored: &mut Lifecycle, cause: &StopCause) {
    stored.stop_cause = Some(cause_word(cause).into());
    match cause {
        StopCause::ProgramFailed { exit_code, message } => {
            stored.stop_exit_code = Some(*exit_code);
            stored.stop_message = Some(shorten(message, LONGEST));
        }
        StopCause::InitFailed { message }
        | StopCause::NodeCordoned { message }
        | StopCause::Preempted { message }
        | StopCause::BindTimeout { message }
        | StopCause::StartTimeout { message }
        | StopCause::PodsRejected { message }
        | StopCause::NodeTaken { message }
        | StopCause::RefusedByNode { message } => stored.stop_message = Some(shorten(message, LONGEST)),
        StopCause::GiveUp { reason, message } => {
            stored.failure_reason = Some(reason.as_str().into());
            stored.stop_message = Some(shorten(message, LONGEST));
        }
        _ => {}
    }
}

fn failure_word(word: &str) -> Option<FailureReason> {
    [FailureReason::TooManyFailures, FailureReason::NoFeasibleSize, FailureReason::DeadlineExceeded]
        .into_iter()
        .find(|reason| reason.as_str() == word)
}

/// `text`, cut at a character so that it is at most `longest` bytes.
pub fn shorten(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest.saturating_sub(3)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// A count of the API as a natural number.
pub fn natural(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A natural number as a count of the API.
pub fn integer(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes() -> Vec<StopCause> {
        let message = "words".to_owned();
        vec![
            StopCause::Move,
            StopCause::Suspend,
            StopCause::Succeeded,
            StopCause::DeviceOutOfMemory,
            StopCause::HostOutOfMemory,
            StopCause::Disrupted,
            StopCause::ProgramFailed { exit_code: 137, message: message.clone() },
            StopCause::InitFailed { message: message.clone() },
            StopCause::NodeCordoned { message: message.clone() },
            StopCause::Preempted { message: message.clone() },
            StopCause::BindTimeout { message: message.clone() },
            StopCause::StartTimeout { message: String::new() },
            StopCause::PodsRejected { message: message.clone() },
            StopCause::NodeTaken { message: message.clone() },
            StopCause::RefusedByNode { message: message.clone() },
            StopCause::GiveUp { reason: FailureReason::NoFeasibleSize, message },
        ]
    }

    #[test]
    fn every_state_survives_a_restart_of_the_operator() {
        let (now, later) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(2_000).unwrap());
        let mut phases = vec![
            Phase::Waiting { not_before: None, after: None },
            Phase::Suspended,
            Phase::Committed { since: now },
            Phase::Starting { since: now },
            Phase::Running { since: now },
            Phase::Complete,
            Phase::Failed { reason: FailureReason::TooManyFailures, message: "4 failures".into() },
        ];
        for why in causes() {
            phases.push(Phase::Waiting { not_before: Some(later), after: Some(why.clone()) });
            phases.push(Phase::Stopping { why: why.clone(), since: now, checkpoint_until: Some(later) });
            phases.push(Phase::Stopping { why, since: now, checkpoint_until: None });
        }
        for phase in phases {
            let state = State { revision: 7, failures: 2, setbacks: 1, phase };
            assert_eq!(recall(Some(&remember(&state, now)), later), state);
        }
    }

    #[test]
    fn a_job_without_a_memory_is_new() {
        assert_eq!(recall(None, Timestamp::UNIX_EPOCH), State::default());
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        assert_eq!(shorten("äöü", 6), "äöü");
        assert_eq!(shorten("äöüäöü", 6), "ä...");
    }
}
