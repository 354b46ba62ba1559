//! Fits the seven parameters.

use plimsoll_sizing::learned::least_squares::{Bounds, Limits, minimise};

use super::{Estimate, Seen};

/// How many parameters.
const COUNT: usize = 7;

/// Logarithm of the smallest and the largest value of a parameter in seconds.
const LEAST: f64 = -18.420_680_743_952_367;
const MOST: f64 = 9.0;

/// Weight of `(γ − 1)²`, and of the squared ratios of `β` to `α` (rule 7).
const OVERLAP_WEIGHT: f64 = 1e-3;
const GROWTH_WEIGHT: f64 = 1e-2;

/// Weight of the squared logarithm of `α_c/(β_c·m)`. It is not in the rules: where all batches seen are alike, the noise of their
/// times says which part is which, and the least loss may leave nothing to `β_c`, after which more GPUs at less each look
/// useless for good. The authors' minimiser stops near its start there.
const SPLIT_WEIGHT: f64 = 1e-3;

/// How much more an exchange over nodes is believed to take than one in a node, before one was seen.
const NETWORK_AT_LEAST: f64 = 1.1;

/// Steps at most of each of the two passes.
const LIMITS: Limits = Limits { iterations: 15, cost_tolerance: 1e-5 };

/// The most credible parameters; `None` without observations.
///
/// Minimises `RMSLE(T_acc) + RMSLE(T_opt) + 10⁻³(γ − 1)² + 10⁻²((β_n/α_n)² + (β_r/α_r)²)`. The two roots are not squares: each is
/// replaced by the square that touches it at the last result, `S/2w + w/2` for `√S` with `w = √S` there (majorization; Hunter and
/// Lange 2004, American Statistician 58, 30), in two passes. What nothing was seen of stays at almost no time, which makes a
/// job try it (Pollux, section 4.1): one local batch says nothing of `α_c` against `β_c`, which then share its time equally.
pub fn fit(seen: &[Seen], start: Option<&Estimate>) -> Option<Estimate> {
    let first = seen.first()?;
    let any = |test: fn(&Seen) -> bool| seen.iter().any(test);
    let over_nodes = any(|seen| seen.nodes > 1);
    let in_node = any(|seen| seen.nodes == 1 && seen.gpus > 1);
    let beyond_two = any(|seen| seen.gpus > 2);
    let batches = any_other(seen, first.local);
    let mean = seen.iter().map(|seen| seen.compute_seconds).sum::<f64>() / seen.len() as f64;
    let mean_local = seen.iter().map(|seen| f64::from(seen.local)).sum::<f64>() / seen.len() as f64;
    let free = Bounds { low: LEAST, high: MOST };
    let held = |value: f64| Bounds { low: value, high: value };
    let unless = |known: bool| if known { free } else { held(LEAST) };
    let bounds = [
        if batches { free } else { held((mean / 2.0).ln()) },
        free,
        unless(over_nodes),
        unless(over_nodes && beyond_two),
        unless(in_node),
        unless(in_node && beyond_two),
        Bounds { low: 1.0, high: 10.0 },
    ];
    let mut at = start.map_or_else(|| first_guess(mean, first.local), vector);
    for (known, fallback) in [(over_nodes, 2), (in_node, 4)] {
        // What was at its floor because nothing was seen of it starts where it can move.
        if known && at[fallback] < -12.0 {
            (at[fallback], at[fallback + 1]) = ((0.1 * mean).ln(), (0.01 * mean).ln());
        }
    }
    let mut scale = roots(&of_vector(&at), seen).map(|root| root.max(0.05));
    for _ in 0..2 {
        let rows = 2 * seen.len() + 4;
        let weights = scale.map(|root| (2.0 * root * seen.len() as f64).recip().sqrt());
        let residuals = |vector: &[f64], out: &mut [f64]| {
            let mut values = [0.0; COUNT];
            values.copy_from_slice(vector);
            let estimate = of_vector(&values);
            for (row, seen) in seen.iter().enumerate() {
                let local = f64::from(seen.local);
                out[2 * row] = weights[0] * (estimate.compute_seconds(local) / seen.compute_seconds).ln();
                let step = estimate.step_seconds(seen.nodes, seen.gpus, local);
                out[2 * row + 1] = weights[1] * (step / seen.step_seconds).ln();
            }
            let rest = &mut out[2 * seen.len()..];
            rest[0] = OVERLAP_WEIGHT.sqrt() * (estimate.overlap - 1.0);
            rest[1] = GROWTH_WEIGHT.sqrt() * estimate.network[1] / estimate.network[0];
            rest[2] = GROWTH_WEIGHT.sqrt() * estimate.node[1] / estimate.node[0];
            rest[3] = SPLIT_WEIGHT.sqrt() * (estimate.compute[0] / (estimate.compute[1] * mean_local)).ln();
            if !over_nodes || !beyond_two {
                rest[1] = 0.0;
            }
            if !in_node || !beyond_two {
                rest[2] = 0.0;
            }
        };
        let found = minimise(residuals, rows, &at, &bounds, LIMITS);
        at.copy_from_slice(&found.parameters);
        scale = roots(&of_vector(&at), seen).map(|root| root.max(1e-3));
    }
    let mut found = of_vector(&at);
    if !over_nodes {
        for at in 0..2 {
            found.network[at] = found.network[at].max(NETWORK_AT_LEAST * found.node[at]);
        }
    }
    Some(found)
}

fn any_other(seen: &[Seen], local: u32) -> bool {
    seen.iter().any(|seen| seen.local != local)
}

/// Half of a pass for its samples, half for the rest.
fn first_guess(mean: f64, local: u32) -> [f64; COUNT] {
    let sample = (0.5 * mean / f64::from(local)).ln();
    [(0.5 * mean).ln(), sample, (0.1 * mean).ln(), (0.01 * mean).ln(), (0.1 * mean).ln(), (0.01 * mean).ln(), 1.1]
}

fn vector(estimate: &Estimate) -> [f64; COUNT] {
    let Estimate { compute, network, node, overlap } = estimate;
    let [a, b, c, d, e, f] =
        [compute[0], compute[1], network[0], network[1], node[0], node[1]].map(|value| value.ln().clamp(LEAST, MOST));
    [a, b, c, d, e, f, *overlap]
}

fn of_vector(vector: &[f64; COUNT]) -> Estimate {
    let at = |index: usize| vector[index].exp();
    Estimate { compute: [at(0), at(1)], network: [at(2), at(3)], node: [at(4), at(5)], overlap: vector[6] }
}

/// Roots of the mean squared differences of logarithms: of compute and of whole steps.
fn roots(estimate: &Estimate, seen: &[Seen]) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for seen in seen {
        let local = f64::from(seen.local);
        sums[0] += (estimate.compute_seconds(local) / seen.compute_seconds).ln().powi(2);
        sums[1] += (estimate.step_seconds(seen.nodes, seen.gpus, local) / seen.step_seconds).ln().powi(2);
    }
    sums.map(|sum| (sum / seen.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: Estimate =
        Estimate { compute: [0.02, 0.001], network: [0.05, 0.002], node: [0.01, 0.001], overlap: 2.0 };

    fn seen(nodes: u32, gpus: u32, local: u32) -> Seen {
        let local_batch = f64::from(local);
        let (compute_seconds, step_seconds) =
            (TRUTH.compute_seconds(local_batch), TRUTH.step_seconds(nodes, gpus, local_batch));
        Seen { nodes, gpus, local, compute_seconds, step_seconds }
    }

    #[test]
    fn what_follows_the_model_is_found_again() {
        let all = [seen(1, 1, 32), seen(1, 1, 128), seen(1, 2, 64), seen(1, 4, 64), seen(2, 8, 64), seen(4, 16, 128)];
        let found = fit(&all, None).unwrap();
        for seen in all {
            let ratio = found.step_seconds(seen.nodes, seen.gpus, f64::from(seen.local)) / seen.step_seconds;
            assert!((ratio - 1.0).abs() < 0.03, "{seen:?}: {ratio}");
        }
    }

    #[test]
    fn one_gpu_alone_is_believed_to_scale_without_loss() {
        let found = fit(&[seen(1, 1, 64)], None).unwrap();
        let ratio = found.seconds(2, 8, 64.0, 0) / found.seconds(1, 1, 64.0, 0);
        assert!((ratio - 1.0).abs() < 1e-3, "{ratio}");
    }

    #[test]
    fn nodes_that_were_not_seen_are_believed_slower_than_one() {
        let found = fit(&[seen(1, 1, 64), seen(1, 4, 64)], None).unwrap();
        assert!(found.network[0] >= 1.1 * found.node[0]);
    }
}
