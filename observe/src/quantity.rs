//! Kubernetes quantities, exactly: `1500m`, `2Gi`, `0.5`, `1e3`.
//!
//! The rules are those of `resource.Quantity`: exact to a billionth, finer fractions are rounded away from zero, and
//! nothing is larger than 2^63 - 1.

use std::ops::{Add, AddAssign};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use thiserror::Error;

const NANO: i128 = 1_000_000_000;
const MOST: i128 = i64::MAX as i128 * NANO;
/// Decimals that are kept while parsing: the smallest count with which no binary suffix loses a billionth.
const DECIMALS: usize = 20;

/// Text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to parse quantity {text:?}: {because}")]
pub struct QuantityError {
    text: String,
    because: &'static str,
}

/// An amount of a resource, exact to a billionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    nano: i128,
}

impl Amount {
    /// So many whole units.
    pub fn units(units: u64) -> Self {
        Self { nano: (i128::from(units) * NANO).min(MOST) }
    }

    /// Parses the text of a quantity.
    ///
    /// # Errors
    /// When the text is no quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let error = |because| QuantityError { text: text.to_owned(), because };
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(error("it must begin with a decimal number"));
        }
        let scale = Scale::parse(suffix)
            .ok_or_else(|| error("its suffix is none of n u m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent"))?;
        let (whole, fraction) = scale.shift_point(whole, fraction);
        let nano = magnitude(&whole, &fraction, scale.binary);
        Ok(Self { nano: if negative { -nano } else { nano } })
    }

    /// Whole units, rounded up as the kube-scheduler rounds; 0 for a negative amount.
    pub fn ceil(self) -> u64 {
        u64::try_from(div_ceil(self.nano.max(0), NANO)).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded down; 0 for a negative amount.
    pub fn floor(self) -> u64 {
        u64::try_from(self.nano.max(0) / NANO).unwrap_or(u64::MAX)
    }

    /// Thousandths, rounded down; 0 for a negative amount.
    pub fn floor_milli(self) -> u64 {
        u64::try_from(self.nano.max(0) / (NANO / 1000)).unwrap_or(u64::MAX)
    }

    /// Thousandths, rounded up as the kube-scheduler rounds; 0 for a negative amount.
    pub fn milli(self) -> u64 {
        u64::try_from(div_ceil(self.nano.max(0), NANO / 1000)).unwrap_or(u64::MAX)
    }

    /// The nearest floating point number, for figures such as FLOP per second.
    pub fn as_f64(self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// Whether there is anything of it.
    pub fn is_positive(self) -> bool {
        self.nano > 0
    }
}

impl TryFrom<&Quantity> for Amount {
    type Error = QuantityError;

    fn try_from(quantity: &Quantity) -> Result<Self, Self::Error> {
        Self::parse(&quantity.0)
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // Two amounts within the limit cannot overflow 128 bits.
        Self { nano: (self.nano + other.nano).clamp(-MOST, MOST) }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What a suffix multiplies by: a power of ten and a power of two.
struct Scale {
    decimal: i64,
    binary: i128,
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        let decimal = |decimal| Some(Self { decimal, binary: 1 });
        let binary = |exponent: u32| Some(Self { decimal: 0, binary: 1 << exponent });
        match suffix {
            "" => decimal(0),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E'])?;
                decimal(exponent.parse::<i32>().ok()?.into())
            }
        }
    }

    /// Moves the decimal point, so that only the power of two is left to multiply by.
    fn shift_point(&self, whole: &str, fraction: &str) -> (String, String) {
        // A shift by more than this leaves nothing or reaches the limit, whatever the digits.
        let places =
            usize::try_from(self.decimal.unsigned_abs()).unwrap_or(usize::MAX).min(whole.len() + fraction.len() + 64);
        if self.decimal >= 0 {
            let padded = format!("{fraction:0<places$}");
            let (moved, rest) = padded.split_at(places);
            (format!("{whole}{moved}"), rest.to_owned())
        } else {
            let padded = format!("{whole:0>places$}");
            let (rest, moved) = padded.split_at(padded.len() - places);
            (rest.to_owned(), format!("{moved}{fraction}"))
        }
    }
}

/// `whole.fraction × binary` in billionths, rounded up and capped.
fn magnitude(whole: &str, fraction: &str, binary: i128) -> i128 {
    let whole = whole.trim_start_matches('0');
    if whole.len() > 19 {
        return MOST;
    }
    let digits = |text: &str| text.bytes().fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let (kept, lost) = fraction.split_at(fraction.len().min(DECIMALS));
    let one = 10_i128.pow(kept.len() as u32);
    let scaled = digits(kept) * binary;
    let fine = (scaled % one) * NANO;
    let nano = scaled / one * NANO + div_ceil(fine, one);
    // What was cut off is below a billionth and still rounds up, unless rounding has counted it already.
    let cut = i128::from(lost.bytes().any(|digit| digit != b'0') && fine % one == 0);
    digits(whole).saturating_mul(binary).min(MOST / NANO + 1).saturating_mul(NANO).saturating_add(nano + cut).min(MOST)
}

fn div_ceil(value: i128, by: i128) -> i128 {
    value / by + i128::from(value % by > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nano(text: &str) -> i128 {
        Amount::parse(text).expect(text).nano
    }

    #[test]
    fn every_suffix_is_exact() {
        for (text, expected) in [
            ("0", 0),
            ("1", NANO),
            ("+1", NANO),
            ("-1", -NANO),
            (".5", NANO / 2),
            ("1.", NANO),
            ("100m", NANO / 10),
            ("7n", 7),
            ("3u", 3000),
            ("1k", 1000 * NANO),
            ("1.5Gi", 1_610_612_736 * NANO),
            ("0.1Gi", 107_374_182_400_000_000),
            ("1e3", 1000 * NANO),
            ("1E3", 1000 * NANO),
            ("12e-1", 1_200_000_000),
            ("2E", 2_000_000_000_000_000_000 * NANO),
            ("1Ei", (1 << 60) * NANO),
            ("989500G", 989_500_000_000_000 * NANO),
        ] {
            assert_eq!(nano(text), expected, "{text}");
        }
    }

    #[test]
    fn finer_than_a_billionth_rounds_away_from_zero() {
        assert_eq!(nano("0.1n"), 1);
        assert_eq!(nano("-0.1n"), -1);
        assert_eq!(nano("1e-40"), 1);
        assert_eq!(nano("1.0000000000000000000000001"), NANO + 1);
    }

    #[test]
    fn larger_than_the_limit_is_the_limit() {
        for text in ["8Ei", "1e19", "1e400", "99999999999999999999", "100E"] {
            assert_eq!(nano(text), MOST, "{text}");
        }
        assert_eq!(nano("9223372036854775807"), MOST);
        assert_eq!(nano("0e400"), 0);
    }

    #[test]
    fn text_that_is_no_quantity_is_refused() {
        for text in ["", "m", "1.2.3", "1 Gi", "1gi", "1e", "e3", "0x10", "1Gi2", "--1", "1e3m"] {
            assert!(Amount::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rounding_is_the_kube_schedulers() {
        assert_eq!(Amount::parse("1001u").map(Amount::milli), Ok(2));
        assert_eq!(Amount::parse("1500m").map(Amount::ceil), Ok(2));
        assert_eq!(Amount::parse("-5").map(Amount::ceil), Ok(0));
        assert_eq!(Amount::parse("1999u").map(Amount::floor_milli), Ok(1));
        assert_eq!(Amount::parse("1500m").map(Amount::floor), Ok(1));
        assert_eq!(Amount::parse("-5").map(Amount::floor), Ok(0));
    }

    proptest! {
        #[test]
        fn whole_numbers_survive(units in 0..=i64::MAX as u64) {
            prop_assert_eq!(Amount::parse(&units.to_string()).map(Amount::ceil), Ok(units));
        }

        #[test]
        fn milli_is_the_same_as_a_decimal(milli in 0..10_000_000_u64) {
            let decimal = format!("{}.{:03}", milli / 1000, milli % 1000);
            prop_assert_eq!(Amount::parse(&format!("{milli}m")), Amount::parse(&decimal));
            prop_assert_eq!(Amount::parse(&decimal), Amount::parse(&format!("{milli}e-3")));
        }

        #[test]
        fn a_binary_suffix_is_a_shift(units in 0..1_000_000_u64, power in 0..6_usize) {
            let suffix = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power];
            let shifted = (u128::from(units) << (10 * (power + 1))).min(i64::MAX as u128) as u64;
            prop_assert_eq!(Amount::parse(&format!("{units}{suffix}")).map(Amount::ceil), Ok(shifted));
        }

        #[test]
        fn nothing_panics(text in "[-+]?[0-9.]{0,45}[a-zA-Z]{0,2}[-+]?[0-9]{0,6}") {
            let _ = Amount::parse(&text);
        }
    }
}
