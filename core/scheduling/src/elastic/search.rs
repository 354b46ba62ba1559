//! The same knapsack by prices of GPUs, for clusters on which the exact programme has too many states.

use super::fit::Fit;
use super::knapsack::Column;
use super::ladder::Ladders;

/// Rounds of the search.
const ROUNDS: usize = 60;

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The choice of every job.
    pub choices: Vec<Option<usize>>,
    /// What the choices are worth.
    pub worth: f64,
    /// What no choice is worth more than: the dual value of the best prices.
    pub bound: f64,
    /// Price of a GPU of each class: where the next search starts.
    pub prices: Vec<f64>,
}

/// One column a job within the GPUs of each class: each job takes its best column at a price per GPU that a subgradient search finds;
/// the choices are then made to fit, the smallest loss per GPU first, and what is left is filled. `start` are prices of an earlier
/// search; empty for none.
pub fn search(capacity: &[u32], jobs: &[Vec<Column>], start: &[f64]) -> Found {
    let ladders = Ladders::of(jobs);
    let (bound, prices) = ladders.dual(capacity, start, ROUNDS);
    let mut choices = ladders.choices(&prices);
    let mut free: Vec<i64> = capacity.iter().map(|gpus| i64::from(*gpus)).collect();
    for (columns, choice) in jobs.iter().zip(&choices) {
        if let Some(at) = *choice {
            free[columns[at].class] -= i64::from(columns[at].gpus);
        }
    }
    let mut fit = Fit { jobs, prices: &prices, choices: &mut choices, free };
    fit.shed();
    fit.fill();
    let worth = jobs.iter().zip(&choices).filter_map(|(columns, choice)| Some(columns[(*choice)?].worth)).sum();
    Found { choices, worth, bound, prices }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::knapsack::fill;
    use super::*;

    fn columns() -> impl Strategy<Value = Vec<Column>> {
        let column = (0..2_usize, 1..9_u32, 0.1..9.0_f64);
        let column = column.prop_map(|(class, gpus, worth)| Column { class, gpus, worth });
        proptest::collection::vec(column, 0..8)
    }

    proptest! {
        #[test]
        fn a_search_fits_and_the_best_lies_between_its_worth_and_its_bound(
            capacity in [1..24_u32, 1..24_u32],
            jobs in proptest::collection::vec(columns(), 0..12),
        ) {
            let found = search(&capacity, &jobs, &[]);
            let mut left = capacity;
            for (columns, choice) in jobs.iter().zip(&found.choices) {
                if let Some(at) = choice {
                    prop_assert!(columns[*at].gpus <= left[columns[*at].class]);
                    left[columns[*at].class] -= columns[*at].gpus;
                }
            }
            let best: f64 = jobs.iter().zip(fill(&capacity, &jobs)).filter_map(|(c, at)| Some(c[at?].worth)).sum();
            prop_assert!(found.worth <= best + 1e-9 && best <= found.bound + 1e-9, "{found:?} against {best}");
        }
    }
}
