//! Predictions by constants that never saw the group a row belongs to.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_sizing::Prepared;
use plimsoll_sizing::calibration::TimeConstants;

use crate::fit::{Coordinates, Search, minimise};

/// A measured step.
pub(crate) trait Measured {
    /// Its run with all but constants summed up.
    fn prepared(&self) -> Prepared<'_>;

    /// Seconds of one optimizer step.
    fn seconds(&self) -> f64;

    /// Rows that weigh together: their errors are averaged first, and averages weigh as the root of their rows.
    fn kin(&self) -> &str;
}

/// What is fitted to measured steps, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// The constants that such rows tell apart.
    pub(crate) free: &'static [&'static str],
    /// Errors below this count little, as shares of 1.
    pub(crate) noise: f64,
}

/// Weight of the squared distance from the starting values, in logarithms, against the mean error. Anything from 0.003 to 1
/// leaves rows out with about the same error; the middle keeps constants near what their documentation names.
const PRIOR: f64 = 0.1;

/// A search that starts from constants that know all but a few of its rows.
const REFIT: Search = Search { edge: 0.3, rounds: 3, steps: 600 };

/// Rows by kin, ready to be asked again and again.
struct Asked<'a> {
    by_kin: BTreeMap<&'a str, Vec<(Prepared<'a>, f64)>>,
}

impl Asked<'_> {
    fn mean_error(&self, constants: &TimeConstants, noise: f64) -> f64 {
        let (mut sum, mut weight) = (0.0, 0.0);
        for rows in self.by_kin.values() {
            let error =
                |(run, seconds): &(Prepared<'_>, f64)| (run.step_time(constants).total() / seconds).ln().hypot(noise);
            let count = rows.len() as f64;
            sum += rows.iter().map(error).sum::<f64>() / count * count.sqrt();
            weight += count.sqrt();
        }
        sum / weight.max(1.0)
    }
}

impl Fit {
    /// The constants that fit measured steps best, searched from `start`.
    ///
    /// The loss is the mean absolute logarithm of predicted over observed, and a pull to the starting values where rows
    /// say nothing.
    pub(crate) fn constants<'a, M: Measured + 'a>(
        &self,
        cases: impl IntoIterator<Item = &'a M>,
        start: &TimeConstants,
        search: Search,
    ) -> TimeConstants {
        let mut asked = Asked { by_kin: BTreeMap::new() };
        for case in cases {
            asked.by_kin.entry(case.kin()).or_default().push((case.prepared(), case.seconds()));
        }
        let coordinates = Coordinates::of(start, self.free);
        let home = Coordinates::of(&TimeConstants::STARTING, self.free).position();
        let loss = |position: &[f64]| {
            let Some(constants) = coordinates.apply::<TimeConstants>(position) else { return f64::INFINITY };
            let pull: f64 = position.iter().zip(&home).map(|(own, home)| (own - home).powi(2)).sum();
            asked.mean_error(&constants, self.noise) + PRIOR * pull / home.len() as f64
        };
        let (position, _) = minimise(loss, &coordinates.position(), search);
        coordinates.apply(&position).unwrap_or_else(|| start.clone())
    }

    /// What each of `cases` is predicted to take, in seconds, by constants fitted to those of `known` that are not of its
    /// group; with the group. `whole` was fitted to all of them.
    pub(crate) fn without<M: Measured>(
        &self,
        known: &[M],
        cases: &[M],
        whole: &TimeConstants,
        group: impl Fn(&M) -> &str,
    ) -> Vec<(f64, String)> {
        let groups: BTreeSet<&str> = cases.iter().map(&group).collect();
        let mut fitted = BTreeMap::new();
        for name in groups {
            let others: Vec<&M> = known.iter().filter(|case| group(case) != name).collect();
            if others.len() < known.len() {
                fitted.insert(name, self.constants(others, whole, REFIT));
            }
        }
        let answer = |case: &M| {
            let name = group(case);
            let constants = fitted.get(name).unwrap_or(whole);
            (case.prepared().step_time(constants).total(), name.to_owned())
        };
        cases.iter().map(answer).collect()
    }
}
