//! Periods of budgets, by the calendar in UTC.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use plimsoll_crds::training_queue::Period;

/// When the period began that an instant is in.
pub fn begins(period: Period, at: Timestamp) -> Timestamp {
    midnight(first_day(period, date(at))).unwrap_or(Timestamp::MIN)
}

/// When the next period begins.
pub fn ends(period: Period, at: Timestamp) -> Timestamp {
    let first = first_day(period, date(at));
    let next = match period {
        Period::Day => first.tomorrow(),
        Period::Week => first.checked_add(7.days()),
        Period::Month => first.last_of_month().tomorrow(),
    };
    next.ok().and_then(midnight).unwrap_or(Timestamp::MAX)
}

/// The day of an instant.
pub fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn first_day(period: Period, date: Date) -> Date {
    match period {
        Period::Day => date,
        Period::Week => {
            let since_monday = date.weekday().to_monday_zero_offset();
            date.checked_sub(i64::from(since_monday).days()).unwrap_or(date)
        }
        Period::Month => date.first_of_month(),
    }
}

/// The first instant of a day; `None` at the ends of time.
fn midnight(date: Date) -> Option<Timestamp> {
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_midnight_on_mondays_and_on_the_first() {
        // A Wednesday.
        let at: Timestamp = "2026-11-25T16:30:00Z".parse().expect("a time");
        let of = |period| (begins(period, at).to_string(), ends(period, at).to_string());
        let expected = |begins: &str, ends: &str| (format!("{begins}T00:00:00Z"), format!("{ends}T00:00:00Z"));
        assert_eq!(of(Period::Day), expected("2026-11-25", "2026-11-26"));
        assert_eq!(of(Period::Week), expected("2026-11-23", "2026-11-30"));
        assert_eq!(of(Period::Month), expected("2026-11-01", "2026-12-01"));
    }

    #[test]
    fn the_end_of_a_period_is_the_beginning_of_the_next() {
        let at: Timestamp = "2026-12-31T23:59:59Z".parse().expect("a time");
        for period in Period::ALL {
            assert_eq!(begins(period, ends(period, at)), ends(period, at));
        }
    }
}
