//! Well-known models by name, and the nearest names to one that is not known.

use plimsoll_sizing::Model;
use plimsoll_sizing::preset::{names, preset};

use crate::size::SpecError;

/// Names that an unknown one is answered with.
const NEAREST: usize = 3;

pub(super) fn by_name(name: &str) -> Result<Model, SpecError> {
    match preset(name) {
        Some(preset) => Ok(preset.model),
        None => Err(SpecError::Preset { name: name.to_owned(), nearest: nearest(name).join(", ") }),
    }
}

/// The known names that take the fewest edits from `name`.
fn nearest(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let mut known = names();
    known.sort_by_cached_key(|candidate| (edits(&name, candidate), candidate.clone()));
    known.truncate(NEAREST);
    known
}

/// Letters to insert, leave out or exchange to come from one word to another (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let exchange = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = exchange.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_answered_with_the_one_that_was_meant() {
        for (wrong, meant) in [("resnet-50", "resnet50"), ("Mixtral-8x7", "mixtral-8x7b"), ("dit-xl2", "dit-xl-2")] {
            let error = by_name(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong) && error.contains(meant), "{error}");
        }
    }

    #[test]
    fn edits_are_counted_both_ways() {
        for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!((edits(a, b), edits(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
