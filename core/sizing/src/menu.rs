//! Builds the menu: looks at every way to run a job, keeps what fits and ranks it.

use crate::estimate::mfu;
use crate::learned::{Blame, Expected, MemoryCorrection, StepCorrection, StepsAt, StepsOf};
use crate::memory::GIB;
use crate::rank::rank;
use crate::step_time::Run;
use crate::uncorrected::{OfShape, Plan, SizeModel, Uncorrected, Way};
use crate::{
    Batch, Candidate, ClassSpec, Current, Evidence, Fit, JobSpec, Layout, Menu, Prediction, Rejection, RejectionReason,
    Shape,
};

/// Most candidates on a menu.
pub const CANDIDATES: usize = 40;

/// Most rejections of one class.
pub const REJECTIONS: usize = 4;

/// Share of usable memory up to which a prediction may be offered when nothing is below the memory line.
const TIGHT: f64 = 0.97;

/// Steps within this share of the shortest count as equally short, so that the simpler way is taken.
const SAME_STEP: f64 = 0.01;

/// A running job's cut is kept unless another one of its layout gains at least this share of the step; that may go to
/// running pods.
const WORTH_A_CUT: f64 = 0.03;

/// The same for another layout, which always takes a restart.
const WORTH_A_LAYOUT: f64 = 0.10;

/// Every way to run a job that fits, the most preferred first, and what was left out and why.
///
/// The result does not depend on the order of `classes`. `current` is what runs now, if anything does; with `evidence`
/// the learned rules apply (see the crate's documentation on ranking).
pub fn menu(job: &JobSpec, classes: &[ClassSpec], evidence: &Evidence, current: Option<&Current>) -> Menu {
    corrected(job, classes, &Uncorrected::new(job, classes), evidence, current)
}

/// The menu from what was predicted of the job on the classes.
pub(crate) fn corrected(
    job: &JobSpec,
    classes: &[ClassSpec],
    uncorrected: &Uncorrected,
    evidence: &Evidence,
    current: Option<&Current>,
) -> Menu {
    let model = &uncorrected.model;
    let steps = StepCorrection::learn(job, classes, model, evidence);
    let look = |blame| {
        let mut looked = Menu::default();
        for of_class in &uncorrected.classes {
            let memory = MemoryCorrection::learn(model, &of_class.class.name, classes, evidence, blame);
            let class = &of_class.class;
            let line = class.memory_line_bytes();
            let look = Look {
                job,
                class,
                model,
                line,
                most: (class.memory_bytes as f64 * TIGHT).max(line as f64),
                smooth: memory.is_smooth(),
                memory: &memory,
                steps: steps.of(class),
                current,
            };
            let at_class = look.at_class(&of_class.shapes);
            looked.candidates.extend(at_class.candidates);
            looked.rejected.extend(at_class.rejected);
        }
        looked
    };
    let mut looked = look(Blame::Everything);
    if looked.candidates.is_empty() && !evidence.memory.is_empty() {
        looked = look(Blame::Activations);
    }
    let Menu { mut candidates, mut rejected } = looked;
    if candidates.iter().any(|candidate| candidate.fit == Fit::Fits) {
        candidates.retain(|candidate| candidate.fit == Fit::Fits);
    }
    let allowed: Vec<&ClassSpec> = uncorrected.classes.iter().map(|of_class| &of_class.class).collect();
    let ranked = rank(job, &allowed, &steps, current, candidates);
    rejected.extend(ranked.rejected);
    rejected.sort_by(|a, b| (&a.class, a.reason, a.gpus).cmp(&(&b.class, b.reason, b.gpus)));
    let mut menu = Menu { candidates: ranked.candidates, rejected: Vec::new() };
    menu.candidates.truncate(CANDIDATES);
    for rejection in rejected {
        if menu.rejected.iter().filter(|known| known.class == rejection.class).count() < REJECTIONS {
            menu.rejected.push(rejection);
        }
    }
    menu
}

/// One class as it is looked at.
struct Look<'a> {
    job: &'a JobSpec,
    class: &'a ClassSpec,
    model: &'a SizeModel,
    /// The most that a plan may fill, in bytes.
    line: u64,
    /// The most that may be offered at all, in bytes.
    most: f64,
    memory: &'a MemoryCorrection,
    /// Whether a smaller micro-batch of a layout never needs more.
    smooth: bool,
    steps: StepsOf<'a>,
    current: Option<&'a Current>,
}

/// A way that fits, corrected.
#[derive(Clone, Copy)]
struct Offer<'a> {
    layout: &'a Layout,
    batch: &'a Batch,
    bytes: u64,
    fit: Fit,
    expected: Expected,
}

/// The verdict on one size.
enum Verdict<'a> {
    Offer(Offer<'a>),
    TooLarge { bytes: u64 },
    RanOut { ran: u32 },
}

impl<'a> Look<'a> {
    fn at_class(&self, shapes: &'a [OfShape]) -> Menu {
        let Self { job, class, .. } = self;
        let mut menu = Menu::default();
        let mut reject = Rejections::new(class);
        if class.peak.at(job.precision).is_none() {
            let message = || format!("{} cannot compute {:?}", class.name, job.precision);
            reject.note(0, RejectionReason::Precision, message);
            return reject.into_menu(menu);
        }
        if shapes.is_empty() {
            let message = || {
                format!(
                    "no count from {} to {} can be laid out on {} nodes of {} GPUs",
                    job.min_gpus, job.max_gpus, class.nodes, class.gpus_per_node
                )
            };
            reject.note(job.min_gpus, RejectionReason::OutsideLimits, message);
        }
        // The largest first: of each reason the rejection with the most devices is kept.
        let mut offers = Vec::new();
        for of_shape in shapes.iter().rev() {
            let [first, spare] = self.at_shape(of_shape, &mut offers, &mut reject);
            menu.candidates.extend(spare.into_iter().chain(first));
        }
        menu.candidates.reverse();
        reject.into_menu(menu)
    }

    /// The one or two best ways to run on a shape: the shortest step, and one that takes clearly less memory.
    /// `offers` is room to work in.
    fn at_shape(
        &self,
        of_shape: &'a OfShape,
        offers: &mut Vec<Offer<'a>>,
        reject: &mut Rejections<'_>,
    ) -> [Option<Candidate>; 2] {
        let OfShape { shape, plans } = of_shape;
        let Some(first) = plans.first() else {
            let message = || format!("{} GPUs do not divide into the declared parallel degrees", shape.gpus());
            reject.note(shape.gpus(), RejectionReason::OutsideLimits, message);
            return [None, None];
        };
        let steps = self.steps.at(shape);
        offers.clear();
        let mut fits = false;
        let mut smallest: Option<(u64, &Layout, u32)> = None;
        let mut ran_out: Option<(u32, u32)> = None;
        for Plan { layout, ways } in plans {
            for way in self.may_fit(layout, ways) {
                let micro = way.batch.micro;
                match self.at_cut(shape, layout, way, &steps) {
                    // With one that fits, those that are tight are out.
                    Verdict::Offer(offer) if fits && offer.fit != Fit::Fits => {}
                    Verdict::Offer(offer) => {
                        if !fits && offer.fit == Fit::Fits {
                            fits = true;
                            offers.clear();
                        }
                        offers.push(offer);
                    }
                    Verdict::TooLarge { bytes } => {
                        if smallest.is_none_or(|(least, ..)| bytes < least) {
                            smallest = Some((bytes, layout, micro));
                        }
                    }
                    Verdict::RanOut { ran } => {
                        if ran_out.is_none_or(|(least, _)| micro < least) {
                            ran_out = Some((micro, ran));
                        }
                    }
                }
            }
        }
        if let Some((micro, ran)) = ran_out {
            let message = || {
                format!(
                    "micro-batch {micro} on {} GPUs is not tried: micro-batch {ran} ran out of device memory before",
                    shape.gpus()
                )
            };
            reject.note(shape.gpus(), RejectionReason::RanOutOfMemory, message);
        }
        if plans.iter().all(|plan| plan.ways.is_empty()) {
            let message = || {
                format!(
                    "a global batch of {} does not divide over {} ranks{}",
                    self.job.global_batch,
                    first.layout.data,
                    self.as_declared()
                )
            };
            reject.note(shape.gpus(), RejectionReason::BatchDoesNotDivide, message);
        } else if offers.is_empty()
            && let Some((bytes, layout, micro)) = smallest
        {
            let message = || self.too_large(shape, layout, micro, bytes);
            reject.note(shape.gpus(), RejectionReason::DeviceMemory, message);
        }
        self.best(shape, offers)
    }

    /// The ways of a layout that may fit, and the smallest of those that do not: what a smaller micro-batch is too large
    /// for, a larger one is too.
    fn may_fit(&self, layout: &Layout, ways: &'a [Way]) -> &'a [Way] {
        if !self.smooth {
            return ways;
        }
        let too_large = |way: &Way| self.memory.apply(layout, way.batch.micro, &way.needs) as f64 > self.most;
        &ways[ways.partition_point(too_large).saturating_sub(1)..]
    }

    fn at_cut(&self, shape: &Shape, layout: &'a Layout, way: &'a Way, steps: &StepsAt<'_>) -> Verdict<'a> {
        let Self { job, class, model, memory, .. } = self;
        let Way { batch, needs, .. } = way;
        if !self.smooth
            && let Some(ran) = memory.forbids(layout, batch.micro, needs)
        {
            return Verdict::RanOut { ran };
        }
        let bytes = memory.apply(layout, batch.micro, needs);
        let fit = if bytes <= self.line {
            Fit::Fits
        } else if bytes as f64 <= self.most {
            Fit::Tight
        } else {
            return Verdict::TooLarge { bytes };
        };
        let timed = || *way.step(model, Run { job, class, shape, layout, batch });
        Verdict::Offer(Offer { layout, batch, bytes, fit, expected: steps.expect(layout, batch, timed) })
    }

    fn best(&self, shape: &Shape, offers: &[Offer<'a>]) -> [Option<Candidate>; 2] {
        let seconds = |offer: &Offer<'_>| offer.expected.step_seconds;
        let running = self.running(shape, offers);
        let better = || offers.iter().filter(|offer| self.is_better(offer, running));
        let shortest = better().map(seconds).fold(f64::INFINITY, f64::min);
        let simplest = better().filter(|offer| seconds(offer) <= shortest * (1.0 + SAME_STEP)).min_by_key(|offer| {
            let Layout { recompute, tensor, sharding, .. } = *offer.layout;
            (recompute, tensor, sharding, offer.batch.micro)
        });
        let Some(first) = simplest.or(running) else { return [None, None] };
        let spare = offers
            .iter()
            .filter(|offer| offer.bytes as f64 <= 0.8 * first.bytes as f64)
            .min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        [Some(first), spare].map(|offer| Some(self.candidate(shape, offer?)))
    }

    fn candidate(&self, shape: &Shape, offer: &Offer<'_>) -> Candidate {
        let Expected { step_seconds, sm_activity } = offer.expected;
        Candidate {
            shape: shape.clone(),
            layout: *offer.layout,
            batch: *offer.batch,
            predicted: Prediction {
                device_memory_bytes: offer.bytes,
                step_seconds,
                sm_activity,
                mfu: mfu(self.model.step_flops, self.job.precision, self.class, shape, step_seconds),
            },
            fit: offer.fit,
            in_band: sm_activity >= self.class.line.low_activity,
        }
    }

    /// What runs now, when it is on this shape and still among the offers.
    fn running<'o>(&self, shape: &Shape, offers: &'o [Offer<'a>]) -> Option<&'o Offer<'a>> {
        let current = self.current.filter(|current| current.shape == *shape)?;
        offers.iter().find(|offer| *offer.layout == current.layout && *offer.batch == current.batch)
    }

    /// Whether an offer gains enough over what runs; anything does when nothing runs here.
    fn is_better(&self, offer: &Offer<'_>, running: Option<&Offer<'_>>) -> bool {
        running.is_none_or(|running| {
            let same = offer.layout == running.layout;
            let worth = if same { WORTH_A_CUT } else { WORTH_A_LAYOUT };
            offer.expected.step_seconds <= running.expected.step_seconds * (1.0 - worth)
        })
    }

    /// What else the cut has to respect.
    fn as_declared(&self) -> String {
        match (self.job.accepts.micro_batch, self.job.declared.micro_batch) {
            (false, Some(micro)) => format!(" in declared micro-batches of {micro}"),
            _ => String::new(),
        }
    }

    fn too_large(&self, shape: &Shape, layout: &Layout, micro: u32, bytes: u64) -> String {
        let Self { class, .. } = self;
        format!(
            "{:.1} GiB per GPU at micro-batch {micro} on {} GPUs with sharding {:?}; {} plans up to {:.1} of {:.1} GiB",
            bytes as f64 / GIB,
            shape.gpus(),
            layout.sharding,
            class.name,
            class.memory_line_bytes() as f64 / GIB,
            class.memory_bytes as f64 / GIB,
        )
    }
}

/// The rejections of one class: of each reason the one with the most devices, since it was the nearest. Shapes come with
/// the most devices first.
struct Rejections<'a> {
    class: &'a ClassSpec,
    noted: Vec<Rejection>,
}

impl<'a> Rejections<'a> {
    fn new(class: &'a ClassSpec) -> Self {
        Self { class, noted: Vec::new() }
    }

    fn note(&mut self, gpus: u32, reason: RejectionReason, message: impl FnOnce() -> String) {
        if !self.noted.iter().any(|known| known.reason == reason) {
            self.noted.push(Rejection { class: self.class.name.clone(), gpus, reason, message: message() });
        }
    }

    fn into_menu(self, mut menu: Menu) -> Menu {
        menu.rejected = self.noted;
        menu
    }
}
