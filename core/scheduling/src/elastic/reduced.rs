//! What a bound leaves open of a knapsack, solved by dynamic programming over GPU counts.

use super::knapsack::Column;
use super::search::Found;

/// Share of the bound that rounding may have taken from it.
const ROUNDING: f64 = 1e-9;

/// What a job may still take: a column or nothing, in GPUs of a class beyond what the job takes in any case.
#[derive(Clone, Copy, Debug)]
struct Open {
    choice: Option<usize>,
    class: usize,
    gpus: u32,
    worth: f64,
}

/// A knapsack without what cannot be part of a best answer.
///
/// At prices of GPUs a job's column that is worth `x` less than its best one, prices paid, can be part of answers worth at most
/// `bound − x`. Where that is less than an answer at hand the column goes (fixing by reduced costs; Nemhauser and Wolsey 1988,
/// Integer and Combinatorial Optimization, II.5.2). What all that is left of a job takes of a class is taken off the capacity, and
/// so is what all jobs together cannot ask for.
#[derive(Clone, Debug)]
pub(super) struct Reduced {
    /// What the decided jobs take; nothing at the open ones.
    choices: Vec<Option<usize>>,
    /// The open jobs.
    open: Vec<(usize, Vec<Open>)>,
    /// GPUs of each class that they share.
    free: Vec<u32>,
}

impl Reduced {
    /// Of a knapsack with an answer, its bound, and the prices that the bound is from.
    pub(super) fn of(capacity: &[u32], jobs: &[Vec<Column>], found: &Found) -> Self {
        let spare = found.bound - found.worth + ROUNDING * found.bound.abs();
        let mut reduced = Self { choices: vec![None; jobs.len()], open: Vec::new(), free: capacity.to_vec() };
        for (at, columns) in jobs.iter().enumerate() {
            let net = |column: &Column| column.worth - found.prices[column.class] * f64::from(column.gpus);
            let best = columns.iter().map(net).fold(0.0, f64::max);
            let nothing = best <= spare;
            let left =
                columns.iter().enumerate().filter(|(_, column)| column.worth > 0.0 && best - net(column) <= spare);
            let open = |(at, column): (usize, &Column)| {
                let Column { class, gpus, worth } = *column;
                Open { choice: Some(at), class, gpus, worth }
            };
            let none = Open { choice: None, class: 0, gpus: 0, worth: 0.0 };
            // Nothing comes first: of equals the first wins.
            reduced.push(at, nothing.then_some(none).into_iter().chain(left.map(open)).collect());
        }
        for class in 0..capacity.len() {
            let most = |(_, open): &(usize, Vec<Open>)| {
                open.iter().filter(|open| open.class == class).map(|open| open.gpus).max().unwrap_or(0)
            };
            reduced.free[class] = reduced.free[class].min(reduced.open.iter().map(most).sum());
        }
        reduced
    }

    /// A job with what is open to it; what it takes in any case is taken.
    fn push(&mut self, job: usize, mut open: Vec<Open>) {
        let Some(first) = open.first().copied() else { return };
        let least = open.iter().map(|open| open.gpus).min().unwrap_or(0);
        if least > 0 && open.iter().all(|open| open.class == first.class) {
            self.free[first.class] = self.free[first.class].saturating_sub(least);
            open.iter_mut().for_each(|open| open.gpus -= least);
        }
        if open.len() == 1 {
            self.choices[job] = first.choice;
        } else {
            self.open.push((job, open));
        }
    }

    /// Sums that the programme works out: states times what is open.
    pub(super) fn sums(&self) -> usize {
        let states: usize = self.free.iter().map(|gpus| *gpus as usize + 1).product();
        states.saturating_mul(self.open.iter().map(|(_, open)| open.len()).sum())
    }

    /// The best choice of every job. Of equals a job takes nothing, or its first column; jobs late in the list choose first.
    pub(super) fn solve(mut self) -> Vec<Option<usize>> {
        // The largest class counts fastest: the longer a run, the better it is vectorized.
        let mut order: Vec<usize> = (0..self.free.len()).collect();
        order.sort_by_key(|class| std::cmp::Reverse(self.free[*class]));
        let mut strides = vec![0; self.free.len()];
        let mut states = 1;
        for class in order {
            strides[class] = states;
            states *= self.free[class] as usize + 1;
        }
        let mut layers = vec![f64::NEG_INFINITY; states * (self.open.len() + 1)];
        layers[..states].fill(0.0);
        for (turn, (_, open)) in self.open.iter().enumerate() {
            let (before, next) = layers.split_at_mut((turn + 1) * states);
            let (before, next) = (&before[turn * states..], &mut next[..states]);
            for Open { class, gpus, worth, .. } in open {
                let block = (self.free[*class] as usize + 1) * strides[*class];
                let shift = *gpus as usize * strides[*class];
                if shift >= block {
                    continue;
                }
                for (into, from) in next.chunks_exact_mut(block).zip(before.chunks_exact(block)) {
                    for (into, from) in into[shift..].iter_mut().zip(from) {
                        let with = from + worth;
                        *into = if with > *into { with } else { *into };
                    }
                }
            }
        }
        let mut state = states - 1;
        for (turn, (job, open)) in self.open.iter().enumerate().rev() {
            let (before, after) = (&layers[turn * states..(turn + 1) * states], layers[(turn + 1) * states + state]);
            let reaches = |open: &&Open| {
                let fits = open.gpus <= self.free[open.class];
                fits && before[state - open.gpus as usize * strides[open.class]] + open.worth == after
            };
            if let Some(taken) = open.iter().find(reaches) {
                state -= taken.gpus as usize * strides[taken.class];
                self.free[taken.class] -= taken.gpus;
                self.choices[*job] = taken.choice;
            }
        }
        self.choices
    }
}
