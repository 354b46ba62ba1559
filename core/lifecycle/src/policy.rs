//! How patient a job is.

use jiff::{SignedDuration, Timestamp};

/// How patient a job is with failures, and how long it may take to start and to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row after which it is given up: 0 gives up at the first.
    pub max_failures: u32,
    /// Wait after the first failure; doubles with each one after it.
    pub backoff_base_seconds: u64,
    /// Longest wait after a failure.
    pub backoff_max_seconds: u64,
    /// Time for all pods to be bound.
    pub bind_timeout_seconds: u64,
    /// Time for all containers to start, once bound.
    pub start_timeout_seconds: u64,
    /// A run of this length forgets earlier failures.
    pub steady_seconds: u64,
    /// How the program can be made to save its state.
    pub checkpoint: Checkpoint,
    /// `terminationGracePeriodSeconds` of the user's template.
    pub template_grace_seconds: u64,
}

/// How a program can be made to save its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Not at all: what was done since the last one is lost.
    None,
    /// It saves when its container is told to stop.
    OnSignal {
        /// Seconds that it takes.
        seconds: u64,
    },
    /// It saves when the progress protocol asks it to.
    OnRequest {
        /// Seconds that it takes.
        seconds: u64,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_failures: 3,
            backoff_base_seconds: 10,
            backoff_max_seconds: 600,
            bind_timeout_seconds: 300,
            start_timeout_seconds: 3600,
            steady_seconds: 3600,
            checkpoint: Checkpoint::None,
            template_grace_seconds: 30,
        }
    }
}

impl Policy {
    /// Seconds between the signal and the kill: at least twice a checkpoint and 30 s, never less than the user wants.
    pub fn grace_seconds(&self) -> u64 {
        match self.checkpoint {
            Checkpoint::None => self.template_grace_seconds,
            Checkpoint::OnSignal { seconds } | Checkpoint::OnRequest { seconds } => {
                self.template_grace_seconds.max(patience(seconds))
            }
        }
    }

    /// Seconds to wait for a checkpoint that is asked for; `None` when asking is of no use.
    pub(crate) fn checkpoint_wait_seconds(&self) -> Option<u64> {
        match self.checkpoint {
            Checkpoint::None | Checkpoint::OnSignal { .. } => None,
            Checkpoint::OnRequest { seconds } => Some(patience(seconds)),
        }
    }

    /// Seconds to wait after the `nth` failure in a row; none after the 0th.
    pub(crate) fn backoff_seconds(&self, nth: u32) -> u64 {
        if nth == 0 {
            return 0;
        }
        let doubled = 2_u64.checked_pow(nth - 1).and_then(|factor| factor.checked_mul(self.backoff_base_seconds));
        doubled.unwrap_or(u64::MAX).min(self.backoff_max_seconds)
    }
}

fn patience(checkpoint_seconds: u64) -> u64 {
    checkpoint_seconds.saturating_mul(2).saturating_add(30)
}

/// `from + seconds`, at most the end of time.
pub(crate) fn after(from: Timestamp, seconds: u64) -> Timestamp {
    let wait = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_from_ten_seconds_up_to_its_limit() {
        let policy = Policy::default();
        let waits: Vec<u64> = (0..9).map(|n| policy.backoff_seconds(n)).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(policy.backoff_seconds(u32::MAX), 600);
    }

    #[test]
    fn grace_covers_two_checkpoints_and_never_undercuts_the_user() {
        let with =
            |checkpoint, template_grace_seconds| Policy { checkpoint, template_grace_seconds, ..Policy::default() };
        assert_eq!(with(Checkpoint::None, 30).grace_seconds(), 30);
        assert_eq!(with(Checkpoint::OnSignal { seconds: 60 }, 30).grace_seconds(), 150);
        assert_eq!(with(Checkpoint::OnRequest { seconds: 5 }, 600).grace_seconds(), 600);
    }

    #[test]
    fn time_does_not_overflow() {
        assert_eq!(after(Timestamp::MAX, u64::MAX), Timestamp::MAX);
    }
}
