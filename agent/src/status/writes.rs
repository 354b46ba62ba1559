//! When a status is worth a write: a thousand nodes share one apiserver.

use std::time::{Duration, Instant};

use plimsoll_crds::accelerator_node::{AcceleratorNodeStatus, Device};

/// SM activity that moved by so much, in thousandths, is news.
const ACTIVITY_STEP: i32 = 100;

/// The last status that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// What it said.
    pub status: AcceleratorNodeStatus,
    /// When.
    pub at: Instant,
}

/// How often to write.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// At least so often, so that the reader knows that the agent lives, and without news no more often.
    pub interval: Duration,
    /// Even with news no more often.
    pub gap: Duration,
    /// Length of a full window.
    pub window: Duration,
}

/// Why a status is worth a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was none before.
    First,
    /// Other devices, or another driver.
    Devices,
    /// A device failed, fell silent or came back.
    Health,
    /// A device is held by another, or by nobody.
    Holder,
    /// A window has its full length for the first time under its holder.
    WindowComplete,
    /// SM activity moved by ten points or more.
    Activity,
    /// The last one is old.
    Age,
}

impl Pace {
    /// A status every `interval`, of windows of a length.
    #[must_use]
    pub fn new(interval: Duration, window: Duration) -> Self {
        Self { interval, gap: interval / 12, window }
    }
}

/// Whether to write `new`, and why. The time in it is not looked at.
#[must_use]
pub fn should_write(last: Option<&Written>, new: &AcceleratorNodeStatus, now: Instant, pace: &Pace) -> Option<Cause> {
    let Some(last) = last else { return Some(Cause::First) };
    let age = now.saturating_duration_since(last.at);
    if age < pace.gap {
        return None;
    }
    news(&last.status, new, pace).or((age >= pace.interval).then_some(Cause::Age))
}

fn news(last: &AcceleratorNodeStatus, new: &AcceleratorNodeStatus, pace: &Pace) -> Option<Cause> {
    let same_devices = last.driver_version == new.driver_version
        && last.agent_version == new.agent_version
        && last.devices.iter().map(|device| &device.uuid).eq(new.devices.iter().map(|device| &device.uuid));
    if !same_devices {
        return Some(Cause::Devices);
    }
    let pairs = || last.devices.iter().zip(&new.devices);
    let full = i32::try_from(pace.window.as_secs()).unwrap_or(i32::MAX);
    let seconds = |device: &Device| device.window.as_ref().map_or(0, |window| window.seconds);
    if pairs().any(|(last, new)| last.health != new.health) {
        Some(Cause::Health)
    } else if pairs().any(|(last, new)| last.holder != new.holder) {
        Some(Cause::Holder)
    } else if pairs().any(|(last, new)| new.holder.is_some() && seconds(last) < full && seconds(new) >= full) {
        Some(Cause::WindowComplete)
    } else if pairs().any(|(last, new)| seconds(new) >= full && activity_moved(last, new)) {
        Some(Cause::Activity)
    } else {
        None
    }
}

fn activity_moved(last: &Device, new: &Device) -> bool {
    let activity = |device: &Device| device.window.as_ref().and_then(|window| window.sm_activity_permille);
    match (activity(last), activity(new)) {
        (Some(last), Some(new)) => (new - last).abs() >= ACTIVITY_STEP,
        (last, new) => last.is_some() != new.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_crds::accelerator_node::{Health, Holder, Window};

    use super::*;

    const PACE: Pace =
        Pace { interval: Duration::from_secs(60), gap: Duration::from_secs(5), window: Duration::from_secs(60) };

    fn status(pod: Option<&str>, seconds: i32, activity: Option<i32>) -> AcceleratorNodeStatus {
        let holder = pod.map(|pod| Holder { pod: pod.to_owned(), ..Holder::default() });
        let window = Some(Window { seconds, sm_activity_permille: activity, ..Window::default() });
        let device = Device { uuid: "GPU-0".to_owned(), holder, window, ..Device::default() };
        AcceleratorNodeStatus { devices: vec![device], ..AcceleratorNodeStatus::default() }
    }

    fn after(seconds: u64, last: AcceleratorNodeStatus, new: &AcceleratorNodeStatus) -> Option<Cause> {
        let at = Instant::now();
        should_write(Some(&Written { status: last, at }), new, at + Duration::from_secs(seconds), &PACE)
    }

    #[test]
    fn the_first_status_is_written_and_then_one_per_interval() {
        let same = status(Some("a"), 60, Some(500));
        assert_eq!(should_write(None, &same, Instant::now(), &PACE), Some(Cause::First));
        assert_eq!(after(59, same.clone(), &same), None);
        assert_eq!(after(60, same.clone(), &same), Some(Cause::Age));
    }

    #[test]
    fn a_small_move_waits_and_a_large_one_does_not() {
        let last = status(Some("a"), 60, Some(500));
        assert_eq!(after(10, last.clone(), &status(Some("a"), 60, Some(599))), None);
        assert_eq!(after(10, last.clone(), &status(Some("a"), 60, Some(600))), Some(Cause::Activity));
        assert_eq!(after(10, last.clone(), &status(Some("a"), 60, Some(400))), Some(Cause::Activity));
        assert_eq!(after(10, last, &status(Some("a"), 60, None)), Some(Cause::Activity));
    }

    #[test]
    fn a_move_in_a_window_that_is_not_full_is_noise() {
        let last = status(Some("a"), 10, Some(100));
        assert_eq!(after(10, last.clone(), &status(Some("a"), 20, Some(900))), None);
        assert_eq!(after(50, last, &status(Some("a"), 60, Some(900))), Some(Cause::WindowComplete));
    }

    #[test]
    fn holders_and_health_are_news() {
        let last = status(Some("a"), 60, Some(500));
        assert_eq!(after(10, last.clone(), &status(Some("b"), 0, None)), Some(Cause::Holder));
        assert_eq!(after(10, last.clone(), &status(None, 0, None)), Some(Cause::Holder));
        let mut failed = last.clone();
        failed.devices[0].health = Health::Failed;
        assert_eq!(after(10, last.clone(), &failed), Some(Cause::Health));
        let mut gone = last.clone();
        gone.devices.clear();
        assert_eq!(after(10, last, &gone), Some(Cause::Devices));
    }

    #[test]
    fn a_window_that_completes_on_a_free_device_is_no_news() {
        assert_eq!(after(10, status(None, 50, Some(0)), &status(None, 60, Some(0))), None);
    }

    #[test]
    fn even_news_keeps_a_gap() {
        let last = status(Some("a"), 60, Some(500));
        assert_eq!(after(4, last.clone(), &status(Some("b"), 0, None)), None);
        assert_eq!(after(5, last, &status(Some("b"), 0, None)), Some(Cause::Holder));
    }

    #[test]
    fn the_time_in_a_status_is_no_news() {
        let last = status(Some("a"), 60, Some(500));
        let mut later = last.clone();
        later.observed_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(after(10, last, &later), None);
    }
}
