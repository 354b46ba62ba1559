//! Builds the menu: looks at every way to run a job, keeps what fits and ranks it.

use crate::estimate::mfu;
use crate::learned::{Blame, Expected, Fits, KnownMemory, MemoryCorrection, StepCorrection, StepsAt, StepsOf};
use crate::memory::GIB;
use crate::pareto;
use crate::rank::rank;
use crate::rejections::{Rejections, in_words};
use crate::search::{self, OfShape, Search, SizeModel, Way};
use crate::step_time::Run;
use crate::{Candidate, ClassSpec, Current, Evidence, Fit, JobSpec, Menu, Mode, Prediction, RejectionReason, Shape};

/// Most candidates on a menu.
pub const CANDIDATES: usize = 40;

/// Most rejections of one class.
pub const REJECTIONS: usize = 4;

/// Share of usable memory up to which a prediction may be offered when nothing is below the memory line.
const TIGHT: f64 = 0.97;

/// Steps within this share of the shortest count as equally short, so that the simpler way is taken.
const SAME_STEP: f64 = 0.01;

/// Ways within this many times the shortest step are looked at with the model fitted to what ran: it takes a while, and
/// seldom moves a step further.
const REFINED: f64 = 1.25;

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
    let search = Search::new(job, classes);
    let fits = Fits::learn(job, classes, &search.model, evidence);
    corrected(job, classes, &search, (evidence, &fits), current)
}

/// The menu from the ways that were found on the classes.
pub(crate) fn corrected(
    job: &JobSpec,
    classes: &[ClassSpec],
    search: &Search,
    (evidence, fits): (&Evidence, &Fits),
    current: Option<&Current>,
) -> Menu {
    let model = &search.model;
    let steps = StepCorrection::learn(job, evidence, fits);
    let peaks = KnownMemory::all(model, evidence);
    let look = |blame| {
        let mut looked = Menu::default();
        for of_class in &search.classes {
            let memory = MemoryCorrection::learn(&peaks, &of_class.class.name, classes, blame);
            let class = &of_class.class;
            let line = class.memory_line_bytes();
            let look = Look {
                job,
                class,
                model,
                line,
                most: (class.memory_bytes as f64 * TIGHT).max(line as f64),
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
    let allowed: Vec<&ClassSpec> = search.classes.iter().map(|of_class| &of_class.class).collect();
    let ranked = rank(job, &allowed, &steps, current, candidates);
    rejected.extend(ranked.rejected);
    rejected.sort_by(|a, b| (&a.class, a.reason, a.gpus).cmp(&(&b.class, b.reason, b.gpus)));
    let mut menu = Menu { candidates: ranked.candidates, rejected: Vec::new() };
    menu.candidates.truncate(CANDIDATES);
    pareto::mark(&allowed, &mut menu.candidates);
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
    steps: StepsOf<'a>,
    current: Option<&'a Current>,
}

/// A way that fits, corrected.
#[derive(Clone, Copy)]
struct Offer<'a> {
    way: &'a Way,
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

impl Look<'_> {
    fn at_class(&self, shapes: &[OfShape]) -> Menu {
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
        let passed_over = shapes.iter().find_map(|of_shape| self.passed_over(of_shape));
        // The largest first: of each reason the rejection with the most devices is kept.
        let mut offers = Vec::new();
        for of_shape in shapes.iter().rev() {
            let running = self.current.filter(|current| current.shape == of_shape.shape);
            let extra = passed_over.as_ref().filter(|_| running.is_some());
            let [first, spare] = self.at_shape(of_shape, extra, &mut offers, &mut reject);
            menu.candidates.extend(spare.into_iter().chain(first));
        }
        menu.candidates.reverse();
        self.drop_dominated(&mut menu.candidates, &mut reject);
        reject.into_menu(menu)
    }

    /// Leaves out counts that fewer devices are as fast as, but for the one asked for and the one that runs: nobody gains
    /// by them. Candidates come with the fewest devices first.
    fn drop_dominated(&self, candidates: &mut Vec<Candidate>, reject: &mut Rejections<'_>) {
        // The fastest so far, of those that fit and of those that are tight: what is tight beats nothing that fits.
        let mut fastest: [Option<(u32, f64)>; 2] = [None, None];
        let kept = |candidate: &Candidate| {
            let Candidate { shape, predicted, fit, .. } = candidate;
            let (gpus, seconds) = (shape.gpus(), predicted.step_seconds);
            let wished = self.job.requested_gpus == Some(gpus) || self.current.is_some_and(|c| c.shape == *shape);
            let rivals = if *fit == Fit::Fits { &fastest[..1] } else { &fastest[..] };
            let beaten = rivals.iter().flatten().copied().find(|(fewer, rival)| *fewer < gpus && *rival <= seconds);
            let own = &mut fastest[usize::from(*fit == Fit::Tight)];
            if own.is_none_or(|(_, known)| seconds < known) {
                *own = Some((gpus, seconds));
            }
            let Some((fewer, rival)) = beaten.filter(|_| !wished && self.job.mode != Mode::Off) else { return true };
            reject.note(gpus, RejectionReason::Dominated, || {
                format!("a step on {gpus} GPUs would take {seconds:.3} s, on {fewer} GPUs {rival:.3} s")
            });
            false
        };
        candidates.retain(kept);
    }

    /// The one or two best ways to run on a shape: the shortest step, and one that takes clearly less memory.
    /// `offers` is room to work in.
    fn at_shape<'a>(
        &self,
        of_shape: &'a OfShape,
        passed_over: Option<&'a Way>,
        offers: &mut Vec<Offer<'a>>,
        reject: &mut Rejections<'_>,
    ) -> [Option<Candidate>; 2] {
        let OfShape { shape, ranks, ways } = of_shape;
        let Some(ranks) = ranks else {
            let message = || format!("{} GPUs do not divide into the declared parallel degrees", shape.gpus());
            reject.note(shape.gpus(), RejectionReason::OutsideLimits, message);
            return [None, None];
        };
        if ways.is_empty() {
            let message = || {
                format!(
                    "a global batch of {} does not divide over {ranks} ranks{}",
                    self.job.global_batch,
                    self.as_declared()
                )
            };
            reject.note(shape.gpus(), RejectionReason::BatchDoesNotDivide, message);
            return [None, None];
        }
        let steps = self.steps.at(shape);
        offers.clear();
        let mut fits = false;
        let mut smallest: Option<(u64, &Way)> = None;
        let mut ran_out: Option<(u32, u32)> = None;
        for way in ways.iter().chain(passed_over) {
            match self.verdict(way, &steps) {
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
                        smallest = Some((bytes, way));
                    }
                }
                Verdict::RanOut { ran } => {
                    let micro = way.batch.micro;
                    if ran_out.is_none_or(|(least, _)| micro < least) {
                        ran_out = Some((micro, ran));
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
        if offers.is_empty()
            && let Some((bytes, way)) = smallest
        {
            let message = || self.too_large(shape, way, bytes);
            reject.note(shape.gpus(), RejectionReason::DeviceMemory, message);
        }
        let shortest = offers.iter().map(|offer| offer.expected.step_seconds).fold(f64::INFINITY, f64::min);
        for offer in offers.iter_mut().filter(|offer| offer.expected.step_seconds <= shortest * REFINED) {
            offer.expected = steps.refine(shape, offer.way, offer.expected);
        }
        self.best(shape, offers)
    }

    /// What runs now on a shape, where the search passed it over.
    fn passed_over(&self, of_shape: &OfShape) -> Option<Way> {
        let Self { job, class, .. } = self;
        let OfShape { shape, ways, .. } = of_shape;
        let Current { layout, batch, .. } = self.current.filter(|current| current.shape == *shape)?;
        let found = ways.iter().any(|way| way.layout == *layout && way.batch == *batch);
        let missed = !found && search::allows(job, shape, layout, batch);
        missed.then(|| self.model.way(Run { job, class, shape, layout, batch }))
    }

    fn verdict<'a>(&self, way: &'a Way, steps: &StepsAt<'_>) -> Verdict<'a> {
        let Way { layout, batch, needs, .. } = way;
        if let Some(ran) = self.memory.forbids(layout, batch.micro, needs) {
            return Verdict::RanOut { ran };
        }
        let bytes = self.memory.apply(layout, batch.micro, needs);
        let fit = if bytes <= self.line {
            Fit::Fits
        } else if bytes as f64 <= self.most {
            Fit::Tight
        } else {
            return Verdict::TooLarge { bytes };
        };
        Verdict::Offer(Offer { way, bytes, fit, expected: steps.expect(way) })
    }

    fn best(&self, shape: &Shape, offers: &[Offer<'_>]) -> [Option<Candidate>; 2] {
        let seconds = |offer: &Offer<'_>| offer.expected.step_seconds;
        let running = self.running(shape, offers);
        let better = || offers.iter().filter(|offer| self.is_better(offer, running));
        let shortest = better().map(seconds).fold(f64::INFINITY, f64::min);
        let simplest = better()
            .filter(|offer| seconds(offer) <= shortest * (1.0 + SAME_STEP))
            .min_by_key(|offer| search::simplicity(offer.way));
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
            layout: offer.way.layout,
            batch: offer.way.batch,
            predicted: Prediction {
                device_memory_bytes: offer.bytes,
                step_seconds,
                sm_activity,
                mfu: mfu(self.model.step_flops, self.job.precision, self.class, shape, step_seconds),
            },
            fit: offer.fit,
            in_band: sm_activity >= self.class.line.low_activity,
            efficient: false,
        }
    }

    /// What runs now, when it is on this shape and still among the offers.
    fn running<'o, 'a>(&self, shape: &Shape, offers: &'o [Offer<'a>]) -> Option<&'o Offer<'a>> {
        let current = self.current.filter(|current| current.shape == *shape)?;
        offers.iter().find(|offer| offer.way.layout == current.layout && offer.way.batch == current.batch)
    }

    /// Whether an offer gains enough over what runs; anything does when nothing runs here.
    fn is_better(&self, offer: &Offer<'_>, running: Option<&Offer<'_>>) -> bool {
        running.is_none_or(|running| {
            let same = offer.way.layout == running.way.layout;
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

    fn too_large(&self, shape: &Shape, way: &Way, bytes: u64) -> String {
        let Self { class, .. } = self;
        format!(
            "needs {:.1} GiB per GPU at micro-batch {}{} over {}; {} plans up to {:.1} of {:.1} GiB",
            bytes as f64 / GIB,
            way.batch.micro,
            in_words(&way.layout),
            shape.gpus(),
            class.name,
            class.memory_line_bytes() as f64 / GIB,
            class.memory_bytes as f64 / GIB,
        )
    }
}
