//! How fast a job runs before anything was observed.
//!
//! Asked of rows with an architecture and a speed ([`case`]); of image models known by their totals ([`image`]); and of
//! models known by name alone ([`workload`]), whose work per sample is learned from their runs on other classes of GPU.
//!
//! Constants are fitted to the tables of the repository, each time without the group that the row belongs to, starting
//! from those that ship; a row of a table that the repository does not have is predicted by constants that never saw it
//! in any case.

mod case;
mod folds;
mod transformer;

use crate::{Bar, Evaluation, Published};

pub(crate) use folds::fit;
pub(crate) use transformer::cases;

/// Asks every row that can be asked.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    transformer::evaluate(published)
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    transformer::bars(evaluations)
}
