//! What a class is to sizing.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use plimsoll_crds::AcceleratorClass;
use plimsoll_sizing::{ClassName, ClassSpec, LoadLine, PeakFlops};
use thiserror::Error;

use crate::quantity::{Amount, QuantityError};

/// Link of a class that names none: PCI Express 3.0 x16 as achieved, in bytes per second.
const DEFAULT_LINK: f64 = 12e9;

/// Network per device of a class that names none: 100 Gbit/s shared by eight, in bytes per second.
const DEFAULT_NETWORK: f64 = 1.5e9;

/// Why a class cannot be read.
#[derive(Debug, Error)]
pub enum ClassError {
    /// It has no name.
    #[error("failed to read an AcceleratorClass without a name")]
    Name,
    /// A figure is no quantity.
    #[error("failed to read spec.{field} of class {class}")]
    Figure {
        /// The class.
        class: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: QuantityError,
    },
}

/// What a class is to sizing, as `nodes` nodes of `gpus_per_node` devices.
///
/// # Errors
/// When a figure is no quantity.
pub fn class_spec(class: &AcceleratorClass, gpus_per_node: u32, nodes: u32) -> Result<ClassSpec, ClassError> {
    let name = class.metadata.name.clone().ok_or(ClassError::Name)?;
    let spec = &class.spec;
    let figure = |field, quantity: &Quantity| {
        Amount::try_from(quantity).map_err(|source| ClassError::Figure { class: name.clone(), field, source })
    };
    let optional =
        |field, quantity: &Option<Quantity>| quantity.as_ref().map(|quantity| figure(field, quantity)).transpose();
    let peak = |field, quantity: &Option<Quantity>| Ok(optional(field, quantity)?.map(Amount::as_f64));
    let line = spec.load_line.clone().unwrap_or_default();
    let share = |percent: Option<i32>, default: f64| percent.map_or(default, |percent| f64::from(percent) / 100.0);
    Ok(ClassSpec {
        memory_bytes: figure("memory", &spec.memory)?.ceil(),
        bandwidth_bytes_per_second: figure("bandwidthBytesPerSecond", &spec.bandwidth_bytes_per_second)?.as_f64(),
        peak: PeakFlops {
            fp32: peak("peakFlops.fp32", &spec.peak_flops.fp32)?,
            tf32: peak("peakFlops.tf32", &spec.peak_flops.tf32)?,
            fp16: peak("peakFlops.fp16", &spec.peak_flops.fp16)?,
            bf16: peak("peakFlops.bf16", &spec.peak_flops.bf16)?,
            fp8: peak("peakFlops.fp8", &spec.peak_flops.fp8)?,
        },
        link_bytes_per_second: optional("linkBytesPerSecond", &spec.link_bytes_per_second)?
            .map_or(DEFAULT_LINK, Amount::as_f64),
        network_bytes_per_second: optional("networkBytesPerSecond", &spec.network_bytes_per_second)?
            .map_or(DEFAULT_NETWORK, Amount::as_f64),
        watts: f64::from(spec.watts.unwrap_or_default()),
        price_per_hour: optional("pricePerHour", &spec.price_per_hour)?.filter(|a| a.is_positive()).map(Amount::as_f64),
        line: LoadLine {
            low_activity: share(line.low_activity_percent, LoadLine::DEFAULT.low_activity),
            memory: share(line.memory_percent, LoadLine::DEFAULT.memory),
        },
        gpus_per_node,
        nodes,
        name: ClassName::new(name.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_read_with_its_units() {
        let class: AcceleratorClass = serde_yaml::from_str(
            "
            apiVersion: plimsoll.dev/v1alpha1
            kind: AcceleratorClass
            metadata: {name: t4}
            spec:
              nodeSelector: {nvidia.com/gpu.product: Tesla-T4}
              resourceName: nvidia.com/gpu
              memory: 14950Mi
              bandwidthBytesPerSecond: 300G
              peakFlops: {fp32: 8100G, fp16: 65T}
              pricePerHour: 350m
              loadLine: {lowActivityPercent: 50}",
        )
        .expect("a class");
        let t4 = class_spec(&class, 4, 3).expect("readable");
        assert_eq!((t4.memory_bytes, t4.gpus()), (14_950 << 20, 12));
        assert_eq!((t4.peak.fp16, t4.peak.bf16), (Some(65e12), None));
        assert_eq!((t4.line.low_activity, t4.line.memory), (0.5, 0.92));
        assert_eq!(t4.price_per_hour, Some(0.35));
        assert_eq!(t4.link_bytes_per_second, 12e9);
    }
}
