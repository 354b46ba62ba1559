//! The constants of step time, fitted to all tables of a folder.

use plimsoll_sizing::calibration::TimeConstants;

use crate::Published;
use crate::fit::Search;
use crate::speed::{cases, fit};

/// A search from the starting values.
const SEARCH: Search = Search { edge: 0.3, rounds: 8, steps: 2000 };

/// The constants that fit the tables best, rounded to three digits so that a fit on another machine is the same text.
pub fn calibrate(published: &Published) -> TimeConstants {
    let cases = cases(published);
    fit(&cases, &TimeConstants::STARTING, SEARCH)
}
