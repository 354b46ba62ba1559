//! What the size model says of every way to run a job, before anything learned.
//!
//! It depends on the job and the classes alone, so that it is worth keeping ([`crate::Cache`]): sizing a job again with new
//! evidence corrects these numbers and computes none of them anew.

use std::sync::OnceLock;

use crate::calibration::Calibration;
use crate::candidates::{cuts, layouts, shapes};
use crate::memory::{Footprint, Tuning};
use crate::step_time::{Program, Run};
use crate::{Batch, ClassSpec, Flops, JobSpec, Layout, Memory, Profile, Recompute, Shape, StepTime};

/// Every way to run one job on some classes.
#[derive(Debug)]
pub(crate) struct Uncorrected {
    pub(crate) model: SizeModel,
    /// In the order of their names.
    pub(crate) classes: Vec<OfClass>,
}

/// The size model of one job, with what does not depend on layout summed up.
#[derive(Debug)]
pub(crate) struct SizeModel {
    profile: Profile,
    footprint: Footprint,
    /// Model FLOPs of one step.
    pub(crate) step_flops: f64,
}

/// The ways on one class.
#[derive(Debug)]
pub(crate) struct OfClass {
    pub(crate) class: ClassSpec,
    pub(crate) shapes: Vec<OfShape>,
}

/// The ways on one shape.
#[derive(Debug)]
pub(crate) struct OfShape {
    pub(crate) shape: Shape,
    pub(crate) layouts: Vec<Layout>,
    pub(crate) ways: Vec<Way>,
}

/// One way.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) layout: Layout,
    pub(crate) batch: Batch,
    pub(crate) memory: Memory,
    /// Computed once somebody asks: most ways that do not fit are never timed.
    step: OnceLock<StepTime>,
}

impl SizeModel {
    pub(crate) fn new(job: &JobSpec) -> Self {
        let profile = job.model.profile(job.sequence_length);
        let footprint = Footprint::of_profile(&profile, job, &Program::default(), Tuning::default());
        let step_flops = Flops::of_profile(&profile, job, Recompute::None).model * f64::from(job.global_batch);
        Self { profile, footprint, step_flops }
    }

    /// Device memory of a layout at a micro-batch, as [`Memory::of`] has it.
    pub(crate) fn memory(&self, layout: &Layout, micro_batch: u32) -> Memory {
        self.footprint.memory(layout, micro_batch, &Calibration::published().memory)
    }

    /// Time of a step, as [`StepTime::of`] has it.
    pub(crate) fn step(&self, run: Run<'_>) -> StepTime {
        StepTime::of_profile(&self.profile, run)
    }
}

impl Uncorrected {
    pub(crate) fn new(job: &JobSpec, classes: &[ClassSpec]) -> Self {
        let mut allowed: Vec<&ClassSpec> = classes.iter().filter(|class| job.allows(&class.name)).collect();
        allowed.sort_by(|a, b| a.name.cmp(&b.name));
        allowed.dedup_by(|a, b| a.name == b.name);
        let model = SizeModel::new(job);
        let classes = allowed.into_iter().map(|class| OfClass::new(job, class, &model)).collect();
        Self { model, classes }
    }
}

impl OfClass {
    fn new(job: &JobSpec, class: &ClassSpec, model: &SizeModel) -> Self {
        let computes = class.peak.at(job.precision).is_some();
        let shapes = if computes { shapes(job, class) } else { Vec::new() };
        Self { class: class.clone(), shapes: shapes.into_iter().map(|shape| OfShape::new(job, shape, model)).collect() }
    }
}

impl OfShape {
    fn new(job: &JobSpec, shape: Shape, model: &SizeModel) -> Self {
        let layouts = layouts(job, &shape);
        let ways = layouts.iter().flat_map(|layout| {
            cuts(job, layout.data).into_iter().map(|batch| Way {
                layout: *layout,
                batch,
                memory: model.memory(layout, batch.micro),
                step: OnceLock::new(),
            })
        });
        Self { ways: ways.collect(), shape, layouts }
    }
}

impl Way {
    /// Time of a step.
    pub(crate) fn step(&self, job: &JobSpec, class: &ClassSpec, shape: &Shape, model: &SizeModel) -> &StepTime {
        let Self { layout, batch, .. } = self;
        self.step.get_or_init(|| model.step(Run { job, class, shape, layout, batch }))
    }
}
