//! Energy of one device, from its counter or from its power.

use std::time::{Duration, Instant};

use crate::driver::Reading;

/// Power is not integrated over a longer silence than this: nobody knows what the device drew meanwhile.
const LONGEST_STEP: Duration = Duration::from_secs(30);

/// Adds up the energy of one device.
#[derive(Clone, Debug, Default)]
pub struct EnergyMeter {
    total_joules: Option<f64>,
    counter_joules: Option<f64>,
    power: Option<(Instant, f64)>,
}

impl EnergyMeter {
    /// Takes a reading and gives the total so far; None for a device that tells neither energy nor power.
    pub fn feed(&mut self, reading: &Reading, at: Instant) -> Option<f64> {
        match (reading.energy_joules, self.counter_joules) {
            (Some(counter), last) => self.count(counter, last),
            // Once there is a counter, its next value covers what a missing one left out.
            (None, Some(_)) => {}
            (None, None) => self.integrate(reading.power_watts, at),
        }
        self.total_joules
    }

    /// The total so far, in joules.
    #[must_use]
    pub fn total_joules(&self) -> Option<f64> {
        self.total_joules
    }

    fn count(&mut self, counter: f64, last: Option<f64>) {
        let total = self.total_joules.unwrap_or(0.0);
        let more = match last {
            // The counter starts anew when the driver is loaded anew; what it has since then is what was used.
            Some(last) if counter < last => counter,
            Some(last) => counter - last,
            None => counter,
        };
        self.total_joules = Some(total + more);
        self.counter_joules = Some(counter);
    }

    fn integrate(&mut self, watts: Option<f64>, at: Instant) {
        let Some(watts) = watts else { return };
        let total = self.total_joules.get_or_insert(0.0);
        if let Some((before, last)) = self.power {
            let step = at.saturating_duration_since(before);
            if step <= LONGEST_STEP {
                *total += (last + watts) / 2.0 * step.as_secs_f64();
            }
        }
        self.power = Some((at, watts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(joules: f64) -> Reading {
        Reading { energy_joules: Some(joules), power_watts: Some(100.0), ..Reading::default() }
    }

    fn power(watts: f64) -> Reading {
        Reading { power_watts: Some(watts), ..Reading::default() }
    }

    #[test]
    fn the_counter_is_followed_through_a_reload_of_the_driver() {
        let (mut meter, at) = (EnergyMeter::default(), Instant::now());
        assert_eq!(meter.feed(&counter(1_000.0), at), Some(1_000.0));
        assert_eq!(meter.feed(&counter(1_200.0), at), Some(1_200.0));
        assert_eq!(meter.feed(&power(100.0), at), Some(1_200.0));
        assert_eq!(meter.feed(&counter(50.0), at), Some(1_250.0));
    }

    #[test]
    fn without_a_counter_power_is_integrated_but_not_over_silence() {
        let (mut meter, at) = (EnergyMeter::default(), Instant::now());
        assert_eq!(meter.feed(&Reading::default(), at), None);
        assert_eq!(meter.feed(&power(100.0), at), Some(0.0));
        assert_eq!(meter.feed(&power(200.0), at + Duration::from_secs(2)), Some(300.0));
        assert_eq!(meter.feed(&power(200.0), at + Duration::from_secs(600)), Some(300.0));
        assert_eq!(meter.feed(&power(200.0), at + Duration::from_secs(601)), Some(500.0));
    }
}
