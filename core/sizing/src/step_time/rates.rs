//! How fast a class works through each kind of kernel.

use crate::calibration::TimeConstants;
use crate::{ClassSpec, JobSpec, Precision};

use super::program::{AttentionKernel, Program};
use super::work::{Load, Work};

/// Seconds that some kernels take, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seconds {
    /// Products and convolutions, without the part below.
    pub(super) products: f64,
    /// Attention.
    pub(super) attention: f64,
    /// Pointwise kernels.
    pub(super) pointwise: f64,
    /// The loss.
    pub(super) loss: f64,
    /// A model of unknown kernels.
    pub(super) unknown: f64,
    /// Reading weights, and filling and draining the device: what does not grow with the micro-batch.
    pub(super) fixed: f64,
}

impl Seconds {
    pub(super) fn total(&self) -> f64 {
        self.products + self.attention + self.pointwise + self.loss + self.unknown + self.fixed
    }
}

/// Effective rates of a class for one job and program.
pub(super) struct Rates<'a> {
    constants: &'a TimeConstants,
    /// FLOP/s of products.
    products: f64,
    /// FLOP/s of products that no program computes in 8 bits: output side, stored attention, models of unknown kernels.
    wide_products: f64,
    attention: f64,
    /// Bytes per second.
    bandwidth: f64,
    element_bytes: f64,
    cast_bytes: f64,
    /// Share of pointwise traffic and launches that is left.
    kept: f64,
    quantised: bool,
}

impl<'a> Rates<'a> {
    /// `None` when the class cannot compute the job's precision.
    pub(super) fn of(
        job: &JobSpec,
        class: &ClassSpec,
        program: &Program,
        work: &Work,
        constants: &'a TimeConstants,
    ) -> Option<Self> {
        let peak = class.peak.at(job.precision)?;
        let eight_bit = job.precision == Precision::Fp8Mixed;
        let wide = if eight_bit { class.peak.bf16.or(class.peak.fp16).unwrap_or(peak / 2.0) } else { peak };
        let share = constants.product_share(class);
        let attention = match program.attention {
            AttentionKernel::Native => 1.0,
            AttentionKernel::Fused | AttentionKernel::Stored => {
                (wide / TimeConstants::REFERENCE_PEAK).powf(-constants.attention_exponent.min(0.9))
            }
        };
        Some(Self {
            constants,
            products: share * peak,
            wide_products: share * wide,
            attention: constants.attention_efficiency * wide * attention,
            bandwidth: class.bandwidth_bytes_per_second.max(1.0),
            element_bytes: job.precision.working_bytes() as f64,
            cast_bytes: if eight_bit { constants.cast_bytes } else { 0.0 },
            kept: if program.compiled { constants.compiled.min(1.0) } else { 1.0 },
            quantised: work.quantised,
        })
    }

    /// Seconds of kernels of embedding and blocks.
    pub(super) fn body(&self, load: &Load) -> Seconds {
        self.seconds(load, self.products, self.cast_bytes)
    }

    /// Seconds of kernels of the output side.
    pub(super) fn head(&self, load: &Load) -> Seconds {
        self.seconds(load, self.wide_products, 0.0)
    }

    /// The constants that the rates follow from.
    pub(super) fn constants(&self) -> &'a TimeConstants {
        self.constants
    }

    /// Seconds of products that are computed in 16 bits at least.
    pub(super) fn wide_product_seconds(&self, flops: f64) -> f64 {
        flops / self.wide_products
    }

    /// Seconds in which products read so many bytes.
    pub(super) fn read_seconds(&self, bytes: f64) -> f64 {
        bytes / (self.constants.product_bandwidth * self.bandwidth)
    }

    /// Seconds in which a program that runs op by op launches them.
    pub(super) fn launch(&self, load: &Load) -> f64 {
        let kernels = load.kernels + load.unknown * self.constants.unknown_kernels;
        kernels * self.constants.launch_seconds * self.kept
    }

    /// `FLOPs/(η·peak) + bytes/(β·BW)`: operands are loaded and results stored at both ends of a product, where its matrix
    /// units rest, so that narrow products and high ridges lose by themselves.
    fn seconds(&self, load: &Load, rate: f64, cast_bytes: f64) -> Seconds {
        let c = self.constants;
        let product_bandwidth = c.product_bandwidth * self.bandwidth;
        let unpack = if self.quantised { c.quantised_base } else { 1.0 };
        let products = unpack * load.product_flops / rate
            + self.element_bytes * load.product_elements / product_bandwidth
            + cast_bytes * load.product_elements / self.bandwidth;
        let attention = load.attention_flops / self.attention
            + load.score_flops / self.wide_products
            + c.score_bytes * load.scores / self.bandwidth;
        let pointwise =
            self.kept * self.element_bytes * load.pointwise_elements / (c.pointwise_bandwidth * self.bandwidth);
        let loss = c.loss_bytes * load.logits / self.bandwidth;
        let unknown = together(
            load.unknown_flops / (c.unknown_efficiency * self.wide_products),
            c.unknown_passes * load.unknown_bytes / self.bandwidth,
            c.unknown_overlap,
        );
        // A kernel of unknown size fills and drains too; five launches hide one ramp of a known one.
        let kernels = load.kernels + load.unknown * c.unknown_kernels / 5.0;
        let fixed = load.weight_bytes / product_bandwidth + kernels * c.ramp_seconds * self.kept;
        Seconds { products, attention, pointwise, loss, unknown, fixed }
    }
}

/// `(a^(1+o) + b^(1+o))^(1/(1+o))`: from one after the other to the longer alone (Pollux, OSDI 2021, equation 9).
pub fn together(a: f64, b: f64, overlap: f64) -> f64 {
    let (long, short) = (a.max(b), a.min(b));
    if short <= 0.0 {
        return long;
    }
    let exponent = 1.0 + overlap.max(0.0);
    long * (1.0 + (short / long).powf(exponent)).powf(1.0 / exponent)
}
