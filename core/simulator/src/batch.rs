//! How a total batch is cut over GPUs and passes (rule 6).

/// Totals that a job looks at.
const CHOICES: usize = 50;

/// What a comparison of batches lets pass as equal.
const TINY: f64 = 1e-8;

/// A cut of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Samples of each GPU at once.
    pub local: u32,
    /// Passes before the one that exchanges gradients.
    pub accumulation: u32,
}

impl Cut {
    /// Samples of a whole step.
    pub fn total(self, gpus: u32) -> f64 {
        f64::from(gpus) * f64::from(self.local) * f64::from(self.accumulation + 1)
    }
}

/// What bounds the batch of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The batch that progress is counted at, in samples.
    pub first: f64,
    /// The largest total, in samples.
    pub most: f64,
    /// The smallest and the largest local batch, in samples.
    pub local: (f64, f64),
}

impl Limits {
    /// A total cut as evenly as whole samples allow. One GPU takes two passes beyond the first batch, since the noise of a
    /// gradient needs two samples of it.
    pub fn cut(&self, total: f64, gpus: u32) -> Cut {
        let local = total / f64::from(gpus);
        let mut accumulation = ((local / self.local.1 - TINY).ceil() - 1.0).max(0.0);
        if gpus == 1 && total > self.first + TINY {
            accumulation = accumulation.max(1.0);
        }
        let local = (local / (accumulation + 1.0) - TINY).ceil().max(1.0);
        Cut { local: local as u32, accumulation: accumulation as u32 }
    }

    /// The cut of a total that is given: never beyond the largest total.
    pub fn fixed(&self, total: f64, gpus: u32) -> Cut {
        let local = (total / f64::from(gpus) - TINY).ceil();
        let mut accumulation = ((local / self.local.1 - TINY).ceil() - 1.0).max(0.0);
        if gpus == 1 && total > self.first {
            accumulation = accumulation.max(1.0);
        }
        let local = (local / (accumulation + 1.0) - TINY).ceil();
        let most = (self.most / (f64::from(gpus) * (accumulation + 1.0))).floor();
        Cut { local: local.min(most).max(1.0) as u32, accumulation: accumulation as u32 }
    }

    /// The total that a job starts at, before it has measured anything.
    pub fn start(&self, gpus: u32) -> f64 {
        self.first.max(self.local.0 * f64::from(gpus))
    }

    /// Cuts worth a look: 50 totals in geometric steps, smallest first; none where the GPUs are too many for the largest total.
    pub fn choices(&self, gpus: u32) -> impl Iterator<Item = Cut> + '_ {
        let least = self.start(gpus);
        let count = if least > self.most + TINY { 0 } else { CHOICES };
        let step = (self.most / least).ln() / (CHOICES - 1) as f64;
        let growth = step.exp();
        let mut total = least;
        let mut last = Cut::default();
        (0..count).filter_map(move |at| {
            let here = if at + 1 == CHOICES { self.most } else { total };
            total *= growth;
            let cut = self.cut(here, gpus);
            let fresh = cut != last;
            last = cut;
            fresh.then_some(cut)
        })
    }

    /// The cut of the highest goodput and that goodput, of those for which `goodput` has one; of equals the smallest total.
    pub fn best(&self, gpus: u32, mut goodput: impl FnMut(Cut) -> f64) -> Option<(Cut, f64)> {
        let mut best: Option<(Cut, f64)> = None;
        for cut in self.choices(gpus) {
            let value = goodput(cut);
            if value > best.map_or(0.0, |best| best.1) {
                best = Some((cut, value));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { first: 128.0, most: 4096.0, local: (32.0, 512.0) };

    #[test]
    fn choices_span_the_first_batch_to_the_largest() {
        let totals: Vec<f64> = LIMITS.choices(4).map(|cut| cut.total(4)).collect();
        assert_eq!((totals.first(), totals.last()), (Some(&128.0), Some(&4096.0)));
        assert!(totals.is_sorted(), "{totals:?}");
    }

    #[test]
    fn one_gpu_takes_two_passes_beyond_the_first_batch() {
        assert_eq!(LIMITS.cut(128.0, 1), Cut { local: 128, accumulation: 0 });
        assert_eq!(LIMITS.cut(256.0, 1), Cut { local: 128, accumulation: 1 });
    }

    #[test]
    fn more_gpus_than_the_largest_total_has_room_for_have_no_choice() {
        assert_eq!(LIMITS.choices(129).count(), 0);
    }

    #[test]
    fn a_given_total_beyond_memory_is_accumulated() {
        assert_eq!(LIMITS.fixed(2048.0, 2), Cut { local: 512, accumulation: 1 });
    }
}
