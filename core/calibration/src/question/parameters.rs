//! How many parameters a model has.

use crate::{Bar, Evaluation, Published};

/// Asks every row with architecture columns and a count.
pub fn evaluate(_published: &Published) -> Vec<Evaluation> {
    Vec::new()
}

/// What must hold.
pub fn bars(_evaluations: &[Evaluation]) -> Vec<Bar> {
    Vec::new()
}
