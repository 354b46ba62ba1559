//! The constants of step time, fitted to all tables of a folder.

use plimsoll_sizing::calibration::TimeConstants;

use crate::Published;
use crate::fit::Search;
use crate::speed::{IMAGES, TRANSFORMERS, cases, images};

/// A search from the starting values.
const SEARCH: Search = Search { edge: 0.3, rounds: 8, steps: 2000 };

/// The constants that fit the tables best: those of products, memory and communication on models of known architecture,
/// then those of unknown kernels on models known by their totals.
pub fn calibrate(published: &Published) -> TimeConstants {
    let known = TRANSFORMERS.constants(&cases(published), &TimeConstants::STARTING, SEARCH);
    IMAGES.constants(&images(published), &known, SEARCH)
}
