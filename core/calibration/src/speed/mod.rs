//! How fast a job runs before anything was observed.
//!
//! Asked of rows with an architecture and a speed (`transformer`); of image models known by their totals (`image`); and
//! of models known by name alone (`workload`), whose work per sample is learned from their runs on other classes of GPU.
//!
//! Constants are fitted to the tables of the repository, each time without the group that the row belongs to, starting
//! from those that ship. A row of a table that the repository does not have, of a group that it does not know either, is
//! predicted by the constants that ship.

mod case;
mod folds;
mod image;
mod transformer;
mod workload;

use crate::{Bar, Evaluation, Published};

pub(crate) use image::{FIT as IMAGES, images};
pub(crate) use transformer::{FIT as TRANSFORMERS, cases};

/// Asks every row that can be asked.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let asked = [transformer::evaluate(published), image::evaluate(published), workload::evaluate(published)];
    asked.into_iter().flatten().collect()
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let bars = [transformer::bars(evaluations), image::bars(evaluations), workload::bars(evaluations)];
    bars.into_iter().flatten().collect()
}
