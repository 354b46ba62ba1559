//! Full training runs at fixed batches: how far an epoch is, and how noisy its gradients are.

use crate::table::{ReadError, Table};

/// Squared norm of the true gradient, and the variance of its estimate at the smallest batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gradient {
    /// Squared norm.
    pub square: f64,
    /// Variance.
    pub variance: f64,
}

impl Gradient {
    /// Progress of a step at `batch` in steps at `first_batch` (rule 3; Pollux, Qiao et al., OSDI 2021, section 3.1, after
    /// AdaScale, arXiv 2007.05105): `(v + q)/(v·M₀/M + q)`. Between 1 and `batch/first_batch` for a larger batch.
    pub fn gain(self, first_batch: f64, batch: f64) -> f64 {
        let below = self.variance * first_batch / batch + self.square;
        if below > 0.0 { (self.variance + self.square) / below } else { 1.0 }
    }
}

/// What an application's runs say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// Total batches, ascending, each with the gradient of every epoch.
    gradients: Vec<(f64, Vec<Gradient>)>,
    /// Optimizer steps at the end of each epoch, in the order of `gradients`.
    steps: Vec<Vec<f64>>,
    /// Progress at the end of each epoch, in steps at the smallest batch: the least of all runs (rule 5).
    ends: Vec<f64>,
}

impl Runs {
    /// Reads `validation-<batch>.csv` of several batches, given as batch and text.
    ///
    /// # Errors
    ///
    /// When there is none, a column is missing or a value is no number.
    pub fn read(what: &str, texts: &[(f64, &str)]) -> Result<Self, ReadError> {
        let mut runs = Vec::new();
        let mut ends: Vec<f64> = Vec::new();
        for (at, (batch, text)) in texts.iter().enumerate() {
            let table = Table::read(what, text)?;
            let columns = [table.column("progress")?, table.column("grad_sqr")?, table.column("grad_var")?];
            let iteration = table.column("iteration")?;
            let mut epochs = Vec::new();
            let mut steps = Vec::new();
            let mut progress = Vec::new();
            for row in 0..table.len() {
                progress.push(table.number(row, columns[0])?);
                steps.push(table.number(row, iteration)?);
                epochs.push(Gradient {
                    square: table.number(row, columns[1])?,
                    variance: table.number(row, columns[2])?,
                });
            }
            runs.push((*batch, epochs, steps));
            if at == 0 {
                ends = progress;
            } else {
                ends = ends.iter().zip(&progress).map(|(a, b)| a.min(*b)).collect();
            }
        }
        if ends.is_empty() {
            return Err(ReadError::Empty { what: what.to_owned() });
        }
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let steps = runs.iter().map(|run| run.2.clone()).collect();
        Ok(Self { gradients: runs.into_iter().map(|run| (run.0, run.1)).collect(), steps, ends })
    }

    /// A run at one batch that never ends by itself, every step of which counts alike: a job says how many it takes.
    pub fn endless(batch: f64) -> Self {
        Self { gradients: vec![(batch, vec![Gradient::default()])], steps: Vec::new(), ends: vec![f64::INFINITY] }
    }

    /// Smallest and largest total batch.
    pub fn batches(&self) -> (f64, f64) {
        let end = |run: Option<&(f64, Vec<Gradient>)>| run.map_or(1.0, |run| run.0);
        (end(self.gradients.first()), end(self.gradients.last()))
    }

    /// How many epochs a run has.
    pub fn epochs(&self) -> usize {
        self.ends.len()
    }

    /// Progress at which an epoch, from 0, ends; that of the last one beyond it.
    pub fn end_of(&self, epoch: usize) -> f64 {
        self.ends.get(epoch).or(self.ends.last()).copied().unwrap_or(0.0)
    }

    /// Progress at which the job is done.
    pub fn total(&self) -> f64 {
        self.end_of(usize::MAX)
    }

    /// Optimizer steps that are left after an epoch, from 0, at a total batch: linear between the two nearest runs, 1 at least.
    pub fn steps_after(&self, batch: f64, epoch: usize) -> f64 {
        let left = |steps: &Vec<f64>| {
            let total = steps.get(..self.ends.len()).and_then(|steps| steps.last()).copied().unwrap_or(0.0);
            (total - steps.get(epoch).copied().unwrap_or(total)).max(0.0)
        };
        let above = self.gradients.partition_point(|run| run.0 < batch).min(self.steps.len().saturating_sub(1));
        let Some(upper) = self.steps.get(above) else { return 1.0 };
        let high = self.gradients[above].0;
        if above == 0 || high <= batch {
            return left(upper).max(1.0);
        }
        let low = self.gradients[above - 1].0;
        let share = (batch - low) / (high - low);
        (left(&self.steps[above - 1]) * (1.0 - share) + left(upper) * share).max(1.0)
    }

    /// The gradient of an epoch at a total batch: linear between the two nearest runs.
    pub fn gradient(&self, batch: f64, epoch: usize) -> Gradient {
        let epoch = epoch.min(self.ends.len().saturating_sub(1));
        let above = self.gradients.partition_point(|run| run.0 < batch);
        let Some((high, upper)) = self.gradients.get(above) else {
            return self.gradients.last().map(|run| run.1[epoch]).unwrap_or_default();
        };
        if above == 0 || *high == batch {
            return upper[epoch];
        }
        let (low, lower) = &self.gradients[above - 1];
        let share = (batch - low) / (high - low);
        let mix = |a: f64, b: f64| a * (1.0 - share) + b * share;
        Gradient {
            square: mix(lower[epoch].square, upper[epoch].square),
            variance: mix(lower[epoch].variance, upper[epoch].variance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gain_is_one_at_the_first_batch_and_below_the_ratio_of_batches() {
        let gradient = Gradient { square: 1.0, variance: 3.0 };
        assert_eq!(gradient.gain(8.0, 8.0), 1.0);
        assert!((1.0..2.0).contains(&gradient.gain(8.0, 16.0)));
    }

    #[test]
    fn an_epoch_ends_where_the_least_of_all_runs_does() {
        let run = |ends: [f64; 2]| {
            format!("progress,iteration,metric,grad_sqr,grad_var\n{},1,0,1,2\n{},2,0,3,4\n", ends[0], ends[1])
        };
        let (small, large) = (run([10.0, 20.0]), run([9.0, 21.0]));
        let runs = Runs::read("runs", &[(32.0, &large), (8.0, &small)]).unwrap();
        assert_eq!((runs.end_of(0), runs.end_of(1), runs.total()), (9.0, 20.0, 20.0));
        assert_eq!(runs.batches(), (8.0, 32.0));
        assert_eq!(runs.gradient(20.0, 1), Gradient { square: 3.0, variance: 4.0 });
    }
}
