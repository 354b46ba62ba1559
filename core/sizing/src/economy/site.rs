//! What a building adds to what devices draw.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Figures of a site, declared by whoever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// What a node draws over what its accelerators draw, at least 1: processors, memory, fans and network make it 1.3 to
    /// 1.6 in use. A DGX A100 may draw 6.5 kW for 3.2 kW of accelerators, a DGX H100 10.2 kW for 5.6 kW.
    pub node_overhead: f64,
    /// What the meter shows over what nodes draw (power usage effectiveness), at least 1: about 1.1 where halls were built
    /// for it, 1.2 to 1.3 in good colocation, 1.58 the mean of the industry.
    pub pue: f64,
    /// Carbon of the electricity, in kg CO2 equivalent per kWh.
    pub carbon_kg_per_kwh: f64,
}

impl Site {
    /// Counts the accelerators' own draw alone, and no carbon.
    pub const DEVICES_ONLY: Self = Self { node_overhead: 1.0, pue: 1.0, carbon_kg_per_kwh: 0.0 };

    /// What the meter shows for each device that draws `watts`, in watts.
    pub fn watts_at_the_meter(&self, watts: f64) -> f64 {
        watts * self.node_overhead * self.pue
    }

    /// The energy of devices that draw `watts` each, for so many GPU-hours.
    pub fn energy(&self, watts: f64, gpu_hours: f64) -> Energy {
        let device_kwh = watts * gpu_hours / 1000.0;
        let node_kwh = device_kwh * self.node_overhead;
        let meter_kwh = node_kwh * self.pue;
        Energy { device_kwh, node_kwh, meter_kwh, carbon_kg: meter_kwh * self.carbon_kg_per_kwh }
    }
}

/// Energy at three places, each including the one before, and its carbon. Energies of parts of a run add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Drawn by accelerators, in kWh.
    pub device_kwh: f64,
    /// Drawn by nodes, in kWh.
    pub node_kwh: f64,
    /// At the meter of the site, in kWh.
    pub meter_kwh: f64,
    /// Carbon of what the meter shows, in kg CO2 equivalent.
    pub carbon_kg: f64,
}

impl Add for Energy {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            device_kwh: self.device_kwh + other.device_kwh,
            node_kwh: self.node_kwh + other.node_kwh,
            meter_kwh: self.meter_kwh + other.meter_kwh,
            carbon_kg: self.carbon_kg + other.carbon_kg,
        }
    }
}

impl Sum for Energy {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}
