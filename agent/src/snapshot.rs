//! What the agent knows at one moment; scrapes and status are made of it, never of the driver.

use std::sync::Arc;
use std::time::Instant;

use plimsoll_crds::accelerator_node::Health;

use crate::attribution::Attribution;
use crate::driver::{Identity, Reading};
use crate::window::Summary;

/// What the agent knows at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When that was.
    pub taken: Instant,
    /// The driver.
    pub driver: DriverState,
    /// The devices, in the driver's order.
    pub devices: Vec<DeviceSnapshot>,
    /// Who holds what.
    pub attribution: Arc<Attribution>,
}

/// What is known of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverState {
    /// The first look is not over.
    Starting,
    /// There is none, or it sees no device.
    Missing,
    /// It works.
    Present {
        /// Its version.
        version: Option<String>,
    },
}

/// What is known of one device.
#[derive(Clone, Debug)]
pub struct DeviceSnapshot {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Whether it works.
    pub health: Health,
    /// The last reading and when it was taken, however long ago.
    pub latest: Option<(Instant, Reading)>,
    /// Energy so far, in joules.
    pub energy_total_joules: Option<f64>,
    /// Seconds that each reason held the clocks down, since the agent started.
    pub throttled_seconds: Option<[(&'static str, f64); 3]>,
    /// The current window.
    pub window: Option<Summary>,
}

impl Snapshot {
    /// Nothing known yet.
    #[must_use]
    pub fn starting(now: Instant) -> Self {
        Self { taken: now, driver: DriverState::Starting, devices: Vec::new(), attribution: Arc::default() }
    }
}

impl DeviceSnapshot {
    /// The last reading while the device works; what a failed or silent device once said is no reading.
    #[must_use]
    pub fn reading(&self) -> Option<&Reading> {
        let (_, reading) = self.latest.as_ref()?;
        (self.health == Health::Healthy).then_some(reading)
    }
}
