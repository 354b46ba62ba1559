//! Lucid (Hu et al., ASPLOS 2023): shortest first, nobody preempted, two jobs on a GPU where they hardly disturb each other.

use super::rigid::{remaining_seconds, rigid_rate, start};
use super::{Policy, View};
use crate::cluster::Allocation;
use crate::free::Free;
use crate::job::Job;
use crate::sharing::paces;

/// The least pace that a job may be slowed down to beside another: it loses 15 % at most.
const LEAST_PACE: f64 = 0.85;

/// Lucid's order with perfect predictions: least run time times GPUs first. Who finds no free GPUs is packed onto those of a running job
/// that asks for as many and runs alone on them, if both keep 85 % of their speed; of several onto that beside which it is fastest. Its
/// profiler, which learns run times and uses from jobs that came before, is replaced by the truth ([`crate::sharing`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Lucid;

impl Policy for Lucid {
    fn name(&self) -> &str {
        "lucid"
    }

    fn elastic(&self) -> bool {
        false
    }

    fn packs(&self) -> bool {
        true
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let mut free = Free::of(view.cluster);
        let mut plan: Vec<Option<Allocation>> = view.jobs.iter().map(|job| job.allocation.clone()).collect();
        plan.iter().flatten().for_each(|held| free.take(held));
        let mut waiting: Vec<usize> = (0..plan.len()).filter(|at| plan[*at].is_none()).collect();
        let key = |at: usize| remaining_seconds(view, view.jobs[at]) * f64::from(view.jobs[at].submission.gpus);
        waiting.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
        for at in waiting {
            plan[at] = start(view, &mut free, view.jobs[at]).or_else(|| beside(view, &plan, view.jobs[at]));
        }
        plan
    }
}

/// The allocation of the partner beside which a job is fastest.
fn beside(view: &View<'_>, plan: &[Option<Allocation>], job: &Job) -> Option<Allocation> {
    let alone = |held: &Allocation| plan.iter().flatten().filter(|other| *other == held).count() == 1;
    let mut best: Option<(f64, &Allocation)> = None;
    for (other, held) in view.jobs.iter().zip(plan) {
        let Some(held) = held.as_ref().filter(|held| held.gpus() == job.submission.gpus && alone(held)) else {
            continue;
        };
        let (one, two) = ((job, view.application(job)), (*other, view.application(other)));
        let Some(paces) = paces(one, two, held.kind, &held.shape(), view.rules) else { continue };
        let speed = rigid_rate(view, job, held.kind).unwrap_or(0.0) * paces[0];
        if paces.iter().all(|pace| *pace >= LEAST_PACE) && best.is_none_or(|best| speed > best.0) {
            best = Some((speed, held));
        }
    }
    best.map(|best| best.1.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Throughputs;
    use crate::workload::{Submission, gavel};
    use crate::{Rules, simulate};

    const TABLE: &str = r#"{"v100": {
        "('A', 1)": {"null": 1.0, "('B', 1)": [0.9, 0.9], "('C', 1)": [0.5, 0.5]},
        "('B', 1)": {"null": 1.0, "('A', 1)": [0.9, 0.9]},
        "('C', 1)": {"null": 1.0, "('A', 1)": [0.5, 0.5]}
    }}"#;

    /// When A, of 1000 steps, and another of as many end on one GPU.
    fn ends(other: &str) -> Vec<f64> {
        let job = |name: &str| Submission {
            name: name.to_owned(),
            application: gavel::application(name, 1),
            gpus: 1,
            batch: 1,
            steps: Some(1000.0),
            ..Submission::default()
        };
        let (jobs, cluster) = ([job("A"), job(other)], "v100=1x1".parse().unwrap());
        let catalogue = Throughputs::read("table", TABLE).unwrap().catalogue(&jobs, &cluster).unwrap();
        let outcome = simulate(&jobs, &cluster, &catalogue, &mut Lucid, &Rules::SIA).unwrap();
        outcome.jobs.iter().map(|job| job.completed_at).collect()
    }

    #[test]
    fn two_that_hardly_disturb_each_other_share_a_gpu_and_two_that_do_take_turns() {
        let together = ends("B");
        // A round to be seen, 30 s to start, and a step in 1/0.9 s.
        assert!(together.iter().all(|end| (*end - (90.0 + 1000.0 / 0.9)).abs() < 2.0), "{together:?}");
        let turns = ends("C");
        assert!(turns[0] < 1100.0 && turns[1] > 2000.0, "{turns:?}");
    }
}
