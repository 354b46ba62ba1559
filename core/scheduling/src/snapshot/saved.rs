//! A snapshot as it is kept in a file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Snapshot;

/// A snapshot with the instant that it was planned at: the two of them make the plan again, byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The instant.
    pub at: Timestamp,
    /// Why it was kept: the laws that its plan breaks, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
    /// The snapshot.
    pub snapshot: Snapshot,
}
