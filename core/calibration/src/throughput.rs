//! Step time after five observed steps.
//!
//! Asks the online model of `plimsoll_sizing::learned::throughput` about profiles of step time over placements and batches:
//! folders `<cluster>/<model>/placements*.csv` anywhere below the folder of tables.
//!
//! The protocol: a program is seen at two sizes, two steps at the smaller (its smallest and largest local batch) and three
//! at the larger (smallest, middle, largest), each with the part of it that waited for gradients, as the profiles have it;
//! once also without that part, which is what a program that tells nothing shows. Every profiled row of every other placement is then
//! predicted. What the prior knows of the cluster is fitted to the *other* programs of the folder, so the program's own rows
//! are never seen but for the five; its gradients' bytes are four for each parameter, where `profiles/models.csv` knows
//! them. The two sizes are named by rule, none by outcome, and several pairs are asked: from one node to all nodes is the
//! one that the bar is on.

mod profile;

use plimsoll_sizing::learned::throughput::{ClassHabits, Observation, Parameters, Placement, Prior, Throughput};

use crate::{Bar, Evaluation, Published, Residual, Unanswered};
use profile::{Cluster, Profiled, Program};

/// Rows of another program that its own fit sees: about as many steps as a job's evidence holds a few times over.
const TAUGHT_BY: usize = 200;

/// A network that says little: habits of fewer than three programs start here. Bytes per second.
const SOME_NETWORK: f64 = 1e9;

/// Bytes of a gradient, as these programs exchange them: single precision.
const GRADIENT_BYTES: f64 = 4.0;

/// The pair that the bar is on.
const NODE_AND_ALL: &str = "step seconds after five steps, on one node and on all nodes";

/// What is asked of each cluster as a whole: the two sizes.
const PAIRS: [(&str, Size, Size); 7] = [
    (NODE_AND_ALL, Size::Node, Size::AllNodes),
    ("step seconds after five steps, on one node and on half of all nodes", Size::Node, Size::HalfOfAllNodes),
    ("step seconds after five steps, on one node and on two nodes", Size::Node, Size::TwoNodes),
    ("step seconds after five steps, on one GPU and on all nodes", Size::Gpu, Size::AllNodes),
    ("step seconds after five steps, on one GPU and on half of all nodes", Size::Gpu, Size::HalfOfAllNodes),
    ("step seconds after five steps, on one GPU and on two nodes", Size::Gpu, Size::TwoNodes),
    ("step seconds after five steps, on one GPU and on one node", Size::Gpu, Size::Node),
];

/// The bar's pair, when programs do not tell how long they waited.
const UNTOLD: &str = "step seconds after five steps, the same, waiting not told";

/// The bar's pair for a cluster where nothing else has run and a program whose gradients are of unknown size.
const ALONE: &str = "step seconds after five steps, the same with no other program known";

/// The bar's pair, and placements beyond those profiled one by one.
const BEYOND: &str = "step seconds after five steps, on up to 16 nodes";

/// A placement by rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Gpu,
    Node,
    TwoNodes,
    HalfOfAllNodes,
    AllNodes,
}

/// Asks every profile.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    profile::clusters(&published.folder).iter().flat_map(evaluate_cluster).collect()
}

/// What must hold of the bar's pair, with and without the waiting told.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let pooled = |question: &'static str| evaluations.iter().filter(move |evaluation| evaluation.question == question);
    vec![
        Bar::on_errors("speed after five observed steps, unseen placements", pooled(NODE_AND_ALL), 0.05, 0.15),
        Bar::on_errors("speed after five observed steps, waiting not told", pooled(UNTOLD), 0.05, 0.15),
    ]
}

fn evaluate_cluster(cluster: &Cluster) -> Vec<Evaluation> {
    let left_out = Some("one model left out");
    let fitted: Vec<Option<(Parameters, f64)>> = cluster.programs.iter().map(taught).collect();
    let mut evaluations = Vec::new();
    for (question, small, large) in PAIRS {
        let mut all = Evaluation::new(question, &cluster.name, left_out);
        let mut beyond = Evaluation::new(BEYOND, &cluster.name, left_out);
        let mut alone = Evaluation::new(ALONE, &cluster.name, left_out);
        let mut untold = Evaluation::new(UNTOLD, &cluster.name, left_out);
        for (at, program) in cluster.programs.iter().enumerate() {
            let mut own = Evaluation::new(question, &format!("{} {}", cluster.name, program.name), left_out);
            let Some(seen) = observe(program, small, large) else {
                if question == NODE_AND_ALL {
                    let reason = "fewer than two sizes".to_owned();
                    own.unanswered = program.rows.iter().map(|row| unanswered(program, row, &reason)).collect();
                    evaluations.push(own);
                }
                continue;
            };
            let others = fitted.iter().enumerate().filter(|(other, _)| *other != at);
            let others: Vec<(Parameters, f64)> = others.filter_map(|(_, fitted)| *fitted).collect();
            let habits = ClassHabits::of_network(SOME_NETWORK).with_jobs(&others);
            let prior = Prior::new(&habits, program.parameters.map(|count| count * GRADIENT_BYTES), None);
            own.residuals = predict(program, &program.rows, &seen, &Throughput::fit(&seen, &prior));
            all.residuals.extend(own.residuals.clone());
            if question == NODE_AND_ALL {
                let fitted = Throughput::fit(&seen, &prior);
                beyond.residuals.extend(predict(program, &program.beyond, &seen, &fitted));
                let silent: Vec<Observation> =
                    seen.iter().map(|seen| Observation { sync_seconds: None, ..*seen }).collect();
                untold.residuals.extend(predict(program, &program.rows, &seen, &Throughput::fit(&silent, &prior)));
                let prior = Prior::new(&ClassHabits::of_network(SOME_NETWORK), None, None);
                alone.residuals.extend(predict(program, &program.rows, &seen, &Throughput::fit(&seen, &prior)));
                evaluations.push(own);
            }
        }
        if question != NODE_AND_ALL {
            evaluations.push(all);
        } else {
            evaluations.extend([untold, alone, beyond].into_iter().filter(|evaluation| evaluation.rows() > 0));
        }
    }
    evaluations
}

/// What a program teaches others of its cluster: its fitted parameters and the bytes of its gradients.
fn taught(program: &Program) -> Option<(Parameters, f64)> {
    let bytes = program.parameters? * GRADIENT_BYTES;
    let stride = program.rows.len().div_ceil(TAUGHT_BY).max(1);
    let rows: Vec<Observation> = program.rows.iter().step_by(stride).map(|row| row.observation).collect();
    let prior = Prior::new(&ClassHabits::of_network(SOME_NETWORK), None, None);
    (rows.len() > 5).then(|| (*Throughput::fit(&rows, &prior).parameters(), bytes))
}

/// The five steps of a program at two sizes; `None` when it was not profiled so.
fn observe(program: &Program, small: Size, large: Size) -> Option<Vec<Observation>> {
    let (small, large) = (placement(program, small)?, placement(program, large)?);
    if small == large {
        return None;
    }
    let at = |place: Placement, shares: &[f64]| {
        let mut rows: Vec<&Profiled> = program.rows.iter().filter(|row| row.observation.placement == place).collect();
        rows.sort_by(|a, b| a.observation.local_batch.total_cmp(&b.observation.local_batch));
        let last = rows.len().checked_sub(1)? as f64;
        Some(shares.iter().map(|share| rows[(last * share).round() as usize].observation).collect::<Vec<_>>())
    };
    let mut seen = at(small, &[0.0, 1.0])?;
    seen.extend(at(large, &[0.0, 0.5, 1.0])?);
    Some(seen)
}

/// The placement that a size means for a program: evenly filled nodes.
fn placement(program: &Program, size: Size) -> Option<Placement> {
    let even = || {
        let all = program.rows.iter().map(|row| row.observation.placement);
        all.filter(|place| place.gpus() == place.nodes() * place.fullest())
    };
    let (nodes, fullest) = (even().map(Placement::nodes).max()?, even().map(Placement::fullest).max()?);
    let (nodes, each) = match size {
        Size::Gpu => (1, 1),
        Size::Node => (1, fullest),
        Size::TwoNodes => (2, fullest),
        Size::HalfOfAllNodes => (nodes, fullest / 2),
        Size::AllNodes => (nodes, fullest),
    };
    even().find(|place| place.nodes() == nodes && place.fullest() == each)
}

/// Every row at a placement that was not seen.
fn predict(program: &Program, rows: &[Profiled], seen: &[Observation], fitted: &Throughput) -> Vec<Residual> {
    let unseen = |row: &&Profiled| seen.iter().all(|seen| seen.placement != row.observation.placement);
    let residual = |row: &Profiled| {
        let Observation { placement, local_batch, accumulation, step_seconds, .. } = row.observation;
        Residual {
            row: row.label.clone(),
            predicted: fitted.expect(placement, local_batch, accumulation).seconds,
            observed: step_seconds,
            group: program.name.clone(),
        }
    };
    rows.iter().filter(unseen).map(residual).collect()
}

fn unanswered(program: &Program, row: &Profiled, reason: &str) -> Unanswered {
    Unanswered { row: format!("{} {}", program.name, row.label), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::quantile;

    fn repository() -> Vec<Cluster> {
        profile::clusters(&Published::of_repository().expect("the repository's tables").folder)
    }

    #[test]
    fn the_profiles_of_the_pollux_paper_stand_in_the_repository() {
        let clusters = repository();
        let sizes: Vec<usize> = clusters.iter().flat_map(|cluster| &cluster.programs).map(|p| p.rows.len()).collect();
        assert_eq!(clusters.iter().map(|cluster| cluster.name.as_str()).collect::<Vec<_>>(), ["pollux-osdi21"]);
        assert_eq!(sizes, [540, 1183, 754, 864, 1661, 540]);
        assert!(clusters[0].programs.iter().all(|program| program.parameters.is_some() && !program.beyond.is_empty()));
    }

    #[test]
    fn a_program_is_seen_five_times_and_never_asked_where_it_was_seen() {
        let cluster = &repository()[0];
        let program = &cluster.programs[0];
        let seen = observe(program, Size::Node, Size::AllNodes).expect("both sizes");
        let fitted = Throughput::fit(&seen, &Prior::new(&ClassHabits::of_network(SOME_NETWORK), None, None));
        let asked = predict(program, &program.rows, &seen, &fitted);
        assert_eq!((seen.len(), asked.len()), (5, program.rows.len() - 10));
        assert!(asked.iter().all(|residual| !residual.row.starts_with("4 ") && !residual.row.starts_with("4444 ")));
    }

    /// A guard against getting worse, not the bar: the bar is in the report.
    #[test]
    fn after_five_steps_unseen_placements_are_met_and_the_spread_says_how_well() {
        let cluster = &repository()[0];
        let fitted: Vec<Option<(Parameters, f64)>> = cluster.programs.iter().map(taught).collect();
        let (mut errors, mut within) = (Vec::new(), 0_usize);
        for (at, program) in cluster.programs.iter().enumerate() {
            let others: Vec<_> =
                (0..fitted.len()).filter(|other| *other != at).filter_map(|other| fitted[other]).collect();
            let habits = ClassHabits::of_network(SOME_NETWORK).with_jobs(&others);
            let prior = Prior::new(&habits, program.parameters.map(|count| count * GRADIENT_BYTES), None);
            let seen = observe(program, Size::Node, Size::AllNodes).expect("both sizes");
            let fitted = Throughput::fit(&seen, &prior);
            for row in &program.rows {
                let Observation { placement, local_batch, step_seconds, .. } = row.observation;
                let expected = fitted.expect(placement, local_batch, 1);
                let error = (expected.seconds / step_seconds).ln().abs();
                errors.push(error);
                within += usize::from(error < 2.0 * expected.spread);
            }
        }
        errors.sort_by(f64::total_cmp);
        let (median, ninetieth) = (quantile(&errors, 0.5).unwrap_or(1.0), quantile(&errors, 0.9).unwrap_or(1.0));
        assert!(median < 0.055 && ninetieth < 0.16, "{median} {ninetieth}");
        let share = within as f64 / errors.len() as f64;
        assert!((0.9..0.99).contains(&share), "{share} within two spreads");
    }
}
