//! Predictions by constants that never saw the group a row belongs to.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_sizing::Prepared;
use plimsoll_sizing::calibration::TimeConstants;

use crate::fit::{Coordinates, Search, minimise};

use super::case::Case;

/// Constants that transformers of known architecture tell apart.
const FREE: &[&str] = &[
    "product_efficiency",
    "density_exponent",
    "attention_efficiency",
    "attention_exponent",
    "product_bandwidth",
    "pointwise_bandwidth",
    "loss_bytes",
    "score_bytes",
    "cast_bytes",
    "compiled",
    "ramp_seconds",
    "overlap",
    "link_share",
    "network_share",
    "hop_seconds",
    "message_seconds",
    "asynchronous_tensor",
    "tensor_gather",
    "optimizer_passes",
];

/// Weight of the squared distance from the starting values, in logarithms, against the mean error.
const PRIOR: f64 = 0.003;

/// Errors below this count little, as shares of 1: what a run differs from the next.
const NOISE: f64 = 0.01;

/// A row ready to be asked again and again.
struct Asked<'a> {
    case: &'a Case,
    prepared: Prepared<'a>,
}

impl Asked<'_> {
    /// Logarithm of predicted over observed.
    fn error(&self, constants: &TimeConstants) -> f64 {
        (self.prepared.step_time(constants).total() / self.case.seconds).ln()
    }
}

/// The constants that fit `cases` best, searched from `start`.
///
/// The loss is the mean absolute logarithm of predicted over observed within each framework, frameworks weighing as the
/// root of their rows, and a pull to the starting values where rows say nothing.
pub(crate) fn fit<'a>(
    cases: impl IntoIterator<Item = &'a Case>,
    start: &TimeConstants,
    search: Search,
) -> TimeConstants {
    let asked: Vec<Asked<'_>> = cases.into_iter().map(|case| Asked { case, prepared: case.prepared() }).collect();
    let coordinates = Coordinates::of(start, FREE);
    let home = Coordinates::of(&TimeConstants::STARTING, FREE).position();
    let loss = |position: &[f64]| {
        let Some(constants) = coordinates.apply::<TimeConstants>(position) else { return f64::INFINITY };
        let pull: f64 = position.iter().zip(&home).map(|(own, home)| (own - home).powi(2)).sum();
        mean_error(&asked, &constants) + PRIOR * pull / home.len() as f64
    };
    let (position, _) = minimise(loss, &coordinates.position(), search);
    coordinates.apply(&position).unwrap_or_else(|| start.clone())
}

fn mean_error(asked: &[Asked<'_>], constants: &TimeConstants) -> f64 {
    let mut by_framework: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in asked {
        let (sum, rows) = by_framework.entry(&row.case.framework).or_default();
        *sum += row.error(constants).hypot(NOISE);
        *rows += 1.0;
    }
    let weight: f64 = by_framework.values().map(|(_, rows)| rows.sqrt()).sum();
    by_framework.values().map(|(sum, rows)| sum / rows * rows.sqrt()).sum::<f64>() / weight.max(1.0)
}

/// What each of `cases` is predicted to take, in seconds, by constants fitted to those of `known` that are not of its
/// group; with the group.
pub(crate) fn predict(
    known: &[Case],
    cases: &[Case],
    whole: &TimeConstants,
    group: impl Fn(&Case) -> &str,
    search: Search,
) -> Vec<(f64, String)> {
    let groups: BTreeSet<&str> = cases.iter().map(&group).collect();
    let mut fitted = BTreeMap::new();
    for name in groups {
        let others: Vec<&Case> = known.iter().filter(|case| group(case) != name).collect();
        let constants =
            if others.len() == known.len() { whole.clone() } else { fit(others.iter().copied(), whole, search) };
        fitted.insert(name, constants);
    }
    let answer = |case: &Case| {
        let name = group(case);
        let constants = fitted.get(name).unwrap_or(whole);
        (case.prepared().step_time(constants).total(), name.to_owned())
    };
    cases.iter().map(answer).collect()
}
