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
    pub(crate) plans: Vec<Plan>,
}

/// The ways to run one layout.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    /// The largest micro-batch first.
    pub(crate) ways: Vec<Way>,
}

/// One way: a cut of the batch.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) batch: Batch,
    pub(crate) needs: Needs,
    /// Computed once somebody asks: most ways that do not fit are never timed.
    step: OnceLock<Timed>,
}

/// Device memory as corrections see it, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    /// States and buffers.
    pub(crate) fixed: f64,
    /// What grows with the micro-batch.
    pub(crate) growing: f64,
    pub(crate) context: u64,
    pub(crate) total: u64,
}

/// A step as corrections see it, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(crate) total: f64,
    pub(crate) work: f64,
    pub(crate) communication: f64,
    pub(crate) unfilled: f64,
    /// 0 to 1.
    pub(crate) sm_activity: f64,
}

impl From<&Memory> for Needs {
    fn from(memory: &Memory) -> Self {
        let Memory { context, .. } = *memory;
        Self { fixed: memory.fixed(), growing: memory.growing(), context, total: memory.total() }
    }
}

impl From<&StepTime> for Timed {
    fn from(step: &StepTime) -> Self {
        Self {
            total: step.total(),
            work: step.work(),
            communication: step.communication,
            unfilled: step.unfilled(),
            sm_activity: step.sm_activity(),
        }
    }
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
    pub(crate) fn step(&self, run: Run<'_>) -> Timed {
        Timed::from(&StepTime::of_profile(&self.profile, run))
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
        let plan = |layout: Layout| {
            let way = |batch: Batch| Way {
                batch,
                needs: Needs::from(&model.memory(&layout, batch.micro)),
                step: OnceLock::new(),
            };
            Plan { layout, ways: cuts(job, layout.data).into_iter().map(way).collect() }
        };
        Self { plans: layouts(job, &shape).into_iter().map(plan).collect(), shape }
    }
}

impl Way {
    /// Time of a step.
    pub(crate) fn step(&self, model: &SizeModel, run: Run<'_>) -> &Timed {
        self.step.get_or_init(|| model.step(run))
    }
}
