//! How compute deviates from its smooth curve, batch by batch.

use super::Observation;

/// Spread of the logarithm of compute around its curve. Kernels like some batches better than others (multiples of a tile,
/// an algorithm chosen by size), and on every placement the same ones.
const SPREAD: f64 = 0.06;

/// Factors of e in the batch after which little is left of a deviation.
const RANGE: f64 = 1.0;

/// Most batches that get a deviation of their own; those between are interpolated.
const MOST: usize = 8;

/// Some batches that were seen, at which deviations are stated: an Ornstein-Uhlenbeck process over the logarithm of the batch
/// (Rasmussen and Williams, Gaussian Processes for Machine Learning, section 4.2.1). It is Markov, so that a deviation
/// depends on its two neighbours alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Roughness {
    /// Logarithms of the batches, ascending.
    knots: Vec<f64>,
}

/// Two knots and what each counts: the deviation of a batch is the sum of theirs.
pub(super) type Weights = [(usize, f64); 2];

impl Roughness {
    /// The batches that were seen, at most [`MOST`] of them, smallest and largest included.
    pub(super) fn of(observations: &[&Observation]) -> Self {
        let mut seen: Vec<f64> = observations.iter().map(|seen| seen.local_batch.ln()).collect();
        seen.sort_by(f64::total_cmp);
        seen.dedup();
        let kept = seen.len().min(MOST);
        let place = |at: usize| if kept < 2 { 0 } else { at * (seen.len() - 1) / (kept - 1) };
        Self { knots: (0..kept).map(|at| seen[place(at)]).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.knots.len()
    }

    /// Deviations in units of what is to be expected, given those before them: independent and of spread 1.
    pub(super) fn independent(&self, deviations: &[f64], out: &mut [f64]) {
        let mut before: Option<(f64, f64)> = None;
        for ((out, &knot), &deviation) in out.iter_mut().zip(&self.knots).zip(deviations) {
            let (expected, left) = before.map_or((0.0, 1.0), |(at, deviation)| {
                let alike = likeness(at, knot);
                (alike * deviation, 1.0 - alike * alike)
            });
            *out = (deviation - expected) / (SPREAD * left.sqrt());
            before = Some((knot, deviation));
        }
    }

    /// How the deviation of a batch follows from those of the knots around it.
    pub(super) fn weights(&self, local_batch: f64) -> Weights {
        let batch = local_batch.ln();
        let above = self.knots.partition_point(|knot| *knot < batch);
        match (above.checked_sub(1), self.knots.get(above)) {
            (_, Some(knot)) if *knot == batch => [(above, 1.0), (above, 0.0)],
            (Some(below), Some(&high)) => {
                let low = self.knots[below];
                let (to_low, to_high, between) = (likeness(low, batch), likeness(batch, high), likeness(low, high));
                let left = 1.0 - between * between;
                [(below, (to_low - between * to_high) / left), (above, (to_high - between * to_low) / left)]
            }
            (Some(below), None) => [(below, likeness(self.knots[below], batch)), (below, 0.0)],
            (None, Some(&high)) => [(above, likeness(batch, high)), (above, 0.0)],
            (None, None) => [(0, 0.0), (0, 0.0)],
        }
    }
}

/// Correlation of the deviations of two batches, given their logarithms.
fn likeness(a: f64, b: f64) -> f64 {
    (-(a - b).abs() / RANGE).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learned::throughput::Placement;

    fn roughness(batches: &[f64]) -> Roughness {
        let placement = Placement::of_nodes(&[1]).unwrap();
        let at = |&local_batch| Observation {
            placement,
            local_batch,
            accumulation: 1,
            step_seconds: 1.0,
            sync_seconds: None,
            weight: 1.0,
        };
        let seen: Vec<Observation> = batches.iter().map(at).collect();
        Roughness::of(&seen.iter().collect::<Vec<_>>())
    }

    fn sum(weights: Weights) -> f64 {
        weights.iter().map(|(_, weight)| weight).sum()
    }

    #[test]
    fn a_batch_that_was_seen_is_its_own_deviation_and_one_far_away_has_none() {
        let some = roughness(&[32.0, 8.0, 8.0]);
        assert_eq!((some.len(), some.weights(32.0)[0]), (2, (1, 1.0)));
        assert!(sum(some.weights(1e6)) < 1e-3 && sum(some.weights(1e-3)) < 1e-3);
        assert!((0.5..1.0).contains(&sum(some.weights(16.0))));
        assert_eq!(sum(Roughness::default().weights(8.0)), 0.0);
    }

    #[test]
    fn of_many_batches_the_ends_and_some_between_are_kept() {
        let many: Vec<f64> = (1..=100).map(f64::from).collect();
        let some = roughness(&many);
        assert_eq!((some.len(), some.knots[0], some.knots[MOST - 1]), (MOST, 0.0, 100_f64.ln()));
    }

    #[test]
    fn equal_deviations_of_near_batches_cost_less_than_opposite_ones() {
        let cost = |deviations: [f64; 2]| {
            let mut out = [0.0; 2];
            roughness(&[8.0, 9.0]).independent(&deviations, &mut out);
            out[0] * out[0] + out[1] * out[1]
        };
        assert!(cost([0.1, 0.1]) < 0.2 * cost([0.1, -0.1]));
    }
}
