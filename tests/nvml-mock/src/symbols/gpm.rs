//! Symbols of GPU performance monitoring.

use nvml_wrapper_sys::bindings::{
    NVML_GPM_METRICS_GET_VERSION, NVML_GPM_SUPPORT_VERSION, nvmlDevice_t, nvmlGpmMetricId_t,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_ANY_TENSOR_UTIL as TENSOR,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_DRAM_BW_UTIL as DRAM, nvmlGpmMetricId_t_NVML_GPM_METRIC_SM_UTIL as SM,
    nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t, nvmlReturn_t,
};

use super::put;
use crate::code::Code;
use crate::library;

/// What a sample handle points to. The values between two samples are those at the second.
#[derive(Default)]
struct Sample {
    sm: f64,
    tensor: f64,
    dram: f64,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, support: *mut nvmlGpmSupport_t) -> nvmlReturn_t {
    library::of_gpu("nvmlGpmQueryDeviceSupport", device, |gpu| {
        put(support, nvmlGpmSupport_t { version: NVML_GPM_SUPPORT_VERSION, isSupportedDevice: gpu.gpm.into() })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) -> nvmlReturn_t {
    library::of_system("nvmlGpmSampleAlloc", |_| {
        let fresh = Box::into_raw(Box::<Sample>::default());
        put(sample, fresh.cast()).inspect_err(|_| {
            // SAFETY: made just above and given to nobody.
            drop(unsafe { Box::from_raw(fresh) });
        })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> nvmlReturn_t {
    library::of_system("nvmlGpmSampleFree", |_| {
        if sample.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: nvml.h has the caller free a sample once, and only samples of nvmlGpmSampleAlloc.
        drop(unsafe { Box::from_raw(sample.cast::<Sample>()) });
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) -> nvmlReturn_t {
    library::of_gpu("nvmlGpmSampleGet", device, |gpu| {
        if !gpu.gpm {
            return Err(Code::NOT_SUPPORTED);
        }
        put(
            sample.cast::<Sample>(),
            Sample { sm: gpu.sm_activity, tensor: gpu.tensor_activity, dram: gpu.dram_activity },
        )
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    library::of_system("nvmlGpmMetricsGet", |_| {
        // SAFETY: looked at only when it is not null; nvml.h has the caller fill in all but the answers.
        let request = unsafe { request.as_mut() }.ok_or(Code::INVALID_ARGUMENT)?;
        if request.version != NVML_GPM_METRICS_GET_VERSION {
            return Err(Code::ARGUMENT_VERSION_MISMATCH);
        }
        // SAFETY: null, or a sample of nvmlGpmSampleAlloc that is not freed yet.
        let sample = unsafe { request.sample2.cast::<Sample>().as_ref() }.ok_or(Code::INVALID_ARGUMENT)?;
        let metrics = request.metrics.get_mut(..request.numMetrics as usize).ok_or(Code::INVALID_ARGUMENT)?;
        for metric in metrics {
            match share(sample, metric.metricId) {
                Some(share) => (metric.nvmlReturn, metric.value) = (Code::SUCCESS.0, share * 100.0),
                None => metric.nvmlReturn = Code::NOT_SUPPORTED.0,
            }
        }
        Ok(())
    })
}

fn share(sample: &Sample, metric: nvmlGpmMetricId_t) -> Option<f64> {
    match metric {
        SM => Some(sample.sm),
        TENSOR => Some(sample.tensor),
        DRAM => Some(sample.dram),
        _ => None,
    }
}
