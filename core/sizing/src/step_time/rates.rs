//! How fast a class works through each kind of kernel.

use crate::calibration::TimeConstants;
use crate::{ClassSpec, JobSpec};

use super::program::Program;
use super::work::{Load, Work};

/// Seconds that one pass of some kernels takes, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seconds {
    /// Products and convolutions, without the part below.
    pub(super) products: f64,
    /// Attention.
    pub(super) attention: f64,
    /// Pointwise kernels.
    pub(super) pointwise: f64,
    /// The loss, forward and backward together.
    pub(super) loss: f64,
    /// A model of unknown kernels.
    pub(super) unknown: f64,
    /// Reading weights, and filling and draining the device: what does not grow with the micro-batch.
    pub(super) fixed: f64,
}

impl Seconds {
    pub(super) fn pass(&self) -> f64 {
        self.products + self.attention + self.pointwise + self.unknown + self.fixed
    }
}

/// Effective rates of a class for one job and program.
pub(super) struct Rates<'a> {
    constants: &'a TimeConstants,
    /// FLOP/s of products, and of attention and output products in the job's own precision.
    products: f64,
    own_products: f64,
    attention: f64,
    peak: f64,
    /// Bytes per second.
    bandwidth: f64,
    element_bytes: f64,
    cast_bytes: f64,
    /// Share of pointwise traffic and launches that is left.
    kept: f64,
    /// Bytes per product element relative to the job's precision: fp8 operands take half.
    stored: bool,
}

impl<'a> Rates<'a> {
    /// `None` when the class cannot compute the job's precision.
    pub(super) fn of(
        job: &JobSpec,
        class: &ClassSpec,
        program: &Program,
        constants: &'a TimeConstants,
    ) -> Option<Self> {
        let peak = class.peak.at(job.precision)?;
        let eight_bit = class.peak.fp8.filter(|peak| program.eight_bit && *peak > 0.0);
        let share = product_share(class, constants);
        let reference = TimeConstants::REFERENCE_PEAK;
        Some(Self {
            constants,
            products: share * eight_bit.unwrap_or(peak),
            own_products: share * peak,
            attention: constants.attention_efficiency
                * peak
                * (peak / reference).powf(-constants.attention_exponent.min(0.9)),
            peak,
            bandwidth: class.bandwidth_bytes_per_second.max(1.0),
            element_bytes: job.precision.working_bytes() as f64,
            cast_bytes: if eight_bit.is_some() { constants.cast_bytes } else { 0.0 },
            kept: if program.compiled { constants.compiled.min(1.0) } else { 1.0 },
            stored: program.attention == super::AttentionKernel::Stored,
        })
    }

    /// Forward seconds of the body.
    pub(super) fn body(&self, work: &Work) -> Seconds {
        self.seconds(&work.body, self.products, self.cast_bytes, work.quantised)
    }

    /// Forward seconds of the output side, which no program computes in 8 bits; its loss counts both passes.
    pub(super) fn head(&self, work: &Work) -> Seconds {
        self.seconds(&work.head, self.own_products, 0.0, work.quantised)
    }

    /// Backward passes of what took `forward`: twice for pointwise kernels and trained products, once for products with
    /// frozen weights; fused attention computes its scores again, 2.5 times (arXiv 2205.14135, appendix B).
    pub(super) fn backward(&self, forward: &Seconds, work: &Work) -> f64 {
        let attention = if self.stored { 2.0 } else { 2.5 };
        work.backward_products * (forward.products + forward.fixed)
            + attention * forward.attention
            + 2.0 * (forward.pointwise + forward.unknown)
    }

    /// Seconds in which a program that runs op by op launches one pass.
    pub(super) fn launch(&self, load: &Load) -> f64 {
        let kernels = load.kernels + load.unknown * self.constants.unknown_kernels;
        kernels * self.constants.launch_seconds * self.kept
    }

    /// `FLOPs/(η·peak) + bytes/(β·BW)`: operands are loaded and results stored at both ends of a product, where its matrix
    /// units rest, so that narrow products and high ridges lose by themselves.
    fn seconds(&self, load: &Load, rate: f64, cast_bytes: f64, quantised: bool) -> Seconds {
        let c = self.constants;
        let product_bandwidth = c.product_bandwidth * self.bandwidth;
        let unpack = if quantised { c.quantised_base } else { 1.0 };
        let products = unpack * load.product_flops / rate
            + self.element_bytes * load.product_elements / product_bandwidth
            + cast_bytes * load.product_elements / self.bandwidth;
        let attention = load.attention_flops / self.attention
            + load.score_flops / self.own_products
            + c.score_bytes * load.scores / self.bandwidth;
        let pointwise =
            self.kept * self.element_bytes * load.pointwise_elements / (c.pointwise_bandwidth * self.bandwidth);
        let loss = c.loss_bytes * load.logits / self.bandwidth;
        let unknown = together(
            load.unknown_flops / (c.unknown_efficiency * self.peak),
            c.unknown_passes * load.unknown_bytes / self.bandwidth,
            c.unknown_overlap,
        );
        // A kernel of unknown size fills and drains too; five launches hide one ramp of a known one.
        let kernels = load.kernels + load.unknown * c.unknown_kernels / 5.0;
        let fixed = load.weight_bytes / product_bandwidth + kernels * c.ramp_seconds * self.kept;
        Seconds { products, attention, pointwise, loss, unknown, fixed }
    }
}

/// Share of peak that products reach: devices with less power per FLOP clock down under load.
fn product_share(class: &ClassSpec, constants: &TimeConstants) -> f64 {
    let most = constants.product_efficiency_most.min(1.0);
    let matrix = [class.peak.bf16, class.peak.fp16].into_iter().flatten().fold(0.0, f64::max);
    if class.watts <= 0.0 || matrix <= 0.0 {
        return constants.product_efficiency.min(most);
    }
    let density = matrix / class.watts / TimeConstants::REFERENCE_DENSITY;
    (constants.product_efficiency * density.powf(-constants.density_exponent.min(0.9))).min(most)
}

/// `(a^(1+o) + b^(1+o))^(1/(1+o))`: from one after the other to the longer alone (Pollux, OSDI 2021, equation 9).
pub(super) fn together(a: f64, b: f64, overlap: f64) -> f64 {
    let (long, short) = (a.max(b), a.min(b));
    if short <= 0.0 {
        return long;
    }
    let exponent = 1.0 + overlap.max(0.0);
    long * (1.0 + (short / long).powf(exponent)).powf(1.0 / exponent)
}
