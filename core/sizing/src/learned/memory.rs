//! Device memory corrected by what ran.

use super::tail::conditional_quantile;
use super::{Evidence, MemoryEvidence, MemoryKind};
use crate::search::{Needs, SizeModel};
use crate::{ClassName, ClassSpec, Layout, Sharding};

/// Spread of the logarithm of true over predicted memory before anything ran. Published peaks (litgpt's resource tables)
/// lie within 10 % of the formula, but programs with hidden copies, eager attention or unpadded batches have tails past
/// 60 %, which is two of these.
const SIGMA: f64 = 0.25;

/// The same once a peak was reported: what is left is the step from one micro-batch or sharding to another.
const SIGMA_AFTER_PEAK: f64 = 0.08;

/// Spread of activations alone, where states are trusted.
const SIGMA_ACTIVATIONS: f64 = 0.35;

/// Accepted chance of running out of memory again.
const RISK: f64 = 0.02;

/// Factors outside this are a wrong report rather than a wrong prediction.
const BOUNDS: (f64, f64) = (0.3, 4.0);

/// The same for two peaks of one layout: together they are a measurement, and a declared activation size may be wrong by
/// more than a formula is.
pub(crate) const MEASURED_BOUNDS: (f64, f64) = (0.02, 20.0);

/// Share of activations below which a surplus is not blamed on them.
const GROWING_SHARE: f64 = 0.25;

/// What a size that ran out is blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Everything but the context: the careful reading.
    Everything,
    /// Activations and logits: states are counted rather than estimated, and where the careful reading leaves no size
    /// at all, a smaller micro-batch is worth a try before the job is given up.
    Activations,
}

/// What the evidence says about the device memory of a job on one class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemoryCorrection {
    /// Factor of states and buffers.
    fixed: f64,
    /// Factor of activations and logits.
    growing: f64,
    /// Sizes that ran out on the class.
    ran_out: Vec<RanOut>,
    /// Peaks reported on the class: layout, micro-batch, bytes; oldest first.
    peaks: Vec<(Layout, u32, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
struct RanOut {
    layout: Layout,
    micro_batch: u32,
    /// Uncorrected prediction, in bytes.
    predicted: u64,
    /// Whether no peak was reported on the class since.
    fresh: bool,
}

/// One observation with what was predicted for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    seen: &'a MemoryEvidence,
    needs: Needs,
}

impl<'a> Known<'a> {
    /// All that was observed of a job, oldest first.
    pub(crate) fn all(model: &SizeModel, evidence: &'a Evidence) -> Vec<Self> {
        let known = |seen: &'a MemoryEvidence| Self { seen, needs: model.needs(&seen.layout, seen.micro_batch) };
        evidence.memory.iter().map(known).collect()
    }

    /// The peak reported, in bytes.
    fn peak(&self) -> Option<u64> {
        match self.seen.kind {
            MemoryKind::Peak { bytes } => Some(bytes),
            MemoryKind::RanOut { .. } => None,
        }
    }
}

impl MemoryCorrection {
    /// Draws the correction for `class`; `classes` tell how much memory the others have.
    ///
    /// Peaks of the class count, or of any class while there is none: a program needs about the same everywhere. Sizes
    /// that ran out after the newest peak raise the factor to where less than 2 % of the error's tail is left, given
    /// that it is at least what the device held, or what the program held and asked for where it said so and that is
    /// more. Running out on one class forbids sizes on that class alone.
    pub(crate) fn learn(all: &[Known<'_>], class: &ClassName, classes: &[ClassSpec], blame: Blame) -> Self {
        let own = |known: &Known<'_>| known.seen.class == *class && known.peak().is_some();
        let any_own = all.iter().any(own);
        let relevant = |known: &Known<'_>| known.peak().is_some() && (!any_own || own(known));
        let newest = all.iter().rposition(relevant);
        let newest_own = all.iter().rposition(own);
        let mut correction = Self { fixed: 1.0, growing: 1.0, ran_out: Vec::new(), peaks: Vec::new() };
        if let Some(newest) = newest {
            let partner = all[..newest].iter().rev().find(|known| relevant(known) && pairs(known, &all[newest]));
            (correction.fixed, correction.growing) =
                partner.and_then(|partner| affine(partner, &all[newest])).unwrap_or_else(|| single(&all[newest]));
        }
        let bound = all
            .iter()
            .enumerate()
            .filter(|(at, _)| newest.is_none_or(|newest| *at > newest))
            .filter_map(|(_, Known { seen, needs })| {
                let MemoryKind::RanOut { bytes } = seen.kind else { return None };
                let held = classes.iter().find(|c| c.name == seen.class)?.memory_bytes as f64;
                let fixed = correction.fixed * needs.fixed;
                let growing = correction.growing * needs.growing;
                let (blamed, trusted) = match blame {
                    Blame::Everything => (fixed + growing, 0.0),
                    Blame::Activations => (growing, fixed),
                };
                let factor = |bytes: f64| (bytes - trusted) / blamed;
                // A number that the prediction is far from was not meant as one.
                let asked_for = bytes.map_or(0.0, |bytes| factor(bytes as f64).min(BOUNDS.1));
                (blamed > 0.0).then(|| factor(held - needs.context as f64).max(asked_for))
            })
            .fold(0.0, f64::max);
        if bound > 0.0 {
            let sigma = match (newest, blame) {
                (Some(_), _) => SIGMA_AFTER_PEAK,
                (None, Blame::Everything) => SIGMA,
                (None, Blame::Activations) => SIGMA_ACTIVATIONS,
            };
            let factor = conditional_quantile(1.0, sigma, bound, RISK);
            correction.growing *= factor;
            if blame == Blame::Everything {
                correction.fixed *= factor;
            }
        }
        let own_peak = |known: &Known<'_>| Some((known.seen.layout, known.seen.micro_batch, known.peak()?));
        correction.peaks = all.iter().filter(|known| own(known)).filter_map(own_peak).collect();
        correction.ran_out = all
            .iter()
            .enumerate()
            .filter(|(_, known)| known.peak().is_none() && known.seen.class == *class)
            .map(|(at, known)| RanOut {
                layout: known.seen.layout,
                micro_batch: known.seen.micro_batch,
                predicted: known.needs.total,
                fresh: newest_own.is_none_or(|newest| at > newest),
            })
            .collect();
        correction
    }

    /// A prediction after correction, in bytes: the context as it is, the rest times what was learned. A size whose peak
    /// was reported needs that peak, and a smaller micro-batch of the same layout not more.
    #[inline]
    pub(crate) fn apply(&self, layout: &Layout, micro_batch: u32, needs: &Needs) -> u64 {
        let rest = (self.fixed * needs.fixed + self.growing * needs.growing) as u64;
        let seen = if self.peaks.is_empty() { None } else { self.peak_bound(layout, micro_batch, rest) };
        needs.context + seen.unwrap_or(rest)
    }

    /// What the peaks of the layout say of a micro-batch that the prediction has at `rest`, in bytes.
    fn peak_bound(&self, layout: &Layout, micro_batch: u32, rest: u64) -> Option<u64> {
        let same = self.peaks.iter().rev().filter(|(of, ..)| of == layout);
        let exact = same.clone().find(|(_, micro, _)| *micro == micro_batch).map(|(.., bytes)| *bytes);
        let larger = same.filter(|(_, micro, _)| *micro > micro_batch).map(|(.., bytes)| *bytes).min();
        exact.or_else(|| larger.map(|bytes| bytes.min(rest)))
    }

    /// The micro-batch that ran out and forbids this one: never the same or a larger size again on the class, and until a
    /// peak is reported at most half the micro-batch, unless the states are shared out more strongly.
    pub(crate) fn forbids(&self, layout: &Layout, micro_batch: u32, needs: &Needs) -> Option<u32> {
        self.ran_out
            .iter()
            .find(|ran| {
                let halved = u64::from(micro_batch) * 2 <= u64::from(ran.micro_batch);
                let relieved = micro_batch <= ran.micro_batch && stronger(layout, &ran.layout);
                needs.total >= ran.predicted || (ran.fresh && !halved && !relieved)
            })
            .map(|ran| ran.micro_batch)
    }
}

/// Whether a layout puts less on each device than another at the same micro-batch.
fn stronger(layout: &Layout, than: &Layout) -> bool {
    layout.sharding > than.sharding
        || layout.recompute > than.recompute
        || layout.tensor > than.tensor
        || layout.pipeline > than.pipeline
        || layout.context > than.context
        || layout.expert > than.expert
        || layout.offload > than.offload
        || (layout.sharding != Sharding::None && layout.sharding == than.sharding && layout.data > than.data)
}

/// Whether two peaks differ in the micro-batch alone.
fn pairs(Known { seen: a, .. }: &Known<'_>, Known { seen: b, .. }: &Known<'_>) -> bool {
    a.class == b.class && a.shape == b.shape && a.layout == b.layout && a.micro_batch != b.micro_batch
}

/// Both factors from two micro-batches; `None` when they make no sense together.
fn affine(a: &Known<'_>, b: &Known<'_>) -> Option<(f64, f64)> {
    let growing = (b.peak()? as f64 - a.peak()? as f64) / (b.needs.growing - a.needs.growing);
    let fixed = (b.peak()? as f64 - growing * b.needs.growing) / b.needs.fixed;
    let plausible = |factor: f64| (MEASURED_BOUNDS.0..=MEASURED_BOUNDS.1).contains(&factor);
    (plausible(growing) && plausible(fixed)).then_some((fixed, growing))
}

/// Both factors from one peak.
///
/// A surplus is blamed on activations where they are a fair share, a saving is spread over everything: of the two
/// readings always the one that promises less room for a larger micro-batch.
fn single(known: &Known<'_>) -> (f64, f64) {
    let rest = known.peak().unwrap_or_default() as f64;
    let Needs { fixed, growing, .. } = known.needs;
    let uniform = (rest / (fixed + growing)).clamp(BOUNDS.0, BOUNDS.1);
    if uniform > 1.0 && growing > GROWING_SHARE * (fixed + growing) {
        (1.0, ((rest - fixed) / growing).clamp(1.0, 2.0 * BOUNDS.1))
    } else {
        (uniform, uniform)
    }
}
