//! One offer a job, of the highest sum, within the GPUs of each class: exactly, by dynamic programming over GPU counts.

use super::reduced::Reduced;
use super::search::search;

/// What one choice of a job takes and is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// The class.
    pub class: usize,
    /// GPUs; above 0.
    pub gpus: u32,
    /// What it is worth; not above 0 is as good as nothing.
    pub worth: f64,
}

/// How many states the programme has: the product of one more than each class's GPUs.
pub fn states(capacity: &[u32]) -> usize {
    capacity.iter().map(|gpus| *gpus as usize + 1).product()
}

/// The choice of every job: its column, or nothing. Of equals a job takes nothing, or its first column; jobs late in the list choose
/// first.
pub fn fill(capacity: &[u32], jobs: &[Vec<Column>]) -> Vec<Option<usize>> {
    Reduced::of(capacity, jobs, &search(capacity, jobs, &[])).solve()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By trying everything.
    fn exhaustive(free: &mut [u32], jobs: &[Vec<Column>]) -> f64 {
        let Some((columns, rest)) = jobs.split_first() else { return 0.0 };
        let mut best = exhaustive(free, rest);
        for column in columns {
            if column.gpus <= free[column.class] {
                free[column.class] -= column.gpus;
                best = best.max(column.worth + exhaustive(free, rest));
                free[column.class] += column.gpus;
            }
        }
        best
    }

    fn columns() -> impl Strategy<Value = Vec<Column>> {
        let column = (0..2_usize, 1..5_u32, 0.0..9.0_f64);
        let column = column.prop_map(|(class, gpus, worth)| Column { class, gpus, worth });
        proptest::collection::vec(column, 0..4)
    }

    proptest! {
        #[test]
        fn no_choice_is_worth_more(capacity in [0..6_u32, 0..6_u32], jobs in proptest::collection::vec(columns(), 0..5)) {
            let choices = fill(&capacity, &jobs);
            let mut left = capacity;
            let mut worth = 0.0;
            for (columns, choice) in jobs.iter().zip(&choices) {
                if let Some(choice) = choice {
                    let column = columns[*choice];
                    prop_assert!(column.gpus <= left[column.class]);
                    left[column.class] -= column.gpus;
                    worth += column.worth;
                }
            }
            let best = exhaustive(&mut capacity.clone(), &jobs);
            prop_assert!((worth - best).abs() < 1e-9, "{worth} against {best}");
        }
    }
}
