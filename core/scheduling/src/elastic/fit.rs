//! Choices that ask for too much or leave something, made to fit.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::knapsack::Column;

/// Choices, and the GPUs of each class that they leave; below 0 where they ask for more than there are.
pub(super) struct Fit<'a> {
    pub(super) jobs: &'a [Vec<Column>],
    pub(super) prices: &'a [f64],
    pub(super) choices: &'a mut [Option<usize>],
    pub(super) free: Vec<i64>,
}

/// A job's best change, by its rate: worth a GPU. The first of the heap has the highest; of equals the first job.
#[derive(Clone, Copy, Debug)]
struct Change {
    rate: f64,
    job: usize,
    to: Option<usize>,
}

impl Ord for Change {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rate.total_cmp(&other.rate).then(other.job.cmp(&self.job))
    }
}

impl PartialOrd for Change {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Change {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Change {}

impl Fit<'_> {
    fn held(&self, job: usize) -> Option<Column> {
        self.choices[job].map(|at| self.jobs[job][at])
    }

    fn change(&mut self, change: Change) {
        if let Some(held) = self.held(change.job) {
            self.free[held.class] += i64::from(held.gpus);
        }
        self.choices[change.job] = change.to;
        if let Some(held) = self.held(change.job) {
            self.free[held.class] -= i64::from(held.gpus);
        }
    }

    /// Whether a column fits beside all other choices.
    fn fits(&self, job: usize, column: &Column) -> bool {
        let back = self.held(job).filter(|held| held.class == column.class).map_or(0, |held| i64::from(held.gpus));
        i64::from(column.gpus) <= self.free[column.class] + back
    }

    /// Makes over-asked classes fit, the smallest loss per GPU first.
    pub(super) fn shed(&mut self) {
        for class in 0..self.free.len() {
            if self.free[class] >= 0 {
                continue;
            }
            let mut heap: BinaryHeap<Change> = (0..self.jobs.len()).filter_map(|job| self.less(job, class)).collect();
            while self.free[class] < 0 {
                let Some(first) = heap.pop() else { break };
                let moves = first.to.map(|at| self.jobs[first.job][at]).filter(|column| column.class != class);
                // Another class may have been filled since.
                if moves.is_none_or(|column| i64::from(column.gpus) <= self.free[column.class]) {
                    self.change(first);
                }
                heap.extend(self.less(first.job, class));
            }
        }
    }

    /// How a job best leaves GPUs of a class: fewer of them, another class where it fits, or nothing.
    fn less(&self, job: usize, class: usize) -> Option<Change> {
        let held = self.held(job).filter(|held| held.class == class)?;
        let mut best = Change { rate: -held.worth / f64::from(held.gpus), job, to: None };
        for (at, other) in self.jobs[job].iter().enumerate() {
            let (kept, paid) = if other.class == class {
                (other.gpus, 0.0)
            } else if i64::from(other.gpus) <= self.free[other.class] {
                (0, self.prices[other.class] * f64::from(other.gpus))
            } else {
                continue;
            };
            if kept < held.gpus {
                let rate = (other.worth - paid - held.worth) / f64::from(held.gpus - kept);
                if rate > best.rate {
                    best = Change { rate, job, to: Some(at) };
                }
            }
        }
        Some(best)
    }

    /// Gives what is left to whom it is worth most per GPU, until nobody gains by a change that fits.
    pub(super) fn fill(&mut self) {
        loop {
            let mut heap: BinaryHeap<Change> = (0..self.jobs.len()).filter_map(|job| self.more(job)).collect();
            if heap.is_empty() {
                return;
            }
            while let Some(first) = heap.pop() {
                let fits = first.to.is_some_and(|at| self.fits(first.job, &self.jobs[first.job][at]));
                if fits {
                    self.change(first);
                }
                heap.extend(self.more(first.job));
            }
        }
    }

    /// The change of a job that fits and gains the most per further GPU.
    fn more(&self, job: usize) -> Option<Change> {
        let held = self.held(job);
        let mut best: Option<Change> = None;
        for (at, column) in self.jobs[job].iter().enumerate() {
            let gain = column.worth - held.map_or(0.0, |held| held.worth);
            if gain <= 0.0 || !self.fits(job, column) {
                continue;
            }
            let back = held.filter(|held| held.class == column.class).map_or(0, |held| held.gpus);
            let rate = gain / f64::from(column.gpus.saturating_sub(back).max(1));
            if best.is_none_or(|best| rate > best.rate) {
                best = Some(Change { rate, job, to: Some(at) });
            }
        }
        best
    }
}
