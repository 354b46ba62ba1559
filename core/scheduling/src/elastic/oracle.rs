//! Laws of the allocation, with an integer program's answer as the judge.

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOptions};
use proptest::prelude::*;

use super::{Column, Job, Offer, Running, Settings, allocate, fill, search};

/// The best worth by branch and bound; `None` where the nodes did not suffice.
fn best(capacity: &[u32], jobs: &[Vec<Column>]) -> Option<f64> {
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let mut used: Vec<Vec<(microlp::Variable, f64)>> = vec![Vec::new(); capacity.len()];
    for columns in jobs {
        let mut one = Vec::new();
        for column in columns {
            let taken = problem.add_binary_var(column.worth);
            one.push((taken, 1.0));
            used[column.class].push((taken, f64::from(column.gpus)));
        }
        if !one.is_empty() {
            problem.add_constraint(&one, ComparisonOp::Le, 1.0);
        }
    }
    for (used, gpus) in used.iter().zip(capacity).filter(|(used, _)| !used.is_empty()) {
        problem.add_constraint(used, ComparisonOp::Le, f64::from(*gpus));
    }
    let mut options = SolveOptions::default();
    options.node_limit = Some(20_000);
    let solved = problem.solve_with(options).ok()?;
    Some(solved.into_solution().ok()?.objective())
}

fn worth(capacity: &[u32], jobs: &[Vec<Column>], choices: &[Option<usize>]) -> f64 {
    let mut free = capacity.to_vec();
    let mut worth = 0.0;
    for (columns, choice) in jobs.iter().zip(choices) {
        let Some(column) = choice.map(|at| columns[at]) else { continue };
        assert!(column.gpus <= free[column.class], "more than there is of class {}", column.class);
        free[column.class] -= column.gpus;
        worth += column.worth;
    }
    worth
}

/// A job whose worth falls off with size, on some of three classes, now and then with a bump.
fn columns() -> impl Strategy<Value = Vec<Column>> {
    let class = (0.2..4.0_f64, 0.3..1.0_f64, 1..13_u32, proptest::bool::weighted(0.8));
    proptest::collection::vec((class, 0.9..1.3_f64), 3).prop_map(|classes| {
        let mut columns = Vec::new();
        for (class, ((speed, power, most, there), bump)) in classes.into_iter().enumerate() {
            let counts = [1, 2, 3, 4, 6, 8, 12].into_iter().filter(|gpus| there && *gpus <= most);
            columns.extend(counts.map(|gpus| Column {
                class,
                gpus,
                worth: speed * f64::from(gpus).powf(power) * if gpus == 4 { bump } else { 1.0 },
            }));
        }
        columns
    })
}

fn jobs() -> impl Strategy<Value = Vec<Job>> {
    let job = (columns(), 1e2..1e6_f64, 0.5..2.0_f64, proptest::option::of(0.0..9000.0_f64));
    proptest::collection::vec(job, 1..14).prop_map(|jobs| {
        let job = |(columns, remaining, weight, since): (Vec<Column>, f64, f64, Option<f64>)| {
            let offer = |c: &Column| Offer { class: c.class, gpus: c.gpus, rate: c.worth, now: true };
            let offers: Vec<Offer> = columns.iter().map(offer).collect();
            let held = since.zip(offers.first());
            let running = held.map(|(since_seconds, offer)| Running {
                class: offer.class,
                gpus: offer.gpus,
                since_seconds,
                pinned: false,
            });
            Job { weight, remaining, restart_seconds: 60.0, running, known: true, offers }
        };
        jobs.into_iter().map(job).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_exact_answer_is_the_integer_programs_and_the_search_lies_between_it_and_its_bound(
        capacity in [0..20_u32, 0..14_u32, 0..9_u32],
        jobs in proptest::collection::vec(columns(), 0..14),
    ) {
        let exact = worth(&capacity, &jobs, &fill(&capacity, &jobs));
        let found = search(&capacity, &jobs, &[]);
        prop_assert!(found.worth <= exact + 1e-9 && exact <= found.bound + 1e-9, "{} in {found:?}", exact);
        prop_assert!((worth(&capacity, &jobs, &found.choices) - found.worth).abs() < 1e-9);
        if let Some(best) = best(&capacity, &jobs) {
            prop_assert!((exact - best).abs() < 1e-6 * best.max(1.0), "{exact} against {best}");
        }
    }

    #[test]
    fn the_order_of_jobs_decides_nothing(
        capacity in [1..20_u32, 1..14_u32, 0..9_u32],
        jobs in jobs(),
        turn in 0..14_usize,
        large: bool,
    ) {
        let capacity = capacity.map(|gpus| if large { 8 * gpus + 60 } else { gpus });
        let settings = Settings::WORK_KNOWN;
        let answer = allocate(&capacity, &[1.0, 2.0, 3.0], &jobs, &settings);
        let turn = turn % jobs.len();
        let mut turned = jobs.clone();
        turned.rotate_left(turn);
        let mut again = allocate(&capacity, &[1.0, 2.0, 3.0], &turned, &settings);
        again.choices.rotate_right(turn);
        again.prices.rotate_right(turn);
        prop_assert_eq!(answer, again);
    }

    #[test]
    fn a_small_answer_has_no_gap_and_a_large_one_a_small_one(
        capacity in [40..200_u32, 40..200_u32, 30..90_u32],
        jobs in jobs(),
        large: bool,
    ) {
        let capacity = capacity.map(|gpus| if large { gpus } else { gpus / 8 });
        let answer = allocate(&capacity, &[1.0, 2.0, 3.0], &jobs, &Settings::WORK_KNOWN);
        if large {
            prop_assert!(answer.bound - answer.worth <= 0.05 * answer.bound, "{} of {}", answer.worth, answer.bound);
        } else {
            prop_assert_eq!(answer.worth, answer.bound);
        }
    }
}
