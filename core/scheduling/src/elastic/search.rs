//! The same knapsack by prices of GPUs, for clusters on which the exact programme has too many states.

use super::knapsack::Column;

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

/// One column a job within the GPUs of each class: each job takes its best column at a price per GPU; a subgradient step raises
/// the price of a class that is over-asked and lowers the others' (Lagrangian relaxation; Fisher 1981, Management Science 27, 1).
/// The choices of the best round are then made to fit, the smallest loss per GPU first, and what is left is filled. `start` are
/// prices of an earlier search; empty for none.
pub fn search(capacity: &[u32], jobs: &[Vec<Column>], start: &[f64]) -> Found {
    let (bound, prices) = dual(capacity, jobs, start, ROUNDS);
    let mut choices: Vec<Option<usize>> = jobs.iter().map(|columns| choice(columns, &prices)).collect();
    fit(capacity, jobs, &prices, &mut choices);
    let worth = jobs.iter().zip(&choices).filter_map(|(columns, choice)| Some(columns[(*choice)?].worth)).sum();
    Found { choices, worth, bound, prices }
}

/// The least dual value that some rounds find, and the prices it is found at.
pub(super) fn dual(capacity: &[u32], jobs: &[Vec<Column>], start: &[f64], rounds: usize) -> (f64, Vec<f64>) {
    let total: f64 = jobs.iter().map(|columns| columns.iter().map(|c| c.worth).fold(0.0, f64::max)).sum();
    let gpus: f64 = capacity.iter().map(|gpus| f64::from(*gpus)).sum();
    let fresh = || vec![total / gpus.max(1.0); capacity.len()];
    let mut prices = if start.len() == capacity.len() { start.to_vec() } else { fresh() };
    let mut best = (f64::INFINITY, prices.clone());
    for round in 0..rounds {
        let (asked, surplus) = ask(capacity.len(), jobs, &prices);
        let paid: f64 = prices.iter().zip(capacity).map(|(price, gpus)| price * f64::from(*gpus)).sum();
        if surplus + paid < best.0 {
            best = (surplus + paid, prices.clone());
        }
        let step = 0.5 / (1.0 + round as f64 / 8.0);
        for (class, price) in prices.iter_mut().enumerate() {
            let over = (asked[class] - f64::from(capacity[class])) / f64::from(capacity[class].max(1));
            *price = (*price * (step * over.clamp(-1.0, 2.0)).exp()).max(1e-12);
        }
    }
    best
}

fn net(column: &Column, prices: &[f64]) -> f64 {
    column.worth - prices[column.class] * f64::from(column.gpus)
}

fn choice(columns: &[Column], prices: &[f64]) -> Option<usize> {
    let mut best = (0.0, None);
    for (at, column) in columns.iter().enumerate() {
        let net = net(column, prices);
        if net > best.0 {
            best = (net, Some(at));
        }
    }
    best.1
}

/// GPUs that all jobs ask for at these prices, by class, and what they gain.
fn ask(classes: usize, jobs: &[Vec<Column>], prices: &[f64]) -> (Vec<f64>, f64) {
    let mut asked = vec![0.0; classes];
    let mut surplus = 0.0;
    for columns in jobs {
        if let Some(at) = choice(columns, prices) {
            asked[columns[at].class] += f64::from(columns[at].gpus);
            surplus += net(&columns[at], prices);
        }
    }
    (asked, surplus)
}

/// Makes choices fit, and then fills what is left.
fn fit(capacity: &[u32], jobs: &[Vec<Column>], prices: &[f64], choices: &mut [Option<usize>]) {
    let mut free: Vec<i64> = capacity.iter().map(|gpus| i64::from(*gpus)).collect();
    for (columns, choice) in jobs.iter().zip(choices.iter()) {
        if let Some(at) = *choice {
            free[columns[at].class] -= i64::from(columns[at].gpus);
        }
    }
    // The next smaller step of every job in an over-asked class, by what it loses per GPU that it frees.
    while let Some(class) = free.iter().position(|free| *free < 0) {
        let mut best: Option<(f64, usize, Option<usize>)> = None;
        for (job, columns) in jobs.iter().enumerate() {
            let Some(held) = choices[job].map(|at| columns[at]).filter(|held| held.class == class) else { continue };
            let nothing = (None, 0.0, 0);
            let others = columns.iter().enumerate().filter(|(_, other)| {
                let fits = i64::from(other.gpus) <= free[other.class];
                if other.class == class { other.gpus < held.gpus } else { fits }
            });
            let others = others.map(|(at, other)| {
                (
                    Some(at),
                    net(other, prices)
                        + prices[class] * f64::from(other.gpus) * f64::from(u8::from(other.class == class)),
                    if other.class == class { other.gpus } else { 0 },
                )
            });
            for (other, kept_worth, kept_gpus) in others.chain([nothing]) {
                let loss = (held.worth - kept_worth) / f64::from(held.gpus - kept_gpus);
                if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                    best = Some((loss, job, other));
                }
            }
        }
        let Some((_, job, other)) = best else { return };
        if let Some(at) = choices[job] {
            free[jobs[job][at].class] += i64::from(jobs[job][at].gpus);
        }
        if let Some(at) = other {
            free[jobs[job][at].class] -= i64::from(jobs[job][at].gpus);
        }
        choices[job] = other;
    }
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (job, columns) in jobs.iter().enumerate() {
            let held = choices[job].map(|at| columns[at]);
            for (at, column) in columns.iter().enumerate() {
                let back = held.filter(|held| held.class == column.class).map_or(0, |held| i64::from(held.gpus));
                let gain = column.worth - held.map_or(0.0, |held| held.worth);
                if gain <= 0.0 || i64::from(column.gpus) > free[column.class] + back {
                    continue;
                }
                let more = (i64::from(column.gpus) - back).max(1) as f64;
                if best.is_none_or(|(most, ..)| gain / more > most) {
                    best = Some((gain / more, job, at));
                }
            }
        }
        let Some((_, job, at)) = best else { return };
        if let Some(held) = choices[job] {
            free[jobs[job][held].class] += i64::from(jobs[job][held].gpus);
        }
        free[jobs[job][at].class] -= i64::from(jobs[job][at].gpus);
        choices[job] = Some(at);
    }
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
