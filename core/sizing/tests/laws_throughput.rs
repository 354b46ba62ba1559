//! What holds of the online model whatever is observed.

use plimsoll_sizing::learned::least_squares::{Bounds, Limits, minimise};
use plimsoll_sizing::learned::throughput::{
    BatchLimits, ClassHabits, Observation, Parameters, Placement, PredictedCompute, Prior, Throughput, efficiency,
};
use proptest::prelude::*;

/// A network of 10 GB/s, and gradients of 400 MB.
fn habits() -> ClassHabits {
    ClassHabits::of_network(10e9)
}

fn prior() -> Prior {
    Prior::new(&habits(), Some(4e8), None)
}

/// Programs and networks as there are: an exchange on a node takes between a fiftieth and twice of one over the network.
fn parameters() -> impl Strategy<Value = Parameters> {
    let time = || (-6.0..1.0_f64).prop_map(f64::exp);
    (
        time(),
        time(),
        1.1..4.0_f64,
        0.003..0.3_f64,
        time(),
        0.0..1.0_f64,
        time(),
        0.0..0.5_f64,
        1.0..2.2_f64,
        1.2..5.0_f64,
        0.002..0.08_f64,
    )
        .prop_map(
            |(
                floor_seconds,
                sample,
                sharpness,
                crowding,
                node,
                node_growth,
                network_seconds,
                growth,
                two_nodes,
                overlap,
                straggling,
            )| {
                Parameters {
                    floor_seconds,
                    sample_seconds: sample * 0.1,
                    sharpness,
                    crowding,
                    node_seconds: node * network_seconds,
                    node_growth,
                    network_seconds,
                    network_growth: growth,
                    two_nodes,
                    overlap,
                    straggling,
                }
            },
        )
}

fn placement() -> impl Strategy<Value = Placement> {
    prop::collection::vec(1..=16_u32, 1..=64).prop_map(|nodes| Placement::of_nodes(&nodes).expect("at least one node"))
}

fn seen(truth: &Parameters, nodes: &[u32], local_batch: f64) -> Observation {
    let placement = Placement::of_nodes(nodes).expect("at least one device");
    let step_seconds = truth.step_seconds(placement, local_batch, 1);
    Observation { placement, local_batch, accumulation: 1, step_seconds, sync_seconds: None, weight: 1.0 }
}

/// Five steps at two sizes, as a small job would be seen.
fn five(truth: &Parameters) -> Vec<Observation> {
    let at = |nodes: &[u32], batch: f64| seen(truth, nodes, batch);
    vec![at(&[4], 4.0), at(&[4], 32.0), at(&[4, 4, 4, 4], 4.0), at(&[4, 4, 4, 4], 12.0), at(&[4, 4, 4, 4], 32.0)]
}

/// Many steps at every kind of placement, without noise.
fn many(truth: &Parameters) -> Vec<Observation> {
    let places: [&[u32]; 10] =
        [&[1], &[2], &[4], &[8], &[1, 1], &[4, 4], &[8, 8], &[1, 1, 1], &[4, 4, 4, 4], &[8, 8, 8, 8, 8, 8, 8, 8]];
    let batches = [1.0, 4.0, 16.0, 64.0];
    places.iter().flat_map(|nodes| batches.map(|batch| seen(truth, nodes, batch))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_minimum_is_inside_its_bounds_and_never_dearer_than_the_start(
        start in prop::collection::vec(-5.0..5.0_f64, 3),
        low in prop::collection::vec(-3.0..0.0_f64, 3),
        width in prop::collection::vec(0.0..4.0_f64, 3),
        target in prop::collection::vec(-6.0..6.0_f64, 5),
    ) {
        let bounds: Vec<Bounds> = low.iter().zip(&width).map(|(low, width)| Bounds { low: *low, high: low + width }).collect();
        let curve = |x: &[f64], out: &mut [f64]| {
            for (at, out) in out.iter_mut().enumerate() {
                let t = at as f64;
                *out = x[0] + x[1] * (0.7 * t).sin() * x[2].exp() - target[at];
            }
        };
        let found = minimise(curve, 5, &start, &bounds, Limits::default());
        for (value, bounds) in found.parameters.iter().zip(&bounds) {
            prop_assert!((bounds.low..=bounds.high).contains(value));
        }
        let clamped: Vec<f64> = start.iter().zip(&bounds).map(|(value, bounds)| bounds.clamp(*value)).collect();
        let mut residuals = [0.0; 5];
        curve(&clamped, &mut residuals);
        prop_assert!(found.cost <= residuals.iter().map(|r| r * r).sum());
        curve(&found.parameters, &mut residuals);
        prop_assert_eq!(found.cost, residuals.iter().map(|r| r * r).sum::<f64>());
    }

    #[test]
    fn an_expected_step_is_positive_and_finite_wherever_and_whatever_was_seen(
        placement in placement(),
        batch in 1.0..1e6_f64,
        accumulation in 1..64_u32,
        steps in prop::collection::vec((prop::collection::vec(0..=8_u32, 1..6), 0.0..1e5_f64, -1.0..1e4_f64), 0..8),
    ) {
        let observations: Vec<Observation> = steps
            .iter()
            .filter_map(|(nodes, local_batch, step_seconds)| {
                let placement = Placement::of_nodes(nodes)?;
                let (local_batch, step_seconds) = (*local_batch, *step_seconds);
                Some(Observation { placement, local_batch, accumulation: 1, step_seconds, sync_seconds: Some(0.1), weight: 1.0 })
            })
            .collect();
        let expected = Throughput::fit(&observations, &prior()).expect(placement, batch, accumulation);
        prop_assert!(expected.seconds.is_finite() && expected.seconds > 0.0, "{expected:?}");
        prop_assert!(expected.spread.is_finite() && expected.spread > 0.0, "{expected:?}");
    }

    #[test]
    fn many_steps_without_noise_are_met(truth in parameters()) {
        let observations = many(&truth);
        let fitted = Throughput::fit(&observations, &prior());
        for seen in &observations {
            let expected = fitted.expect(seen.placement, seen.local_batch, 1).seconds;
            prop_assert!((expected / seen.step_seconds).ln().abs() < 0.1, "{seen:?} {expected}");
        }
    }

    #[test]
    fn more_of_the_truth_never_makes_the_fit_much_worse(truth in parameters()) {
        let worst = |fitted: &Throughput| {
            let error = |seen: &Observation| {
                (fitted.expect(seen.placement, seen.local_batch, 1).seconds / seen.step_seconds).ln().abs()
            };
            many(&truth).iter().map(error).fold(0.0, f64::max)
        };
        let few = worst(&Throughput::fit(&five(&truth), &prior()));
        let all = worst(&Throughput::fit(&many(&truth), &prior()));
        prop_assert!(all <= few.max(0.1), "{few} {all}");
    }

    /// One of twenty steps that is ten times too long or too short moves what is expected of the others by a fifth at most:
    /// a far observation pulls with a force that does not grow.
    #[test]
    fn one_bad_step_moves_the_others_by_a_bounded_factor(truth in parameters(), bad in 0..20_usize, long in any::<bool>()) {
        let good: Vec<Observation> = (0..4).flat_map(|_| five(&truth)).collect();
        let mut spoilt = good.clone();
        spoilt[bad].step_seconds *= if long { 10.0 } else { 0.1 };
        let prior = Prior::new(&habits(), None, None);
        let (right, wrong) = (Throughput::fit(&good, &prior), Throughput::fit(&spoilt, &prior));
        for seen in &good {
            let at = |fitted: &Throughput| fitted.expect(seen.placement, seen.local_batch, 1).seconds;
            let moved = (at(&wrong) / at(&right)).ln().abs();
            prop_assert!(moved < 0.2, "{moved} at {seen:?}");
        }
    }

    #[test]
    fn goodput_is_never_above_throughput_and_the_best_cut_is_within_the_limits(
        truth in parameters(),
        placement in placement(),
        noise in 0.0..1e6_f64,
        first in 1..1000_u32,
        least in 1..2000_u32,
        more in 0..20_000_u32,
        local_most in 1..512_u32,
    ) {
        let fitted = Throughput::fit(&five(&truth), &prior());
        let limits = BatchLimits { global: least..=least + more, local_most, first };
        if let Some(cut) = fitted.best_cut(placement, &limits, noise) {
            let global = u64::from(placement.gpus()) * u64::from(cut.local_batch) * u64::from(cut.accumulation);
            prop_assert!(cut.local_batch <= local_most);
            prop_assert!((u64::from(least)..=u64::from(least + more)).contains(&global), "{cut:?}");
            let all = fitted.samples_per_second(placement, f64::from(cut.local_batch), cut.accumulation);
            prop_assert!(cut.goodput <= all && cut.goodput > 0.0);
        }
    }

    #[test]
    fn efficiency_falls_with_the_batch_and_stays_a_share(
        noise in 0.0..1e9_f64, first in 1.0..1e4_f64, batch in 1.0..1e6_f64, more in 0.0..1e6_f64,
    ) {
        let (small, large) = (efficiency(noise, first, batch), efficiency(noise, first, batch + more));
        prop_assert!((0.0..=1.0).contains(&small) && (0.0..=1.0).contains(&large));
        prop_assert!(large <= small);
    }
}

#[test]
fn without_an_observation_the_prior_speaks_and_says_how_little_it_knows() {
    let compute = PredictedCompute { floor_seconds: 0.05, sample_seconds: 0.01 };
    let fitted = Throughput::fit(&[], &Prior::new(&habits(), Some(4e8), Some(compute)));
    let one = fitted.expect(Placement::of_nodes(&[1]).unwrap(), 10.0, 1);
    let many = fitted.expect(Placement::of_nodes(&[8, 8]).unwrap(), 10.0, 1);
    assert!((0.1..0.16).contains(&one.seconds), "{one:?}");
    assert!(one.spread > 0.15 && many.spread >= one.spread * 0.8, "{one:?} {many:?}");
}

#[test]
fn what_was_not_seen_stays_at_the_prior_and_is_less_certain() {
    let truth = Parameters {
        floor_seconds: 0.02,
        sample_seconds: 0.01,
        sharpness: 2.0,
        crowding: 0.02,
        node_seconds: 0.01,
        node_growth: 0.3,
        network_seconds: 0.08,
        network_growth: 0.1,
        two_nodes: 1.6,
        overlap: 2.0,
        straggling: 0.02,
    };
    let one_node: Vec<Observation> =
        [1.0, 4.0, 16.0].iter().flat_map(|batch| [seen(&truth, &[1], *batch), seen(&truth, &[4], *batch)]).collect();
    let fitted = Throughput::fit(&one_node, &prior());
    let before = Throughput::fit(&[], &prior());
    assert_eq!(fitted.parameters().two_nodes, before.parameters().two_nodes);
    let (near, far) = (Placement::of_nodes(&[2]).unwrap(), Placement::of_nodes(&[4, 4, 4]).unwrap());
    assert!(fitted.expect(near, 1.0, 1).spread < 0.6 * fitted.expect(far, 1.0, 1).spread);
}

#[test]
fn jobs_on_the_class_teach_what_a_new_job_has_not_seen() {
    let truth = |scale: f64| Parameters {
        floor_seconds: 0.1 * scale,
        sample_seconds: 0.02 * scale,
        sharpness: 1.5,
        crowding: 0.02,
        node_seconds: 0.02 * scale,
        node_growth: 0.4,
        network_seconds: 0.1 * scale,
        network_growth: 0.15,
        two_nodes: 1.8,
        overlap: 2.0,
        straggling: 0.02,
    };
    let bytes = |scale: f64| 1e8 * scale;
    let jobs: Vec<(Parameters, f64)> = [0.5, 1.0, 3.0]
        .map(|scale| (*Throughput::fit(&many(&truth(scale)), &prior()).parameters(), bytes(scale)))
        .to_vec();
    let new = truth(7.0);
    let one_node: Vec<Observation> = [2.0, 8.0, 32.0].map(|batch| seen(&new, &[4], batch)).to_vec();
    let error = |habits: &ClassHabits| {
        let fitted = Throughput::fit(&one_node, &Prior::new(habits, Some(bytes(7.0)), None));
        let seen = seen(&new, &[4, 4, 4], 8.0);
        (fitted.expect(seen.placement, 8.0, 1).seconds / seen.step_seconds).ln().abs()
    };
    let (taught, untaught) = (error(&habits().with_jobs(&jobs)), error(&habits()));
    assert!(taught < 0.05 && taught < untaught, "{taught} {untaught}");
}

#[test]
fn how_long_a_program_waited_tells_compute_from_exchange() {
    let truth = Parameters {
        floor_seconds: 0.02,
        sample_seconds: 0.02,
        sharpness: 1.2,
        crowding: 0.003,
        node_seconds: 0.01,
        node_growth: 0.5,
        network_seconds: 0.5,
        network_growth: 0.2,
        two_nodes: 1.35,
        overlap: 2.0,
        straggling: 0.02,
    };
    let place = Placement::of_nodes(&[2, 2, 2, 2]).unwrap();
    let told = |sync: bool| {
        let mut step = seen(&truth, &[2, 2, 2, 2], 8.0);
        step.sync_seconds = sync.then(|| step.step_seconds - truth.compute_seconds(place, 8.0));
        let fitted = Throughput::fit(&[step], &prior());
        (fitted.parameters().compute_seconds(place, 8.0) / truth.compute_seconds(place, 8.0)).ln().abs()
    };
    assert!(told(true) < 0.05 && told(true) < told(false), "{} {}", told(true), told(false));
}

#[test]
fn a_newer_step_counts_more_than_an_older_one() {
    let place = Placement::of_nodes(&[1]).unwrap();
    let step = |step_seconds, newer| {
        let weight = Observation::weight_after(newer);
        Observation { placement: place, local_batch: 8.0, accumulation: 1, step_seconds, sync_seconds: None, weight }
    };
    let fitted = Throughput::fit(&[step(1.0, 96), step(1.1, 0)], &prior());
    let expected = fitted.expect(place, 8.0, 1).seconds;
    assert!((1.07..1.11).contains(&expected), "{expected}");
}

#[test]
fn a_batch_that_kernels_dislike_is_dear_where_it_was_not_seen_too() {
    let truth = Parameters {
        floor_seconds: 0.02,
        sample_seconds: 0.01,
        sharpness: 1.5,
        crowding: 0.003,
        node_seconds: 0.001,
        node_growth: 0.3,
        network_seconds: 0.01,
        network_growth: 0.1,
        two_nodes: 1.5,
        overlap: 2.0,
        straggling: 0.01,
    };
    let mut steps: Vec<Observation> = [4.0, 8.0, 12.0, 16.0, 32.0].map(|batch| seen(&truth, &[4], batch)).to_vec();
    steps[2].step_seconds *= 1.15;
    let fitted = Throughput::fit(&steps, &prior());
    let over = |batch: f64| {
        let there = seen(&truth, &[4, 4], batch);
        fitted.expect(there.placement, batch, 1).seconds / there.step_seconds
    };
    assert!(over(12.0) > 1.05 && over(12.0) > 1.05 * over(24.0), "{} {}", over(12.0), over(24.0));
}
