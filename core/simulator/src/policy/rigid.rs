//! Policies that give jobs the GPUs they ask for, and decide only when.

use std::collections::BTreeMap;

use super::{Policy, View};
use crate::batch::Limits;
use crate::beliefs::{Size, ideal_shape, slowdown};
use crate::cluster::Allocation;
use crate::free::Free;
use crate::job::{Job, limits};

/// In which order rigid jobs start, and what may pass what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By arrival; whoever does not fit holds up nobody, as a plain kube-scheduler's queue does.
    Arrival,
    /// By arrival, and a job may start ahead of the first that waits only if it delays it not (EASY; Lifka 1995, JSSPP 949, 295),
    /// by true run times.
    Easy,
    /// By arrival, each queue (or application, where a trace has no queues) up to an equal share of the cluster, and beyond it only
    /// while nobody below its share waits: quotas with borrowing, as Kueue admits. Nobody is preempted.
    Quota,
    /// By true run time times GPUs, shortest first, without preemption: the order of Lucid (Hu et al., ASPLOS 2023) without its packing
    /// of two jobs on one GPU, which is [`super::Lucid`].
    ShortestFirst,
    /// By true remaining time, shortest first, with preemption.
    Srtf,
}

/// A rigid policy.
#[derive(Clone, Copy, Debug)]
pub struct Rigid {
    order: Order,
}

impl Rigid {
    /// With an order.
    pub fn new(order: Order) -> Self {
        Self { order }
    }
}

impl Policy for Rigid {
    fn name(&self) -> &str {
        match self.order {
            Order::Arrival => "fifo",
            Order::Easy => "easy",
            Order::Quota => "quota",
            Order::ShortestFirst => "shortest-first",
            Order::Srtf => "srtf",
        }
    }

    fn elastic(&self) -> bool {
        false
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let mut free = Free::of(view.cluster);
        let mut plan: Vec<Option<Allocation>> = vec![None; view.jobs.len()];
        let preempts = self.order == Order::Srtf;
        for (at, job) in view.jobs.iter().enumerate() {
            if let Some(held) = job.allocation.as_ref().filter(|_| !preempts || job.restoring_seconds > 0.0) {
                free.take(held);
                plan[at] = Some(held.clone());
            }
        }
        let mut waiting: Vec<usize> = (0..plan.len()).filter(|at| plan[*at].is_none()).collect();
        let key = |at: &usize| {
            let job = view.jobs[*at];
            let seconds = remaining_seconds(view, job);
            match self.order {
                Order::ShortestFirst => seconds * f64::from(job.submission.gpus),
                Order::Srtf => seconds,
                _ => job.submission.at_seconds,
            }
        };
        waiting.sort_by(|a, b| key(a).total_cmp(&key(b)));
        match self.order {
            Order::Easy => easy(view, &mut free, &mut plan, &waiting),
            Order::Quota => quota(view, &mut free, &mut plan, &waiting),
            Order::Srtf => srtf(view, &mut free, &mut plan, &waiting),
            _ => waiting.iter().for_each(|at| plan[*at] = start(view, &mut free, view.jobs[*at])),
        }
        plan
    }
}

/// Starts a job on the fastest kind that has room for it.
pub(super) fn start(view: &View<'_>, free: &mut Free, job: &Job) -> Option<Allocation> {
    let gpus = job.submission.gpus;
    let kind = by_speed(view, job).into_iter().find(|kind| free.gpus(*kind) >= gpus)?;
    free.in_order(kind, gpus, view.cluster.kinds[kind].gpus_per_node)
}

/// Kinds that a job runs on with what it asks for, fastest first.
pub(super) fn by_speed(view: &View<'_>, job: &Job) -> Vec<usize> {
    let mut kinds: Vec<(usize, f64)> =
        (0..view.cluster.kinds.len()).filter_map(|kind| Some((kind, rigid_rate(view, job, kind)?))).collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    kinds.into_iter().map(|kind| kind.0).collect()
}

/// Optimizer steps per second with what a job asks for on a kind, in the ideal shape, as Gavel and Optimus believe them: one GPU is
/// believed to take two passes whatever its batch. `None` where it cannot run.
pub(super) fn believed_steps_per_second(view: &View<'_>, job: &Job, size: Size<'_>) -> Option<f64> {
    let application = view.application(job);
    let steps = application.steps[size.index].as_ref()?;
    let shape = ideal_shape(size.kind, size.gpus);
    let curve = steps.at(&shape)?;
    // No first batch: every total is beyond it.
    let limits = Limits { first: 0.0, ..limits(application, steps, view.rules, Some(&shape)) };
    let cut = limits.fixed(f64::from(job.submission.batch), size.gpus);
    let seconds = curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
    Some(1.0 / seconds / slowdown(application, view.rules))
}

/// A step with what a job asks for.
struct RigidStep {
    seconds: f64,
    /// Its batch, and the first one that the application was run at.
    total: f64,
    first: f64,
}

fn rigid_step(view: &View<'_>, job: &Job, index: usize) -> Option<RigidStep> {
    let application = view.application(job);
    let kind = &view.cluster.kinds[index];
    let gpus = job.submission.gpus;
    if gpus > kind.gpus() {
        return None;
    }
    let steps = application.steps[index].as_ref()?;
    let shape = ideal_shape(kind, gpus);
    let curve = steps.at(&shape)?;
    let limits = limits(application, steps, view.rules, Some(&shape));
    let cut = limits.fixed(f64::from(job.submission.batch), gpus);
    let seconds = curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
    Some(RigidStep { seconds, total: cut.total(gpus), first: limits.first })
}

/// Progress per second with what a job asks for on a kind, in the ideal shape; `None` where it cannot run.
pub(super) fn rigid_rate(view: &View<'_>, job: &Job, index: usize) -> Option<f64> {
    let application = view.application(job);
    let RigidStep { seconds, total, first } = rigid_step(view, job, index)?;
    let gain = application.runs.gradient(total, job.epoch).gain(first, total);
    Some(gain / seconds / slowdown(application, view.rules))
}

/// True seconds that are left on the fastest kind, at the present rate.
pub(super) fn remaining_seconds(view: &View<'_>, job: &Job) -> f64 {
    let left = job.total(view.application(job)) - job.progress;
    let best = (0..view.cluster.kinds.len()).filter_map(|kind| rigid_rate(view, job, kind)).fold(0.0, f64::max);
    if best > 0.0 { left / best } else { f64::INFINITY }
}

/// Starts in order until one does not fit; then whoever ends before that one could start, or leaves it room.
fn easy(view: &View<'_>, free: &mut Free, plan: &mut [Option<Allocation>], waiting: &[usize]) {
    let mut queue = waiting.iter();
    let head = queue.by_ref().find(|at| {
        plan[**at] = start(view, free, view.jobs[**at]);
        plan[**at].is_none()
    });
    let Some(head) = head else { return };
    let head = view.jobs[*head];
    let Some(kind) = by_speed(view, head).first().copied() else { return };
    // When the kind has room for the head, if all that runs there ends on time; and what is then left over.
    let mut ends: Vec<(f64, u32)> = Vec::new();
    for (at, job) in view.jobs.iter().enumerate() {
        if let Some(held) = plan[at].as_ref().filter(|held| held.kind == kind) {
            ends.push((remaining_seconds(view, job) + job.restoring_seconds, held.gpus()));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut room = free.gpus(kind);
    let mut shadow = 0.0;
    for (end, gpus) in ends {
        if room >= head.submission.gpus {
            break;
        }
        room += gpus;
        shadow = end;
    }
    let mut spare = room.saturating_sub(head.submission.gpus);
    for at in queue {
        let job = view.jobs[*at];
        let gpus = job.submission.gpus;
        let elsewhere = by_speed(view, job).into_iter().find(|other| *other != kind && free.gpus(*other) >= gpus);
        if let Some(other) = elsewhere {
            plan[*at] = free.in_order(other, gpus, view.cluster.kinds[other].gpus_per_node);
            continue;
        }
        let ends_before = remaining_seconds(view, job) <= shadow;
        if free.gpus(kind) >= gpus && rigid_rate(view, job, kind).is_some() && (ends_before || gpus <= spare) {
            plan[*at] = free.in_order(kind, gpus, view.cluster.kinds[kind].gpus_per_node);
            if !ends_before {
                spare -= gpus;
            }
        }
    }
}

/// First who is below its queue's share, then whoever borrows.
fn quota(view: &View<'_>, free: &mut Free, plan: &mut [Option<Allocation>], waiting: &[usize]) {
    let queue = |job: &Job| match job.submission.queue.as_str() {
        "" => job.submission.application.clone(),
        queue => queue.to_owned(),
    };
    let mut used: BTreeMap<String, u32> = BTreeMap::new();
    for (job, held) in view.jobs.iter().zip(plan.iter()) {
        *used.entry(queue(job)).or_default() += held.as_ref().map_or(0, Allocation::gpus);
    }
    // Without queues every application that there is has one, whether it waits or not.
    let named = view.jobs.iter().any(|job| !job.submission.queue.is_empty());
    let queues = if named { used.len() } else { view.catalogue.applications().len() };
    let share = view.cluster.gpus() / queues.max(1) as u32;
    for borrowing in [false, true] {
        for at in waiting {
            let job = view.jobs[*at];
            let used = used.entry(queue(job)).or_default();
            let within = *used + job.submission.gpus <= share;
            if plan[*at].is_some() || !borrowing && !within {
                continue;
            }
            plan[*at] = start(view, free, job);
            if plan[*at].is_some() {
                *used += job.submission.gpus;
            } else if borrowing {
                // The first that waits keeps its turn.
                return;
            }
        }
    }
}

/// Who runs and is among the shortest stays where it is; the rest is placed around them.
fn srtf(view: &View<'_>, free: &mut Free, plan: &mut [Option<Allocation>], waiting: &[usize]) {
    let mut rooms: Vec<u32> = (0..view.cluster.kinds.len()).map(|kind| free.gpus(kind)).collect();
    let mut chosen = Vec::new();
    for at in waiting {
        let job = view.jobs[*at];
        let gpus = job.submission.gpus;
        let held = job.allocation.as_ref().map(|held| held.kind).filter(|kind| rooms[*kind] >= gpus);
        let kind = held.or_else(|| by_speed(view, job).into_iter().find(|kind| rooms[*kind] >= gpus));
        if let Some(kind) = kind {
            rooms[kind] -= gpus;
            chosen.push((*at, kind));
        }
    }
    for (at, kind) in &chosen {
        if let Some(held) = view.jobs[*at].allocation.as_ref().filter(|held| held.kind == *kind) {
            free.take(held);
            plan[*at] = Some(held.clone());
        }
    }
    for (at, kind) in chosen {
        if plan[at].is_none() {
            let gpus = view.jobs[at].submission.gpus;
            plan[at] = free.in_order(kind, gpus, view.cluster.kinds[kind].gpus_per_node);
        }
    }
}
