//! What one device did over the last while under one set of holders.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use plimsoll_crds::accelerator_node::SmSignal;

use crate::driver::{Reading, SmActivity};

/// The readings of one device since its holders changed, but no longer than the window's length.
#[derive(Clone, Debug)]
pub struct Window {
    length: Duration,
    began: Instant,
    samples: VecDeque<Sample>,
    /// Energy total at the last sample before the first in the window.
    energy_before: Option<f64>,
}

/// One reading in a window.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was taken.
    pub at: Instant,
    /// What the device said.
    pub reading: Reading,
    /// Energy total of the device at that time, in joules.
    pub energy_total_joules: Option<f64>,
}

/// Means and maxima over a window. Each stands on the samples that have the value; absent when none has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// When the window began: when the holders changed or the window's length ago, whichever is later.
    pub began: Instant,
    /// How long it is by now.
    pub covers: Duration,
    /// Whether it has its whole length.
    pub full: bool,
    /// Samples in it.
    pub samples: usize,
    /// Mean share of time in which a kernel was resident (duty cycle), 0 to 1.
    pub busy: Option<f64>,
    /// Mean SM activity, by the signal that most samples have.
    pub sm: Option<SmActivity>,
    /// Mean tensor core activity, 0 to 1.
    pub tensor: Option<f64>,
    /// Highest memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Mean power, in watts.
    pub power_watts: Option<f64>,
    /// Energy, in joules.
    pub energy_joules: Option<f64>,
    /// Highest temperature, in degrees Celsius.
    pub temperature_celsius: Option<u32>,
}

impl Window {
    /// An empty window of a length that begins now.
    #[must_use]
    pub fn new(length: Duration, now: Instant) -> Self {
        Self { length, began: now, samples: VecDeque::new(), energy_before: None }
    }

    /// Begins anew, as when the holders changed.
    pub fn restart(&mut self, now: Instant) {
        self.energy_before = self.newest_energy();
        self.samples.clear();
        self.began = now;
    }

    /// Adds a sample and forgets those that are too old.
    pub fn push(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        self.forget(sample.at);
    }

    /// Forgets the samples that are older than the window is long.
    pub fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.samples.front()
            && now.saturating_duration_since(oldest.at) > self.length
        {
            self.energy_before = oldest.energy_total_joules.or(self.energy_before);
            self.samples.pop_front();
        }
    }

    /// The means and maxima; None while there is no sample to speak of.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Option<Summary> {
        let samples = self.samples.len();
        if samples == 0 {
            return None;
        }
        let age = now.saturating_duration_since(self.began);
        let covers = age.min(self.length);
        let values = |value: fn(&Reading) -> Option<f64>| self.samples.iter().filter_map(move |s| value(&s.reading));
        Some(Summary {
            began: now.checked_sub(covers).unwrap_or(self.began),
            covers,
            full: age >= self.length,
            samples,
            busy: mean(values(|reading| reading.busy)),
            sm: self.sm(),
            tensor: mean(values(|reading| reading.tensor)),
            memory_used_bytes: self.samples.iter().filter_map(|s| s.reading.memory).map(|m| m.used_bytes).max(),
            power_watts: mean(values(|reading| reading.power_watts)),
            energy_joules: self.energy(),
            temperature_celsius: self.samples.iter().filter_map(|s| s.reading.temperature_celsius).max(),
        })
    }

    fn sm(&self) -> Option<SmActivity> {
        let of = |signal| {
            let activities = self.samples.iter().filter_map(|sample| sample.reading.sm);
            activities.filter(move |sm| sm.signal == signal).map(|sm| sm.ratio)
        };
        let signal = if of(SmSignal::Gpm).count() >= of(SmSignal::ProcessSm).count() {
            SmSignal::Gpm
        } else {
            SmSignal::ProcessSm
        };
        mean(of(signal)).map(|ratio| SmActivity { ratio, signal })
    }

    fn energy(&self) -> Option<f64> {
        let first = self.energy_before.or_else(|| self.samples.iter().find_map(|sample| sample.energy_total_joules));
        Some((self.newest_energy()? - first?).max(0.0))
    }

    fn newest_energy(&self) -> Option<f64> {
        self.samples.iter().rev().find_map(|sample| sample.energy_total_joules).or(self.energy_before)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Memory;

    const LENGTH: Duration = Duration::from_secs(60);

    fn gpm(ratio: f64) -> Option<SmActivity> {
        Some(SmActivity { ratio, signal: SmSignal::Gpm })
    }

    fn sample(at: Instant, busy: Option<f64>, energy: f64) -> Sample {
        Sample { at, reading: Reading { busy, ..Reading::default() }, energy_total_joules: Some(energy) }
    }

    #[test]
    fn idle_is_zero_and_no_reading_is_absent() {
        let now = Instant::now();
        let mut window = Window::new(LENGTH, now);
        assert_eq!(window.summary(now), None);
        window.push(sample(now, Some(0.0), 10.0));
        window.push(sample(now + Duration::from_secs(1), None, 10.0));
        let summary = window.summary(now + Duration::from_secs(1)).unwrap();
        assert_eq!(summary.busy, Some(0.0));
        assert_eq!(summary.energy_joules, Some(0.0));
        assert_eq!((summary.sm, summary.power_watts, summary.memory_used_bytes), (None, None, None));
        assert_eq!(summary.samples, 2);
    }

    #[test]
    fn the_window_slides_and_its_energy_has_no_gap() {
        let start = Instant::now();
        let mut window = Window::new(LENGTH, start);
        for second in 0..=100_u32 {
            let busy = if second < 50 { 0.0 } else { 1.0 };
            window.push(sample(start + Duration::from_secs(second.into()), Some(busy), f64::from(second) * 100.0));
        }
        let now = start + Duration::from_secs(100);
        let summary = window.summary(now).unwrap();
        assert!(summary.full);
        assert_eq!((summary.covers, summary.began, summary.samples), (LENGTH, start + Duration::from_secs(40), 61));
        assert_eq!(summary.busy, Some(51.0 / 61.0));
        assert_eq!(summary.energy_joules, Some(6_100.0));
    }

    #[test]
    fn a_restart_forgets_the_samples_but_not_where_the_energy_stood() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(LENGTH, start);
        window.push(sample(at(1), Some(1.0), 500.0));
        window.restart(at(2));
        assert_eq!(window.summary(at(2)), None);
        window.push(sample(at(3), Some(0.0), 700.0));
        let summary = window.summary(at(5)).unwrap();
        assert_eq!((summary.began, summary.covers, summary.full), (at(2), Duration::from_secs(3), false));
        assert_eq!((summary.busy, summary.energy_joules), (Some(0.0), Some(200.0)));
    }

    #[test]
    fn samples_age_out_of_a_device_that_went_silent() {
        let start = Instant::now();
        let mut window = Window::new(LENGTH, start);
        window.push(sample(start, Some(1.0), 0.0));
        let later = start + LENGTH + Duration::from_secs(1);
        window.forget(later);
        assert_eq!(window.summary(later), None);
    }

    #[test]
    fn one_signal_speaks_for_the_window_and_peaks_are_kept() {
        let start = Instant::now();
        let mut window = Window::new(LENGTH, start);
        let memory = |gib: u64| Some(Memory { used_bytes: gib << 30, total_bytes: 80 << 30 });
        let readings = [
            Reading { sm: Some(SmActivity { ratio: 0.9, signal: SmSignal::ProcessSm }), ..Reading::default() },
            Reading { sm: gpm(0.2), memory: memory(7), temperature_celsius: Some(71), ..Reading::default() },
            Reading { sm: gpm(0.4), memory: memory(3), temperature_celsius: Some(64), ..Reading::default() },
        ];
        for reading in readings {
            window.push(Sample { at: start, reading, energy_total_joules: None });
        }
        let summary = window.summary(start).unwrap();
        let sm = summary.sm.unwrap();
        assert_eq!(sm.signal, SmSignal::Gpm);
        assert!((sm.ratio - 0.3).abs() < 1e-9);
        assert_eq!((summary.memory_used_bytes, summary.temperature_celsius), (Some(7 << 30), Some(71)));
    }
}
