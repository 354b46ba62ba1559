//! One offer a job, of the highest sum, within the GPUs of each class: exactly, by dynamic programming over GPU counts.

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

/// The best worth of every free capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    sizes: Vec<usize>,
    values: Vec<f64>,
}

impl Worth {
    /// Of an empty set of jobs, where free GPUs are worth `value` of their counts; it must not fall with a count.
    pub fn of(capacity: &[u32], value: impl Fn(&[u32]) -> f64) -> Self {
        let sizes: Vec<usize> = capacity.iter().map(|gpus| *gpus as usize + 1).collect();
        let mut counts = vec![0_u32; sizes.len()];
        let mut values = Vec::with_capacity(states(capacity));
        for _ in 0..states(capacity) {
            values.push(value(&counts));
            // The next state: the last class counts fastest.
            for class in (0..counts.len()).rev() {
                counts[class] += 1;
                if counts[class] as usize == sizes[class] {
                    counts[class] = 0;
                } else {
                    break;
                }
            }
        }
        Self { sizes, values }
    }

    /// Distance between neighbours of a class.
    fn stride(&self, class: usize) -> usize {
        self.sizes[class + 1..].iter().product()
    }

    /// The worth of the whole capacity.
    pub fn full(&self) -> f64 {
        self.values.last().copied().unwrap_or(0.0)
    }

    /// The worth of the whole capacity without some GPUs of a class; `None` where it has fewer.
    pub fn without(&self, class: usize, gpus: u32) -> Option<f64> {
        let fits = (gpus as usize) < self.sizes[class];
        fits.then(|| self.values[self.values.len() - 1 - gpus as usize * self.stride(class)])
    }

    /// With one more job, which takes at most one of the columns.
    pub fn with(&self, columns: impl IntoIterator<Item = Column>) -> Self {
        let mut next = self.values.clone();
        for Column { class, gpus, worth } in columns {
            let stride = self.stride(class);
            let (shift, block) = (gpus as usize * stride, self.sizes[class] * stride);
            if shift >= block || worth <= 0.0 {
                continue;
            }
            for (into, from) in next.chunks_exact_mut(block).zip(self.values.chunks_exact(block)) {
                for (into, from) in into[shift..].iter_mut().zip(from) {
                    let with = from + worth;
                    *into = if with > *into { with } else { *into };
                }
            }
        }
        Self { sizes: self.sizes.clone(), values: next }
    }
}

/// The choice of every job: its column, or nothing. Of equals a job's first column wins, and nothing last; jobs late in the list
/// choose first.
pub fn fill(capacity: &[u32], jobs: &[Vec<Column>]) -> Vec<Option<usize>> {
    let mut layers = vec![Worth::of(capacity, |_| 0.0)];
    for columns in jobs {
        let next = layers[layers.len() - 1].with(columns.iter().copied());
        layers.push(next);
    }
    let mut state = states(capacity) - 1;
    let mut free: Vec<u32> = capacity.to_vec();
    let mut choices = vec![None; jobs.len()];
    for at in (0..jobs.len()).rev() {
        let (before, after) = (&layers[at], layers[at + 1].values[state]);
        if after == before.values[state] {
            continue;
        }
        let reaches = |column: &Column| {
            column.gpus <= free[column.class]
                && before.values[state - column.gpus as usize * before.stride(column.class)] + column.worth == after
        };
        if let Some(choice) = jobs[at].iter().position(reaches) {
            let Column { class, gpus, .. } = jobs[at][choice];
            state -= gpus as usize * before.stride(class);
            free[class] -= gpus;
            choices[at] = Some(choice);
        }
    }
    choices
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

    #[test]
    fn free_gpus_are_worth_what_was_said() {
        let worth = Worth::of(&[2, 3], |counts| f64::from(counts[0] * 10 + counts[1]));
        assert_eq!(
            (worth.full(), worth.without(0, 1), worth.without(1, 2), worth.without(0, 3)),
            (23.0, Some(13.0), Some(21.0), None)
        );
    }
}
