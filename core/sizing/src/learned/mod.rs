//! What running jobs have taught, and the corrections drawn from it.
//!
//! Evidence is stored as it was observed, never as a correction, so that a better rule can be applied to old evidence.

mod fits;
pub mod least_squares;
mod memory;
mod steps;
mod tail;
pub mod throughput;

use serde::{Deserialize, Serialize};

use crate::{Batch, ClassName, Layout, Shape};

pub(crate) use fits::Fits;
pub(crate) use memory::{Blame, Known as KnownMemory, MEASURED_BOUNDS, MemoryCorrection};
pub(crate) use steps::{Expected, StepCorrection, StepsAt, StepsOf};

/// Most observations of each kind that are kept.
pub const LIMIT: usize = 32;

/// How a job's device memory turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "stored::Kind", into = "stored::Kind")]
pub enum MemoryKind {
    /// It ran out of device memory: a lower bound on what it needs.
    RanOut {
        /// What the program's allocator held and asked for at the end, in bytes, where known; the device context comes
        /// on top.
        bytes: Option<u64>,
    },
    /// Its reported peak.
    Peak {
        /// Peak of the program's allocator on the fullest device, in bytes; the device context comes on top.
        bytes: u64,
    },
}

/// How kinds are stored: one that ran out without a number is a word, as it was before there were numbers.
mod stored {
    use serde::{Deserialize, Serialize};

    use super::MemoryKind;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Kind {
        Word(Word),
        Numbers(Numbers),
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Word {
        RanOut,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Numbers {
        RanOut { bytes: Option<u64> },
        Peak { bytes: u64 },
    }

    impl From<Kind> for MemoryKind {
        fn from(kind: Kind) -> Self {
            match kind {
                Kind::Word(Word::RanOut) => Self::RanOut { bytes: None },
                Kind::Numbers(Numbers::RanOut { bytes }) => Self::RanOut { bytes },
                Kind::Numbers(Numbers::Peak { bytes }) => Self::Peak { bytes },
            }
        }
    }

    impl From<MemoryKind> for Kind {
        fn from(kind: MemoryKind) -> Self {
            match kind {
                MemoryKind::RanOut { bytes: None } => Self::Word(Word::RanOut),
                MemoryKind::RanOut { bytes } => Self::Numbers(Numbers::RanOut { bytes }),
                MemoryKind::Peak { bytes } => Self::Numbers(Numbers::Peak { bytes }),
            }
        }
    }
}

/// One observation of device memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvidence {
    /// The class it ran on.
    pub class: ClassName,
    /// The devices it ran on.
    pub shape: Shape,
    /// Its layout.
    pub layout: Layout,
    /// Its micro-batch.
    pub micro_batch: u32,
    /// What was seen.
    pub kind: MemoryKind,
}

impl MemoryEvidence {
    /// Whether two observations are of the same thing, so that the newer replaces the older.
    fn same_key(&self, other: &Self) -> bool {
        let out = |kind| matches!(kind, MemoryKind::RanOut { .. });
        self.class == other.class
            && self.shape == other.shape
            && self.layout == other.layout
            && self.micro_batch == other.micro_batch
            && out(self.kind) == out(other.kind)
    }
}

/// One observation of step time and SM activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEvidence {
    /// The class it ran on.
    pub class: ClassName,
    /// The devices it ran on.
    pub shape: Shape,
    /// Its layout.
    pub layout: Layout,
    /// How its batch was cut.
    pub batch: Batch,
    /// Wall time of one optimizer step, in seconds.
    pub step_seconds: f64,
    /// SM activity, 0 to 1.
    pub sm_activity: f64,
}

impl StepEvidence {
    fn same_key(&self, other: &Self) -> bool {
        self.class == other.class
            && self.shape == other.shape
            && self.layout == other.layout
            && self.batch == other.batch
    }
}

/// Everything observed of a job, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Device memory.
    pub memory: Vec<MemoryEvidence>,
    /// Step time and activity.
    pub steps: Vec<StepEvidence>,
}

impl Evidence {
    /// Adds an observation of memory; it replaces an older one of the same size and kind.
    ///
    /// Beyond [`LIMIT`] the oldest peak goes first: a size that ran out must not be forgotten while a peak is left.
    pub fn push_memory(&mut self, evidence: MemoryEvidence) {
        self.memory.retain(|known| !known.same_key(&evidence));
        self.memory.push(evidence);
        if self.memory.len() > LIMIT {
            let peak = |known: &MemoryEvidence| matches!(known.kind, MemoryKind::Peak { .. });
            let oldest = self.memory[..LIMIT].iter().position(peak).unwrap_or(0);
            self.memory.remove(oldest);
        }
    }

    /// Adds an observation of a step; it replaces an older one of the same configuration.
    ///
    /// Beyond [`LIMIT`] the oldest goes, but never the fastest: it is what later sizes are compared with.
    pub fn push_step(&mut self, evidence: StepEvidence) {
        if !(evidence.step_seconds.is_finite() && evidence.step_seconds > 0.0 && evidence.sm_activity.is_finite()) {
            return;
        }
        self.steps.retain(|known| !known.same_key(&evidence));
        self.steps.push(evidence);
        if self.steps.len() > LIMIT {
            let fastest = self.fastest().map(|fastest| fastest.step_seconds);
            let oldest = self.steps.iter().position(|known| Some(known.step_seconds) != fastest).unwrap_or(0);
            self.steps.remove(oldest);
        }
    }

    /// The fastest step observed.
    pub fn fastest(&self) -> Option<&StepEvidence> {
        self.steps.iter().min_by(|a, b| a.step_seconds.total_cmp(&b.step_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_were_stored_before_there_were_numbers() {
        let stored = [
            (r#""RanOut""#, MemoryKind::RanOut { bytes: None }),
            (r#"{"RanOut":{"bytes":7}}"#, MemoryKind::RanOut { bytes: Some(7) }),
            (r#"{"Peak":{"bytes":5}}"#, MemoryKind::Peak { bytes: 5 }),
        ];
        for (text, kind) in stored {
            assert_eq!(serde_json::from_str::<MemoryKind>(text).unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), text);
        }
        assert_eq!(
            serde_json::from_str::<MemoryKind>(r#"{"RanOut":{}}"#).unwrap(),
            MemoryKind::RanOut { bytes: None },
            "a number that is left out"
        );
    }
}
