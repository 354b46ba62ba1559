//! What one look at one device says.

use plimsoll_crds::accelerator_node::SmSignal;

/// What one look at one device says. An absent value is one that the device cannot tell; an idle device says 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Share of time in which a kernel was resident (duty cycle), 0 to 1.
    pub busy: Option<f64>,
    /// SM activity.
    pub sm: Option<SmActivity>,
    /// Tensor core activity, 0 to 1.
    pub tensor: Option<f64>,
    /// Memory bandwidth in use, 0 to 1.
    pub dram: Option<f64>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Power, in watts.
    pub power_watts: Option<f64>,
    /// The device's own energy counter, in joules.
    pub energy_joules: Option<f64>,
    /// Temperature, in degrees Celsius.
    pub temperature_celsius: Option<u32>,
    /// What holds the clocks down.
    pub throttle: Option<Throttle>,
}

/// SM activity and where it is from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmActivity {
    /// The activity, 0 to 1.
    pub ratio: f64,
    /// Where it is from.
    pub signal: SmSignal,
}

/// Memory of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In use, in bytes.
    pub used_bytes: u64,
    /// There is, in bytes.
    pub total_bytes: u64,
}

/// What holds a device's clocks down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// The power limit; normal under full load.
    pub power_cap: bool,
    /// Heat.
    pub thermal: bool,
    /// The power supply.
    pub power_brake: bool,
}

impl Throttle {
    /// The reasons by name, each with whether it holds.
    #[must_use]
    pub fn reasons(self) -> [(&'static str, bool); 3] {
        let Self { power_cap, thermal, power_brake } = self;
        [("power_cap", power_cap), ("thermal", thermal), ("power_brake", power_brake)]
    }
}
