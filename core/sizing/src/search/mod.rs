//! Every way to run a job that is worth knowing, as predicted before anything was observed.
//!
//! For each class and count of devices: parallel degrees by how many devices hold one copy of the model, up to eight times
//! as many as the fewest that fit (more only costs communication); what is shared out and computed again; cuts of the
//! batch. Of all these only the front is kept, the ways that no other one is better than (see [`front`]). All that a job
//! and its classes alone decide, so that sizing a job again with new evidence corrects these numbers and computes none of
//! them anew.

mod cuts;
mod degrees;
mod front;
mod shapes;

use std::collections::BTreeMap;

use crate::calibration::Calibration;
use crate::learned::MEASURED_BOUNDS;
use crate::memory::{Footprint, Tuning};
use crate::step_time::{Program, Run, Sample, Speed};
use crate::{Batch, ClassSpec, Flops, JobSpec, Layout, Memory, Model, Offload, Profile, Recompute, Shape, StepTime};

pub(crate) use front::simplicity;

use front::Front;

/// How many times as many devices may hold a copy of the model as the fewest that fit it. Evidence may say that it takes up
/// to four times the memory; and a copy on more devices may do without recomputation.
const COPIES: u32 = 8;

/// How many times what it really takes a prediction of device memory may say where kernels are known: published peaks lie
/// within a third of it.
const OVERSTATED: f64 = 2.0;

/// The same for activations that were declared by hand.
const DECLARED: f64 = 1.0 / MEASURED_BOUNDS.0;

/// Every way to run one job on some classes.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) model: SizeModel,
    /// In the order of their names.
    pub(crate) classes: Vec<OfClass>,
}

/// The size model of one job, with what does not depend on layout summed up.
#[derive(Debug)]
pub(crate) struct SizeModel {
    profile: Profile,
    footprint: Footprint,
    /// Work of one sample by parallel degrees.
    samples: BTreeMap<Degrees, Sample>,
    /// Model FLOPs of one step.
    pub(crate) step_flops: f64,
    /// Parameters that receive gradients.
    pub(crate) trained_parameters: f64,
}

/// What one sample's work depends on.
type Degrees = (u32, u32, u32, u32, bool);

fn of_layout(layout: &Layout) -> Degrees {
    (layout.tensor, layout.pipeline, layout.context, layout.expert, layout.sequence_parallel)
}

/// The ways on one class.
#[derive(Debug)]
pub(crate) struct OfClass {
    pub(crate) class: ClassSpec,
    /// The smallest first.
    pub(crate) shapes: Vec<OfShape>,
}

/// The ways on one shape.
#[derive(Debug)]
pub(crate) struct OfShape {
    pub(crate) shape: Shape,
    /// Data-parallel ranks of the first layout; `None` where no layout goes on the shape.
    pub(crate) ranks: Option<u32>,
    /// The front, by micro-batch; empty where the batch does not divide.
    pub(crate) ways: Vec<Way>,
}

/// One way: a layout and a cut of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) layout: Layout,
    pub(crate) batch: Batch,
    pub(crate) needs: Needs,
    pub(crate) step: Timed,
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
    fn new(job: &JobSpec) -> Self {
        let profile = job.model.profile(job.sequence_length);
        let footprint = Footprint::of_profile(&profile, job, &Program::default(), Tuning::default());
        let step_flops = Flops::of_profile(&profile, job, Recompute::None).model * f64::from(job.global_batch);
        let trained_parameters = job.trained_parameters() as f64;
        Self { profile, footprint, samples: BTreeMap::new(), step_flops, trained_parameters }
    }

    /// Device memory of a layout at a micro-batch, as [`Memory::of`] has it.
    pub(crate) fn needs(&self, layout: &Layout, micro_batch: u32) -> Needs {
        Needs::from(&self.footprint.memory(layout, micro_batch, &Calibration::published().memory))
    }

    /// Time of a step, as [`StepTime::of`] has it.
    pub(crate) fn step(&self, run: Run<'_>) -> Timed {
        match self.samples.get(&of_layout(run.layout)) {
            Some(sample) => Timed::from(&sample.step(run)),
            None => Timed::from(&self.sample(run.job, run.layout).step(run)),
        }
    }

    /// A way that the search passed over.
    pub(crate) fn way(&self, run: Run<'_>) -> Way {
        let needs = self.needs(run.layout, run.batch.micro);
        Way { layout: *run.layout, batch: *run.batch, needs, step: self.step(run) }
    }

    fn sample(&self, job: &JobSpec, layout: &Layout) -> Sample {
        Sample::new(&self.profile, job, layout, &Program::default())
    }
}

impl Search {
    pub(crate) fn new(job: &JobSpec, classes: &[ClassSpec]) -> Self {
        let mut allowed: Vec<&ClassSpec> = classes.iter().filter(|class| job.allows(&class.name)).collect();
        allowed.sort_by(|a, b| a.name.cmp(&b.name));
        allowed.dedup_by(|a, b| a.name == b.name);
        let mut model = SizeModel::new(job);
        // Memory knows devices by their number alone: classes with equal nodes share it.
        let mut spreads: BTreeMap<(u32, u32), Vec<Spread>> = BTreeMap::new();
        let mut found = Vec::new();
        for class in allowed {
            let computes = class.peak.at(job.precision).is_some();
            let shapes = if computes { shapes::shapes(job, class) } else { Vec::new() };
            let speed = Speed::of(job, class);
            let mut of_class = OfClass { class: class.clone(), shapes: Vec::new() };
            for shape in shapes {
                let key = (shape.pods, shape.gpus_per_pod);
                let spreads = spreads.entry(key).or_insert_with(|| Spread::all(job, &shape, &mut model));
                of_class.shapes.push(OfShape::new((job, class, &speed), shape, spreads, &model));
            }
            found.push(of_class);
        }
        Self { model, classes: found }
    }

    /// Ways of all classes and shapes.
    pub(crate) fn ways(&self) -> usize {
        self.classes.iter().flat_map(|of_class| &of_class.shapes).map(|of_shape| of_shape.ways.len()).sum()
    }
}

/// One choice of parallel degrees on a shape, with the memory of all that may be varied within it.
struct Spread {
    degrees: Layout,
    sample: Sample,
    plans: Vec<Plan>,
}

/// One layout with every cut of the batch, the largest micro-batch first: memory never rises along it.
struct Plan {
    layout: Layout,
    cuts: Vec<(Batch, Needs)>,
}

impl Spread {
    fn all(job: &JobSpec, shape: &Shape, model: &mut SizeModel) -> Vec<Self> {
        let mut spreads = Vec::new();
        for degrees in degrees::degrees(job, shape) {
            let sample = match model.samples.get(&of_layout(&degrees)) {
                Some(sample) => sample.clone(),
                None => model.sample(job, &degrees),
            };
            model.samples.insert(of_layout(&degrees), sample.clone());
            let cuts = cuts::cuts(job, &degrees);
            let plans = degrees::options(job, &degrees).into_iter().map(|layout| Plan::new(layout, &cuts, model));
            spreads.push(Self { plans: plans.collect(), degrees, sample });
        }
        spreads
    }

    /// The same with states on the host.
    fn offloaded(&self, model: &SizeModel) -> Vec<Plan> {
        let with = |plan: &Plan, offload| {
            let cuts: Vec<Batch> = plan.cuts.iter().map(|(batch, _)| *batch).collect();
            Plan::new(Layout { offload, ..plan.layout }, &cuts, model)
        };
        let both = [Offload::Optimizer, Offload::All];
        self.plans.iter().flat_map(|plan| both.map(|offload| with(plan, offload))).collect()
    }
}

impl Plan {
    fn new(layout: Layout, cuts: &[Batch], model: &SizeModel) -> Self {
        let needs = |batch: &Batch| (*batch, model.needs(&layout, batch.micro));
        Self { layout, cuts: cuts.iter().map(needs).collect() }
    }

    fn fits(&self, class: &ClassSpec) -> bool {
        self.cuts.last().is_some_and(|(_, needs)| needs.total <= class.memory_line_bytes())
    }
}

/// Predictions above this many bytes cannot be corrected to what fits.
fn most_bytes(job: &JobSpec, class: &ClassSpec) -> u64 {
    let overstated = if matches!(job.model, Model::Custom(_)) { DECLARED } else { OVERSTATED };
    (class.memory_bytes as f64 * overstated) as u64
}

impl OfShape {
    fn new(
        (job, class, speed): (&JobSpec, &ClassSpec, &Speed),
        shape: Shape,
        spreads: &[Spread],
        model: &SizeModel,
    ) -> Self {
        let time = |sample: &Sample, layout: &Layout, batch: &Batch| {
            Timed::from(&sample.step_at(Run { job, class, shape: &shape, layout, batch }, speed))
        };
        let mut front = Front::new(most_bytes(job, class));
        let mut most = u32::MAX;
        for Spread { degrees, sample, plans } in spreads {
            let devices = degrees::copy(degrees);
            if devices > most {
                break;
            }
            if most == u32::MAX && plans.iter().any(|plan| plan.fits(class)) {
                most = devices.saturating_mul(COPIES);
            }
            front.add(plans, |layout, batch| time(sample, layout, batch));
        }
        if most == u32::MAX && job.accepts.offload {
            for spread in spreads {
                front.add(&spread.offloaded(model), |layout, batch| time(&spread.sample, layout, batch));
            }
        }
        Self { ranks: spreads.first().map(|spread| spread.degrees.data), ways: front.into_ways(), shape }
    }
}

/// Whether the program may be run so on a shape: in a layout it can be told or declares, and a cut of its batch.
pub(crate) fn allows(job: &JobSpec, shape: &Shape, layout: &Layout, batch: &Batch) -> bool {
    let offloads = job.accepts.offload || layout.offload == job.declared.offload;
    let plain = Layout { offload: if job.accepts.offload { Offload::None } else { layout.offload }, ..*layout };
    let known = || degrees::degrees(job, shape).iter().any(|degrees| degrees::options(job, degrees).contains(&plain));
    offloads && known() && cuts::cuts(job, layout).contains(batch)
}
