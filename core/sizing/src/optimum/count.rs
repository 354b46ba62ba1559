//! Large counts as people write them.

use std::fmt;

/// A count with three digits and a word for its size: `8.03B`.
pub struct Count(
    /// The count, at least 0.
    pub f64,
);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count) = *self;
        // From 999.5 on, three digits need the next word.
        let words = [(999.5e9, 1e12, "T"), (999.5e6, 1e9, "B"), (999.5e3, 1e6, "M"), (999.5, 1e3, "k")];
        let (unit, word) =
            words.into_iter().find(|(from, ..)| count >= *from).map_or((1.0, ""), |(_, unit, word)| (unit, word));
        let scaled = count / unit;
        let decimals = if scaled >= 99.95 {
            0
        } else if scaled >= 9.995 {
            1
        } else {
            2
        };
        write!(f, "{scaled:.decimals$}{word}")
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn counts_have_three_digits() {
        let written = [8.03e9, 1.5e13, 124.4e6, 999.7e6, 72.2487e9, 12.0].map(|count| Count(count).to_string());
        assert_eq!(written, ["8.03B", "15.0T", "124M", "1.00B", "72.2B", "12.0"]);
    }
}
