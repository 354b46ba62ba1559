//! What is remembered of a job between cycles. All of it can be lost: it is found out again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::job::size::Sized;

/// First wait after a refused trial; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: i64 = 15;
/// Longest wait after a refused trial, in seconds.
const LONGEST_WAIT: i64 = 600;

/// What is remembered of one job.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Its last menu.
    pub(super) sized: Option<Sized>,
    /// Trials that the apiserver accepted.
    pub(super) passed: BTreeSet<String>,
    /// The newest trial, where it was refused.
    pub(super) refused: Option<Refused>,
    /// A pod of a revision that was refused, with the apiserver's sentence.
    pub(super) pod_refused: Option<(u32, String)>,
    /// Pods that were created, until the watch shows them.
    pub(super) created: BTreeMap<String, Instant>,
    /// When its status was last written.
    pub(super) written_at: Option<Timestamp>,
}

/// A trial that the apiserver refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Generation of the specification that was tried.
    pub(super) generation: i64,
    /// The apiserver's sentence.
    pub(super) message: String,
    /// When to try again.
    pub(super) until: Timestamp,
    /// How often it was refused in a row.
    pub(super) times: u32,
}

impl Refused {
    /// Refused once more: each refusal in a row doubles the wait.
    pub(super) fn again(before: Option<&Self>, generation: i64, message: String, now: Timestamp) -> Self {
        let times = before.map_or(0, |refused| refused.times).saturating_add(1);
        let wait = FIRST_WAIT.saturating_mul(1 << (times - 1).min(6)).min(LONGEST_WAIT);
        Self { generation, message, until: now + SignedDuration::from_secs(wait), times }
    }
}
