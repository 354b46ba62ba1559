//! The columns of each job that can be best at some price of a GPU.

use super::knapsack::Column;

/// A column on the upper hull of a job's worth over GPUs in one class.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    /// Which of the job's columns it is.
    column: usize,
    class: usize,
    gpus: f64,
    worth: f64,
    /// Where the job's steps in the class end.
    end: usize,
}

/// Jobs as steps: within a class GPUs rise and worth per further GPU falls, from nothing on. At a price for each GPU the best column
/// of a job is always one of them, and in each class the last step that is worth its price is found without a look at the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ladders {
    steps: Vec<Step>,
    /// Where each job's steps end.
    ends: Vec<usize>,
}

/// What all jobs take at some prices.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    /// GPUs by class.
    pub gpus: Vec<f64>,
    /// Worth less what the GPUs cost.
    pub surplus: f64,
}

impl Ladders {
    /// Of all jobs.
    pub(super) fn of(jobs: &[Vec<Column>]) -> Self {
        let mut ladders = Self::default();
        let mut sorted = Vec::new();
        for columns in jobs {
            sorted.clear();
            sorted.extend(columns.iter().enumerate().map(|(at, column)| (at, *column)));
            ladders.push(&mut sorted);
        }
        ladders
    }

    /// One more job, by its columns and their indices, which are put in order.
    pub(super) fn push(&mut self, columns: &mut Vec<(usize, Column)>) {
        columns.retain(|(_, column)| column.worth > 0.0);
        let in_order = |a: &(usize, Column), b: &(usize, Column)| (a.1.class, a.1.gpus) < (b.1.class, b.1.gpus);
        if !columns.is_sorted_by(in_order) {
            columns
                .sort_by(|(_, a), (_, b)| (a.class, a.gpus).cmp(&(b.class, b.gpus)).then(b.worth.total_cmp(&a.worth)));
        }
        let mut from = self.steps.len();
        for (column, Column { class, gpus, worth }) in columns.iter().copied() {
            let step = Step { column, class, gpus: f64::from(gpus), worth, end: 0 };
            if self.steps.get(from).is_some_and(|first| first.class != class) {
                from = self.close(from);
            }
            if self.steps[from..].last().is_some_and(|last| last.worth >= worth) {
                continue;
            }
            // The last step goes while it lies on or below the line from the one before to the new one (Graham's scan).
            while let Some(last) = self.steps[from..].last() {
                let before = self.steps[from..].iter().rev().nth(1).map_or((0.0, 0.0), |step| (step.gpus, step.worth));
                if (last.worth - before.1) * (step.gpus - last.gpus) > (worth - last.worth) * (last.gpus - before.0) {
                    break;
                }
                self.steps.pop();
            }
            self.steps.push(step);
        }
        self.close(from);
        self.ends.push(self.steps.len());
    }

    /// Ends a class's steps; returns where the next ones begin.
    fn close(&mut self, from: usize) -> usize {
        let end = self.steps.len();
        self.steps[from..].iter_mut().for_each(|step| step.end = end);
        end
    }

    /// The best step between two indices and what it is worth beyond its price; `None` where none is worth it.
    fn best(&self, from: usize, end: usize, prices: &[f64]) -> Option<(&Step, f64)> {
        let mut best: Option<(&Step, f64)> = None;
        let mut at = from;
        while at < end {
            let Step { class, end: class_end, .. } = self.steps[at];
            let (price, mut last) = (prices[class], 0.0);
            for step in &self.steps[at..class_end] {
                let net = step.worth - price * step.gpus;
                if net <= last {
                    break;
                }
                last = net;
                if best.is_none_or(|(_, most)| net > most) {
                    best = Some((step, net));
                }
            }
            at = class_end;
        }
        best
    }

    fn ranges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.ends.iter().scan(0, |from, end| Some((std::mem::replace(from, *end), *end)))
    }

    /// What all jobs take at these prices.
    pub(super) fn ask(&self, prices: &[f64]) -> Ask {
        let mut ask = Ask { gpus: vec![0.0; prices.len()], surplus: 0.0 };
        for (from, end) in self.ranges() {
            if let Some((step, net)) = self.best(from, end, prices) {
                ask.gpus[step.class] += step.gpus;
                ask.surplus += net;
            }
        }
        ask
    }

    /// The column that each job takes at these prices.
    pub(super) fn choices(&self, prices: &[f64]) -> Vec<Option<usize>> {
        self.ranges().map(|(from, end)| self.best(from, end, prices).map(|(step, _)| step.column)).collect()
    }

    /// Worth of all jobs where each had its largest column, at most.
    pub(super) fn most(&self) -> f64 {
        let most =
            |(from, end): (usize, usize)| self.steps[from..end].iter().map(|step| step.worth).fold(0.0, f64::max);
        self.ranges().map(most).sum()
    }

    /// The least dual value that some rounds find, and the prices it is found at: a subgradient step raises the price of a class that
    /// is over-asked and lowers the others' (Lagrangian relaxation; Fisher 1981, Management Science 27, 1). `start` are prices of an
    /// earlier search; empty for none.
    pub(super) fn dual(&self, capacity: &[u32], start: &[f64], rounds: usize) -> (f64, Vec<f64>) {
        let gpus: f64 = capacity.iter().map(|gpus| f64::from(*gpus)).sum();
        let fresh = || vec![self.most() / gpus.max(1.0); capacity.len()];
        let mut prices = if start.len() == capacity.len() { start.to_vec() } else { fresh() };
        let mut best = (f64::INFINITY, prices.clone());
        for round in 0..rounds {
            let ask = self.ask(&prices);
            let paid: f64 = prices.iter().zip(capacity).map(|(price, gpus)| price * f64::from(*gpus)).sum();
            if ask.surplus + paid < best.0 {
                best = (ask.surplus + paid, prices.clone());
            }
            let step = 0.5 / (1.0 + round as f64 / 8.0);
            for (class, price) in prices.iter_mut().enumerate() {
                let over = (ask.gpus[class] - f64::from(capacity[class])) / f64::from(capacity[class].max(1));
                *price = (*price * (step * over.clamp(-1.0, 2.0)).exp()).max(1e-12);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn at_any_price_no_column_is_better_than_the_best_step(
            columns in proptest::collection::vec((0..3_usize, 1..9_u32, -1.0..9.0_f64), 0..12),
            prices in [0.01..3.0_f64, 0.01..3.0_f64, 0.01..3.0_f64],
        ) {
            let columns: Vec<Column> = columns.iter().map(|c| Column { class: c.0, gpus: c.1, worth: c.2 }).collect();
            let ladders = Ladders::of(std::slice::from_ref(&columns));
            let net = |column: &Column| column.worth - prices[column.class] * f64::from(column.gpus);
            let best = columns.iter().map(net).fold(0.0, f64::max);
            prop_assert!((ladders.ask(&prices).surplus - best).abs() < 1e-9);
            let taken = ladders.choices(&prices)[0].map_or(0.0, |at| net(&columns[at]));
            prop_assert!((taken - best).abs() < 1e-9);
        }
    }
}
