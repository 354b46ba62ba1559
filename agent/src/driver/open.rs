//! Finds the driver and its devices.

use std::path::{Path, PathBuf};

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// The driver with at least one device.
#[derive(Debug)]
pub struct Driver {
    /// Kept until the process ends: a thread that hangs in the library can never give it back, and initialising it
    /// again and again is known to hang.
    pub(super) nvml: &'static Nvml,
    /// Version of the driver.
    pub version: Option<String>,
    /// The devices that it sees, in its order.
    pub devices: Vec<Identity>,
}

/// What does not change about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// UUID as the driver gives it.
    pub uuid: String,
    /// Index as the driver gives it.
    pub index: u32,
    /// Product.
    pub product: String,
    /// PCI bus id.
    pub pci_bus_id: Option<String>,
    /// Memory, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// UUIDs of its MIG instances when the driver was opened. Whoever cuts a device anew restarts what uses it.
    pub instances: Vec<String>,
}

/// There is no driver to read from.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The library is absent or does not start.
    #[error("failed to start driver library {library}")]
    Start {
        /// Path or name of the library.
        library: PathBuf,
        /// What it said.
        #[source]
        source: NvmlError,
    },
    /// The library does not tell its devices.
    #[error("failed to count devices")]
    Count(#[source] NvmlError),
    /// The library sees nothing. A node of GPUs without a GPU is a fault, not a free node.
    #[error("failed to find a device: the driver sees none")]
    NoDevices,
    /// No device says who it is.
    #[error("failed to identify any of {count} devices")]
    Identify {
        /// Devices that the driver counts.
        count: u32,
        /// What the first of them said.
        #[source]
        source: NvmlError,
    },
}

/// Starts the library and identifies its devices. Blocks, for ever where the driver hangs.
pub fn open(library: &Path) -> Result<Driver, OpenError> {
    let nvml = Nvml::builder()
        .lib_path(library.as_os_str())
        .init()
        .map_err(|source| OpenError::Start { library: library.to_owned(), source })?;
    let count = nvml.device_count().map_err(OpenError::Count)?;
    let mut devices = Vec::new();
    let mut refusal = None;
    for index in 0..count {
        match identify(&nvml, index) {
            Ok(identity) => devices.push(identity),
            Err(error) => {
                tracing::warn!(index, error = &error as &dyn std::error::Error, "a device cannot be identified");
                refusal.get_or_insert(error);
            }
        }
    }
    match refusal {
        _ if !devices.is_empty() => {}
        Some(source) => return Err(OpenError::Identify { count, source }),
        None => return Err(OpenError::NoDevices),
    }
    let version = nvml.sys_driver_version().ok();
    Ok(Driver { nvml: Box::leak(Box::new(nvml)), version, devices })
}

fn identify(nvml: &Nvml, index: u32) -> Result<Identity, NvmlError> {
    let device = nvml.device_by_index(index)?;
    Ok(Identity {
        uuid: device.uuid()?,
        index,
        product: device.name()?,
        pci_bus_id: device.pci_info().ok().map(|info| info.bus_id),
        memory_total_bytes: device.memory_info().ok().map(|memory| memory.total),
        instances: instances(&device),
    })
}

/// A device that cannot be cut refuses the count; one that is not cut has no handle at any index.
fn instances(device: &Device<'_>) -> Vec<String> {
    let most = device.mig_device_count().unwrap_or(0);
    (0..most).filter_map(|index| device.mig_device_by_index(index).ok()?.uuid().ok()).collect()
}
