//! Tiresias (Gu et al., NSDI 2019): two queues by attained service.

use std::collections::BTreeMap;

use super::rigid::by_speed;
use super::{Policy, View};
use crate::cluster::Allocation;
use crate::free::Free;

/// Attained service from which on a job is in the second queue: 16 GPU-hours.
const THRESHOLD_GPU_SECONDS: f64 = 16.0 * 3600.0;

/// Discretised two-dimensional least attained service: jobs below the threshold first, by arrival; then the others, by when they
/// crossed it. GPU counts are as asked for; on several kinds of GPU a
/// job starts on the fastest that has room. Nobody is told how long a job takes.
#[derive(Debug, Default)]
pub struct Tiresias {
    queues: [Vec<String>; 2],
    executed: BTreeMap<String, f64>,
    checked: f64,
}

impl Policy for Tiresias {
    fn name(&self) -> &str {
        "tiresias"
    }

    fn elastic(&self) -> bool {
        false
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let at: BTreeMap<&str, usize> =
            view.jobs.iter().enumerate().map(|(at, job)| (job.submission.name.as_str(), at)).collect();
        for queue in &mut self.queues {
            queue.retain(|name| at.contains_key(name.as_str()));
        }
        for job in &view.jobs {
            let name = &job.submission.name;
            if job.allocation.is_some() {
                let executed = self.executed.entry(name.clone()).or_default();
                *executed += view.now - self.checked;
                let crossed = *executed * f64::from(job.submission.gpus) >= THRESHOLD_GPU_SECONDS;
                if let Some(place) = self.queues[0].iter().position(|waiting| waiting == name).filter(|_| crossed) {
                    let name = self.queues[0].remove(place);
                    self.queues[1].push(name);
                }
            } else if !self.queues.iter().any(|queue| queue.contains(name)) {
                self.queues[0].push(name.clone());
            }
        }
        self.checked = view.now;
        let mut left: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let mut runs = Vec::new();
        for name in self.queues.iter().flatten() {
            let job = at[name.as_str()];
            let gpus = view.jobs[job].submission.gpus;
            let held = view.jobs[job].allocation.as_ref().map(|held| held.kind).filter(|kind| gpus <= left[*kind]);
            let kinds = by_speed(view, view.jobs[job]);
            if let Some(kind) = held.or_else(|| kinds.into_iter().find(|kind| gpus <= left[*kind])) {
                left[kind] -= gpus;
                runs.push((job, kind));
            }
        }
        let mut free = Free::of(view.cluster);
        let mut plan = vec![None; view.jobs.len()];
        for (job, kind) in &runs {
            if let Some(allocation) = view.jobs[*job].allocation.as_ref().filter(|held| held.kind == *kind) {
                free.take(allocation);
                plan[*job] = Some(allocation.clone());
            }
        }
        for (job, kind) in runs {
            if plan[job].is_none() {
                plan[job] = free.most_free_nodes(kind, view.jobs[job].submission.gpus);
            }
        }
        plan
    }
}
