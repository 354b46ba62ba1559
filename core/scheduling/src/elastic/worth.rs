//! The best worth of every free capacity, one job after the other.

use super::Offer;

/// What any number of free GPUs of each class is worth to the jobs so far.
///
/// In single precision: a job of weight 1 among thousands still counts four digits, and the work is bound by memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Worth {
    /// States of each class, one more than its GPUs, and the distance between neighbours.
    axes: Vec<(usize, usize)>,
    values: Vec<f32>,
    /// What the next job makes of it, kept to be written again.
    next: Vec<f32>,
}

impl Worth {
    /// Of an empty set of jobs, where free GPUs are worth `value` of their counts; it must not fall with a count.
    pub(super) fn of(capacity: &[u32], value: impl Fn(&[u32]) -> f64) -> Self {
        // The largest class counts fastest: the longer a run, the better it is vectorized.
        let mut order: Vec<usize> = (0..capacity.len()).collect();
        order.sort_by_key(|class| capacity[*class]);
        let mut axes = vec![(0, 0); capacity.len()];
        let mut states = 1;
        for class in order.iter().rev() {
            axes[*class] = (capacity[*class] as usize + 1, states);
            states *= capacity[*class] as usize + 1;
        }
        let mut counts = vec![0_u32; capacity.len()];
        let mut values = Vec::with_capacity(states);
        for _ in 0..states {
            values.push(value(&counts) as f32);
            for class in order.iter().rev() {
                counts[*class] += 1;
                if counts[*class] <= capacity[*class] {
                    break;
                }
                counts[*class] = 0;
            }
        }
        Self { axes, next: values.clone(), values }
    }

    /// What the whole capacity loses in worth without some GPUs of a class; `None` where it has fewer.
    pub(super) fn loss(&self, class: usize, gpus: u32) -> Option<f64> {
        let (size, stride) = self.axes[class];
        let last = self.values.len() - 1;
        let fits = (gpus as usize) < size;
        fits.then(|| f64::from(self.values[last]) - f64::from(self.values[last - gpus as usize * stride]))
    }

    /// Takes in one more job, which may have any of the offers at a price for a unit of progress.
    pub(super) fn add<'a>(&mut self, price: f64, offers: impl IntoIterator<Item = &'a Offer>) {
        self.next.copy_from_slice(&self.values);
        for Offer { class, gpus, rate, .. } in offers {
            let ((size, stride), worth) = (self.axes[*class], (price * rate) as f32);
            let (shift, block) = (*gpus as usize * stride, size * stride);
            if shift >= block {
                continue;
            }
            for (into, from) in self.next.chunks_exact_mut(block).zip(self.values.chunks_exact(block)) {
                for (into, from) in into[shift..].iter_mut().zip(from) {
                    let with = from + worth;
                    *into = if with > *into { with } else { *into };
                }
            }
        }
        std::mem::swap(&mut self.values, &mut self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_gpus_are_worth_what_was_said() {
        let worth = Worth::of(&[2, 3], |counts| f64::from(counts[0] * 10 + counts[1]));
        let losses = (worth.loss(0, 1), worth.loss(1, 2), worth.loss(0, 3));
        assert_eq!(losses, (Some(10.0), Some(2.0), None));
    }

    #[test]
    fn a_job_takes_what_is_worth_more_than_what_was_there() {
        let mut worth = Worth::of(&[3, 2], |_| 0.0);
        let offer = |class, gpus, rate| Offer { class, gpus, rate, now: true };
        worth.add(2.0, &[offer(0, 1, 1.0), offer(0, 3, 2.0), offer(1, 1, 1.5)]);
        assert_eq!((worth.loss(0, 1), worth.loss(0, 3), worth.loss(1, 2)), (Some(1.0), Some(1.0), Some(0.0)));
        worth.add(3.0, &[offer(0, 1, 1.0)]);
        assert_eq!(worth.loss(0, 3), Some(6.0 - 3.0));
    }
}
