//! When a job that waits is expected to start, and what would fit now, as its status says it. Pure.

use jiff::{SignedDuration, Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_crds::training_job::{FitsNow, StartEstimate, Waiting};
use plimsoll_menu::Shape;
use plimsoll_scheduling as scheduling;

use super::memory::integer;

/// An estimate as instants. What was said before stays while nothing of it differs by more than a twentieth of the wait, and
/// at least by half a minute: seconds that pass are no news.
pub(super) fn start(
    estimate: &scheduling::StartEstimate,
    before: Option<&Waiting>,
    now: Timestamp,
) -> Option<StartEstimate> {
    let scheduling::StartEstimate { earliest_seconds, likely_seconds, latest_seconds } = *estimate;
    let new = StartEstimate {
        earliest: after(earliest_seconds, now)?,
        likely: after(likely_seconds, now)?,
        latest: after(latest_seconds, now)?,
    };
    let said = before.and_then(|waiting| waiting.start.clone());
    let slack = SignedDuration::try_from_secs_f64(latest_seconds / 20.0).ok()?.max(SignedDuration::from_secs(30));
    let near = |a: &Time, b: &Time| a.0.duration_since(b.0).abs() <= slack;
    let holds = |said: &StartEstimate| {
        near(&said.earliest, &new.earliest) && near(&said.likely, &new.likely) && near(&said.latest, &new.latest)
    };
    said.filter(holds).or(Some(new))
}

/// An instant so many seconds from now; `None` beyond the end of time.
fn after(seconds: f64, now: Timestamp) -> Option<Time> {
    let at = now.checked_add(SignedDuration::try_from_secs_f64(seconds.max(0.0)).ok()?).ok()?;
    Some(Time(at.round(Unit::Second).ok()?))
}

/// A size that would fit now.
pub(super) fn fits_now(shape: &Shape) -> FitsNow {
    FitsNow { class: shape.class.to_string(), gpus: integer(shape.gpus()), pods: integer(shape.pods) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_estimate_is_said_again_only_when_it_has_changed() {
        let of = |likely_seconds| scheduling::StartEstimate {
            earliest_seconds: likely_seconds / 2.0,
            likely_seconds,
            latest_seconds: likely_seconds * 2.0,
        };
        let first = start(&of(600.0), None, at(0)).unwrap();
        assert_eq!((first.earliest.0, first.likely.0, first.latest.0), (at(300), at(600), at(1200)));
        let waiting = Waiting { start: Some(first.clone()), ..Waiting::default() };
        assert_eq!(start(&of(590.0), Some(&waiting), at(10)), Some(first));
        assert_eq!(start(&of(900.0), Some(&waiting), at(10)).unwrap().likely.0, at(910));
        assert_eq!(start(&of(f64::INFINITY), None, at(0)), None);
    }
}
