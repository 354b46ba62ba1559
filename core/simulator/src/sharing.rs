//! Two jobs on the same GPUs.

use crate::job::{Job, limits};
use crate::profile::Application;
use crate::rules::Rules;

/// How fast two jobs of fixed sizes are on the same GPUs of a kind, each as a share of its speed alone there; `None` where they cannot
/// stand together.
///
/// Where pairs were measured (Gavel's tables) these are the measurements, and a pair that is not in them does not fit. Else it is
/// inferred from step times: the part of a step that grows with the samples is what the GPU is busy with, the rest leaves it to
/// somebody else. Two jobs that are busy for less than all of the time do not slow each other down; beyond that both do alike. They fit
/// where their local batches, as shares of the largest that fit alone, add up to 1 at most.
pub(crate) fn paces(
    one: (&Job, &Application),
    other: (&Job, &Application),
    kind: usize,
    shape: &[u32],
    rules: &Rules,
) -> Option<[f64; 2]> {
    if let (Some(ones), Some(others)) = (&one.1.beside, &other.1.beside) {
        return Some([*ones.get(kind)?.get(&other.1.name)?, *others.get(kind)?.get(&one.1.name)?]);
    }
    let (one, other) = (burden(one, kind, shape, rules)?, burden(other, kind, shape, rules)?);
    let pace = 1.0 / (one.busy + other.busy).max(1.0);
    (one.memory + other.memory <= 1.0).then_some([pace; 2])
}

/// What a job takes of its GPUs, in shares.
struct Burden {
    busy: f64,
    memory: f64,
}

fn burden((job, application): (&Job, &Application), kind: usize, shape: &[u32], rules: &Rules) -> Option<Burden> {
    let steps = application.steps[kind].as_ref()?;
    let curve = steps.at(shape)?;
    let limits = limits(application, steps, rules, Some(shape));
    let cut = limits.fixed(f64::from(job.submission.batch), shape.iter().sum());
    let local = f64::from(cut.local);
    Some(Burden { busy: curve.busy(local, cut.accumulation)?, memory: local / limits.local.1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::profile::Catalogue;
    use crate::workload::Submission;

    fn pair(batches: [u32; 2]) -> Option<[f64; 2]> {
        let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
        let application = catalogue.find("cifar10").unwrap();
        let job = |batch| Job::new(0, Submission { gpus: 1, batch, ..Submission::default() }, application, 1, false);
        let known = &catalogue.applications()[application];
        let jobs = batches.map(job);
        paces((&jobs[0], known), (&jobs[1], known), 0, &[1], &Rules::POLLUX)
    }

    #[test]
    fn small_batches_leave_room_and_two_full_ones_do_not_fit() {
        let [one, other] = pair([128, 128]).unwrap();
        assert!(one == other && one > 0.5, "{one}");
        assert_eq!(pair([2048, 2048]), None);
    }
}
