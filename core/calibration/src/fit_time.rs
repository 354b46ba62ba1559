//! The constants of step time, fitted to all tables of a folder.

use plimsoll_sizing::calibration::TimeConstants;
use serde_json::Value;

use crate::Published;
use crate::fit::Search;
use crate::speed::{IMAGES, TRANSFORMERS, cases, images};

/// A search from the starting values.
const SEARCH: Search = Search { edge: 0.3, rounds: 8, steps: 2000 };

/// The constants that fit the tables best: those of products, memory and communication on models of known architecture,
/// then those of unknown kernels on models known by their totals.
pub fn calibrate(published: &Published) -> TimeConstants {
    let known = TRANSFORMERS.constants(&cases(published), &TimeConstants::STARTING, SEARCH);
    rounded(&IMAGES.constants(&images(published), &known, SEARCH))
}

/// What was fitted, to three digits: more would say more than the tables do.
fn rounded(constants: &TimeConstants) -> TimeConstants {
    let round = |value: Value| {
        let number = value.as_f64().and_then(|number| format!("{number:.2e}").parse::<f64>().ok());
        number.map_or(value, Value::from)
    };
    let parsed = match serde_json::to_value(constants) {
        Ok(Value::Object(all)) => {
            serde_json::from_value(all.into_iter().map(|(name, value)| (name, round(value))).collect())
        }
        Ok(other) => serde_json::from_value(other),
        Err(error) => Err(error),
    };
    parsed.unwrap_or_else(|_| constants.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_rounded_to_three_digits() {
        let constants = TimeConstants { hop_seconds: 1.23456e-5, loss_bytes: 21.789, ..TimeConstants::STARTING };
        let rounded = rounded(&constants);
        assert_eq!((rounded.hop_seconds, rounded.loss_bytes), (1.23e-5, 21.8));
        assert_eq!(rounded.overlap, TimeConstants::STARTING.overlap);
    }
}
