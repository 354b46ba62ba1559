//! One way to run a job, explained part by part.

use serde::Serialize;

use crate::calibration::Calibration;
use crate::memory::GIB;
use crate::{Batch, ClassSpec, Flops, JobSpec, Layout, Memory, Precision, Prediction, Shape, StepTime};

/// One number and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Derivation {
    /// What it is.
    pub quantity: &'static str,
    /// Its value with its unit.
    pub value: String,
    /// How it was computed.
    pub how: String,
}

/// What one way to run a job takes, before anything was observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Parameters in all.
    pub parameters: u64,
    /// Parameters that are trained.
    pub trained_parameters: u64,
    /// FLOPs of one sample.
    pub flops: Flops,
    /// Device memory by part, in bytes.
    pub memory: Memory,
    /// Step time by part, in seconds.
    pub step: StepTime,
    /// Both together as a menu would show them.
    pub predicted: Prediction,
    /// Where every number comes from.
    pub derivations: Vec<Derivation>,
}

/// Estimates one way to run a job.
pub fn estimate(job: &JobSpec, class: &ClassSpec, shape: &Shape, layout: &Layout, batch: &Batch) -> Estimate {
    let flops = Flops::of(job, layout.recompute);
    let memory = Memory::of(job, layout, batch.micro);
    let step = StepTime::of(job, class, shape, layout, batch);
    let mut estimate = Estimate {
        parameters: job.model.parameters(),
        trained_parameters: job.trained_parameters(),
        flops,
        memory,
        step,
        predicted: Prediction {
            device_memory_bytes: memory.total(),
            step_seconds: step.total(),
            sm_activity: step.sm_activity(),
            mfu: mfu(flops.model * f64::from(job.global_batch), job.precision, class, shape, step.total()),
        },
        derivations: Vec::new(),
    };
    estimate.derivations = derive(job, class, shape, layout, batch, &estimate);
    estimate
}

/// Model FLOPs utilization of a step of `step_flops` against the dense peak of the class, 0 where the precision has none.
pub(crate) fn mfu(step_flops: f64, precision: Precision, class: &ClassSpec, shape: &Shape, step_seconds: f64) -> f64 {
    match class.peak.at(precision) {
        Some(peak) if step_seconds.is_finite() && step_seconds > 0.0 => {
            step_flops / (f64::from(shape.gpus()) * peak * step_seconds)
        }
        _ => 0.0,
    }
}

fn derive(
    job: &JobSpec,
    class: &ClassSpec,
    shape: &Shape,
    layout: &Layout,
    batch: &Batch,
    estimate: &Estimate,
) -> Vec<Derivation> {
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB);
    let seconds = |seconds: f64| format!("{seconds:.4} s");
    let Estimate { parameters, trained_parameters, flops, memory, step, predicted, .. } = estimate;
    let peak = class.peak.at(job.precision).unwrap_or_default() / 1e12;
    let time = &Calibration::published().time;
    let row = |quantity, value, how| Derivation { quantity, value, how };
    let mut rows = vec![
        row("parameters", parameters.to_string(), "embedding + layers × (attention + feed-forward + norms)".to_owned()),
        row("trained parameters", trained_parameters.to_string(), format!("{:?}", job.method)),
        row(
            "forward FLOPs per sample",
            format!("{:.4e}", flops.forward),
            "s·(2·weights that multiply + 4·layers·s·heads·head_dim)".to_owned(),
        ),
        row("model FLOPs per sample", format!("{:.4e}", flops.model), "forward × 3; frozen base × 2".to_owned()),
        row(
            "executed FLOPs per sample",
            format!("{:.4e}", flops.executed),
            format!("recompute {:?}", layout.recompute),
        ),
    ];
    rows.extend(memory.derive(job, layout, batch.micro, &Calibration::published().memory));
    rows.extend([
        row("device memory", gib(predicted.device_memory_bytes), "sum of the above".to_owned()),
        row(
            "compute",
            seconds(step.compute),
            format!(
                "kernel by kernel the longer of FLOPs / (efficiency × {peak:.1} TFLOP/s) and bytes / bandwidth (roofline, \
                 Williams 2009); saturation {:.2}",
                step.saturation
            ),
        ),
        row(
            "communication",
            seconds(step.communication),
            format!(
                "rings over {} pods of {} devices (Thakur 2005) at {:.0} % of a link and {:.0} % of the network, less what \
                 compute hides",
                shape.pods,
                shape.gpus_per_pod,
                time.link_share * 100.0,
                time.network_share * 100.0
            ),
        ),
        row(
            "optimizer step",
            seconds(step.optimizer),
            format!("states cross the memory bus {:.1} times", time.optimizer_passes)
                + StepTime::optimizer_products(job.optimizer),
        ),
        row(
            "launch",
            seconds(step.launch),
            format!("{:.0} µs per kernel, where its work is shorter", time.launch_seconds * 1e6),
        ),
        row("bubble", seconds(step.bubble), format!("{} pipeline stages (arXiv 2104.04473)", layout.pipeline)),
        row("stall", seconds(step.stall), "input that is not there in time".to_owned()),
    ]);
    rows.extend(step.derive(job, layout));
    rows.extend([
        row("step", seconds(predicted.step_seconds), format!("accumulation {}", batch.accumulation)),
        row("SM activity", format!("{:.0} %", predicted.sm_activity * 100.0), "filled compute over step".to_owned()),
        row(
            "MFU",
            format!("{:.1} %", predicted.mfu * 100.0),
            "model FLOPs over devices × dense peak × step".to_owned(),
        ),
    ]);
    rows
}
