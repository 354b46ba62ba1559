//! Builds the menu: looks at every way to run a job, keeps what fits and ranks it.

use crate::candidates::{cuts, layouts, shapes};
use crate::estimate::mfu;
use crate::learned::{Blame, MemoryCorrection, StepCorrection};
use crate::memory::GIB;
use crate::rank::rank;
use crate::{
    Batch, Candidate, ClassSpec, Current, Evidence, Fit, JobSpec, Layout, Memory, Menu, Prediction, Rejection,
    RejectionReason, Shape,
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
    let mut allowed: Vec<&ClassSpec> = classes.iter().filter(|class| job.allows(&class.name)).collect();
    allowed.sort_by(|a, b| a.name.cmp(&b.name));
    allowed.dedup_by(|a, b| a.name == b.name);
    let steps = StepCorrection::learn(job, classes, evidence);
    let look = |blame| {
        let mut looked = Menu::default();
        for class in &allowed {
            let memory = MemoryCorrection::learn(job, &class.name, classes, evidence, blame);
            let at_class = Look { job, class, memory: &memory, steps: &steps, current }.at_class();
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
    memory: &'a MemoryCorrection,
    steps: &'a StepCorrection<'a>,
    current: Option<&'a Current>,
}

/// The verdict on one size.
enum Verdict {
    Offer(Box<Candidate>),
    TooLarge { bytes: u64, layout: Layout, micro: u32 },
    RanOut { micro: u32, ran: u32 },
}

impl Look<'_> {
    fn at_class(&self) -> Menu {
        let Self { job, class, .. } = self;
        let mut menu = Menu::default();
        let mut reject = Rejections::new(class);
        if class.peak.at(job.precision).is_none() {
            reject.note(0, RejectionReason::Precision, format!("{} cannot compute {:?}", class.name, job.precision));
            return reject.into_menu(menu);
        }
        let shapes = shapes(job, class);
        if shapes.is_empty() {
            let message = format!(
                "no count from {} to {} can be laid out on {} nodes of {} GPUs",
                job.min_gpus, job.max_gpus, class.nodes, class.gpus_per_node
            );
            reject.note(job.min_gpus, RejectionReason::OutsideLimits, message);
        }
        for shape in shapes {
            menu.candidates.extend(self.at_shape(&shape, &mut reject));
        }
        reject.into_menu(menu)
    }

    /// The one or two best ways to run on a shape: the shortest step, and one that takes clearly less memory.
    fn at_shape(&self, shape: &Shape, reject: &mut Rejections) -> Vec<Candidate> {
        let layouts = layouts(self.job, shape);
        if layouts.is_empty() {
            let message = format!("{} GPUs do not divide into the declared parallel degrees", shape.gpus());
            reject.note(shape.gpus(), RejectionReason::OutsideLimits, message);
            return Vec::new();
        }
        let mut offers = Vec::new();
        let mut smallest: Option<(u64, Layout, u32)> = None;
        let mut ran_out: Option<(u32, u32)> = None;
        let mut divided = false;
        for layout in &layouts {
            for batch in cuts(self.job, layout.data) {
                divided = true;
                match self.at_cut(shape, layout, &batch) {
                    Verdict::Offer(candidate) => offers.push(*candidate),
                    Verdict::TooLarge { bytes, layout, micro } => {
                        if smallest.is_none_or(|(least, ..)| bytes < least) {
                            smallest = Some((bytes, layout, micro));
                        }
                    }
                    Verdict::RanOut { micro, ran } => {
                        if ran_out.is_none_or(|(least, _)| micro < least) {
                            ran_out = Some((micro, ran));
                        }
                    }
                }
            }
        }
        if let Some((micro, ran)) = ran_out {
            let message = format!(
                "micro-batch {micro} on {} GPUs is not tried: micro-batch {ran} ran out of device memory before",
                shape.gpus()
            );
            reject.note(shape.gpus(), RejectionReason::RanOutOfMemory, message);
        }
        if !divided {
            let message = format!(
                "a global batch of {} does not divide over {} ranks{}",
                self.job.global_batch,
                layouts[0].data,
                self.as_declared()
            );
            reject.note(shape.gpus(), RejectionReason::BatchDoesNotDivide, message);
        } else if offers.is_empty()
            && let Some((bytes, layout, micro)) = smallest
        {
            reject.note(shape.gpus(), RejectionReason::DeviceMemory, self.too_large(shape, &layout, micro, bytes));
        }
        self.best(shape, offers)
    }

    fn at_cut(&self, shape: &Shape, layout: &Layout, batch: &Batch) -> Verdict {
        let Self { job, class, memory, steps, .. } = self;
        let needed = Memory::of(job, layout, batch.micro);
        if let Some(ran) = memory.forbids(layout, batch.micro, &needed) {
            return Verdict::RanOut { micro: batch.micro, ran };
        }
        let bytes = memory.apply(layout, batch.micro, &needed);
        let fit = if bytes <= class.memory_line_bytes() {
            Fit::Fits
        } else if bytes as f64 <= class.memory_bytes as f64 * TIGHT {
            Fit::Tight
        } else {
            return Verdict::TooLarge { bytes, layout: *layout, micro: batch.micro };
        };
        let expected = steps.expect(class, shape, layout, batch);
        Verdict::Offer(Box::new(Candidate {
            shape: shape.clone(),
            layout: *layout,
            batch: *batch,
            predicted: Prediction {
                device_memory_bytes: bytes,
                step_seconds: expected.step_seconds,
                sm_activity: expected.sm_activity,
                mfu: mfu(job, class, shape, expected.step_seconds),
            },
            fit,
            in_band: expected.sm_activity >= class.line.low_activity,
        }))
    }

    fn best(&self, shape: &Shape, mut offers: Vec<Candidate>) -> Vec<Candidate> {
        if offers.iter().any(|offer| offer.fit == Fit::Fits) {
            offers.retain(|offer| offer.fit == Fit::Fits);
        }
        let seconds = |offer: &Candidate| offer.predicted.step_seconds;
        let running = self.running(shape, &offers);
        let better: Vec<&Candidate> = offers.iter().filter(|offer| self.is_better(offer, running)).collect();
        let shortest = better.iter().map(|offer| seconds(offer)).fold(f64::INFINITY, f64::min);
        let simplest =
            better.into_iter().filter(|offer| seconds(offer) <= shortest * (1.0 + SAME_STEP)).min_by_key(|offer| {
                (offer.layout.recompute, offer.layout.tensor, offer.layout.sharding, offer.batch.micro)
            });
        let Some(first) = simplest.or(running) else { return Vec::new() };
        let spare = offers
            .iter()
            .filter(|offer| {
                offer.predicted.device_memory_bytes as f64 <= 0.8 * first.predicted.device_memory_bytes as f64
            })
            .min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        [Some(first), spare].into_iter().flatten().cloned().collect()
    }

    /// What runs now, when it is on this shape and still among the offers.
    fn running<'o>(&self, shape: &Shape, offers: &'o [Candidate]) -> Option<&'o Candidate> {
        let current = self.current.filter(|current| current.shape == *shape)?;
        offers.iter().find(|offer| offer.layout == current.layout && offer.batch == current.batch)
    }

    /// Whether an offer gains enough over what runs; anything does when nothing runs here.
    fn is_better(&self, offer: &Candidate, running: Option<&Candidate>) -> bool {
        running.is_none_or(|running| {
            let worth = if offer.layout == running.layout { WORTH_A_CUT } else { WORTH_A_LAYOUT };
            offer.predicted.step_seconds <= running.predicted.step_seconds * (1.0 - worth)
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

/// The rejections of one class: of each reason the one with the most devices, since it was the nearest.
struct Rejections<'a> {
    class: &'a ClassSpec,
    noted: Vec<Rejection>,
}

impl<'a> Rejections<'a> {
    fn new(class: &'a ClassSpec) -> Self {
        Self { class, noted: Vec::new() }
    }

    fn note(&mut self, gpus: u32, reason: RejectionReason, message: String) {
        self.noted.retain(|known| known.reason != reason || known.gpus > gpus);
        if !self.noted.iter().any(|known| known.reason == reason) {
            self.noted.push(Rejection { class: self.class.name.clone(), gpus, reason, message });
        }
    }

    fn into_menu(self, mut menu: Menu) -> Menu {
        menu.rejected = self.noted;
        menu
    }
}
