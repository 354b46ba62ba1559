//! Backfill: what is kept for a job that waits until running jobs are predicted to end, and who may use it until then.
//!
//! A job that cannot start gets nodes and a time: the first at which those that end by then leave room for it (EASY: Lifka,
//! "The ANL/IBM SP Scheduling System", JSSPP 1995). A later job starts only if it ends before that time, or takes what the
//! earlier one does not need then. The first waiting job of each queue gets such a reservation, and every job past the
//! starvation bound (conservative backfill: Mu'alem and Feitelson, IEEE TPDS 2001, section 2.3), as long as what is reserved of
//! a class is no more than all its devices: what comes after that many is too far away to be predicted.

use std::collections::BTreeMap;

use plimsoll_menu::{Candidate, ClassName};

use crate::amounts::Amounts;
use crate::books::{Books, Footprint};
use crate::cluster::Cluster;
use crate::gain;
use crate::namespace_quota::Charges;
use crate::placement::{Gang, When};
use crate::quota::{Column, Place};
use crate::{Action, Allocation, Job, JobKey, Standing};

/// Seconds that a job runs as a candidate from its start to its end; infinite when its end is unknown.
pub(crate) fn run_seconds(job: &Job, candidate: &Candidate) -> f64 {
    remaining(job, Some(candidate.predicted.step_seconds))
}

/// Seconds until a running job ends: its remaining steps times what a step is seen to take, or predicted where nothing was
/// seen yet.
pub(crate) fn seconds_to_end(job: &Job, held: &Allocation) -> f64 {
    let predicted = || gain::current(job, held).map(|candidate| candidate.predicted.step_seconds);
    remaining(job, held.step_seconds.or_else(predicted))
}

fn remaining(job: &Job, step_seconds: Option<f64>) -> f64 {
    match (job.remaining_steps, step_seconds) {
        (Some(steps), Some(step)) if step.is_finite() && step > 0.0 => steps as f64 * step,
        _ => f64::INFINITY,
    }
}

/// A job that will end, with what it gives back.
pub(crate) struct End<'a> {
    pub(crate) seconds: f64,
    pub(crate) job: &'a Job,
    pub(crate) footprint: Footprint<'a>,
}

/// What is kept on a node.
struct Kept {
    /// Seconds from now on for which a job may use it all.
    until_seconds: f64,
    /// What others may take for longer.
    spare: Amounts,
    /// Seconds up to which ends are counted in that.
    counted_seconds: f64,
}

/// A place in time and space.
pub(crate) struct Slot {
    pub(crate) nodes: Vec<usize>,
    pub(crate) starts_in_seconds: f64,
}

/// Who asks for room.
pub(crate) struct Ask<'b, 'a> {
    pub(crate) job: &'a Job,
    pub(crate) candidate: &'a Candidate,
    pub(crate) place: Place,
    pub(crate) usable: &'b [usize],
    pub(crate) charges: &'b Charges,
}

/// Predicted ends, and what is kept until then.
pub(crate) struct Backfill<'a> {
    /// By time, then by key.
    pub(crate) ends: Vec<End<'a>>,
    nodes: BTreeMap<usize, Kept>,
    /// Devices that others of a subtree may take for longer than some seconds.
    queues: BTreeMap<(Place, Column), (f64, i64)>,
    reserved: Vec<(Place, Column, i64)>,
    gpus: BTreeMap<&'a ClassName, u32>,
}

impl<'a> Backfill<'a> {
    pub(crate) fn new(cluster: &Cluster<'a>) -> Self {
        let end = |&job: &&'a Job| match &job.standing {
            Standing::Placed(held) => {
                let seconds = seconds_to_end(job, held);
                let footprint = || Footprint::named(cluster, job, &held.shape, &held.nodes);
                seconds.is_finite().then(|| End { seconds, job, footprint: footprint() })
            }
            _ => None,
        };
        let mut ends: Vec<End<'a>> = cluster.jobs.iter().filter_map(end).collect();
        ends.sort_by(|a, b| a.seconds.total_cmp(&b.seconds).then_with(|| a.job.key.cmp(&b.job.key)));
        Self { ends, nodes: BTreeMap::new(), queues: BTreeMap::new(), reserved: Vec::new(), gpus: BTreeMap::new() }
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Of these nodes, those where a pod may run for so long.
    pub(crate) fn open_to(&self, usable: &[usize], pod: Amounts, seconds: f64) -> Vec<usize> {
        let may = |node: &usize| {
            self.nodes.get(node).is_none_or(|kept| seconds <= kept.until_seconds || pod.fits_in(&kept.spare))
        };
        usable.iter().copied().filter(may).collect()
    }

    /// Whether a queue may hold so many more devices for so long.
    pub(crate) fn quota_allows(
        &self,
        cluster: &Cluster<'a>,
        place: Place,
        class: &ClassName,
        gpus: u32,
        seconds: f64,
    ) -> bool {
        let column = cluster.tree.column(class);
        let mut kept = cluster.tree.path(place).filter_map(|place| self.queues.get(&(place, column)));
        kept.all(|(until, spare)| seconds <= *until || i64::from(gpus) <= *spare)
    }

    /// A job starts on these nodes, in so many seconds, and runs to its end.
    pub(crate) fn start(&mut self, cluster: &Cluster<'a>, ask: &Ask<'_, 'a>, nodes: &[usize], in_seconds: f64) {
        let Ask { job, candidate, place, .. } = *ask;
        let (shape, seconds) = (&candidate.shape, run_seconds(job, candidate) + in_seconds);
        let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
        for node in nodes {
            if let Some(kept) = self.nodes.get_mut(node)
                && seconds > kept.until_seconds
            {
                kept.spare = kept.spare.minus(pod);
            }
        }
        let column = cluster.tree.column(&shape.class);
        for place in cluster.tree.path(place) {
            if let Some((until, spare)) = self.queues.get_mut(&(place, column))
                && seconds > *until
            {
                *spare -= i64::from(shape.gpus());
            }
        }
        if seconds.is_finite() {
            let at = self.ends.partition_point(|end| (end.seconds, &end.job.key) < (seconds, &job.key));
            let footprint = Footprint::new(cluster, job, shape, nodes.iter().copied());
            self.ends.insert(at, End { seconds, job, footprint });
        }
    }

    /// From now on the future has no more room than what is spared beside all that is kept.
    pub(crate) fn close(&self, books: &mut Books<'a>) {
        for (&node, kept) in &self.nodes {
            books.future.rooms[node] = books.future.rooms[node].min(kept.spare);
        }
    }

    /// The first time and place for a gang beside all that is kept already; it is kept from now on.
    pub(crate) fn reserve(
        &mut self,
        cluster: &Cluster<'a>,
        books: &mut Books<'a>,
        ask: &Ask<'_, 'a>,
        actions: &BTreeMap<&'a JobKey, Action>,
    ) -> Option<Slot> {
        let Ask { job, candidate, place, usable, charges } = *ask;
        let shape = &candidate.shape;
        let reserved = self.gpus.entry(&shape.class).or_default();
        if *reserved + shape.gpus() > cluster.gpus_of_class(&shape.class) {
            return None;
        }
        let (tree, column) = (&cluster.tree, cluster.tree.column(&shape.class));
        let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);

        // The future, with what is kept already taken from it; time passes in it from one end to the next.
        let mut rooms = books.future.rooms.clone();
        let mut ended: BTreeMap<usize, Amounts> = self.nodes.keys().map(|&node| (node, rooms[node])).collect();
        for (&node, kept) in &self.nodes {
            rooms[node] = rooms[node].min(kept.spare);
        }
        let mut usage = books.future.usage.clone();
        for &(place, column, gpus) in &self.reserved {
            tree.charge(&mut usage, place, column, gpus);
        }
        let mut left = books.future.left.clone();
        let mut could = vec![false; rooms.len()];
        let mut fitting = 0;
        for &node in usable.iter().filter(|node| cluster.nodes[**node].open) {
            could[node] = true;
            fitting += u32::from(pod.fits_in(&rooms[node]));
        }
        let mut tried = u32::MAX;
        for End { seconds, job: ending, footprint } in &self.ends {
            if matches!(actions.get(&ending.key), Some(Action::Move { .. } | Action::Preempt { .. })) {
                continue;
            }
            for (&node, &gives) in &footprint.pods {
                let fitted = pod.fits_in(&rooms[node]);
                match (self.nodes.get(&node), ended.get_mut(&node)) {
                    // What is spared then counts it already.
                    (Some(kept), Some(ended)) if *seconds <= kept.counted_seconds => {
                        *ended = ended.plus(gives);
                        rooms[node] = ended.min(kept.spare);
                    }
                    _ => rooms[node] = rooms[node].plus(gives),
                }
                fitting += u32::from(could[node] && !fitted && pod.fits_in(&rooms[node]));
            }
            if let Some(place) = tree.place(&ending.queue) {
                for (class, gpus) in &footprint.gpus {
                    tree.charge(&mut usage, place, tree.column(class), -gpus);
                }
            }
            for (&line, &charge) in &footprint.counted {
                left[line] = left[line].saturating_add(charge);
            }
            if fitting < shape.pods
                || fitting == tried
                || tree.available(&usage, place, column).is_some_and(|room| i64::from(shape.gpus()) > room)
                || charges.iter().any(|(line, charge)| *charge > left[*line])
            {
                continue;
            }
            let now = std::mem::replace(&mut books.future.rooms, rooms);
            let gang = Gang { pod, pods: shape.pods, near: &job.topology, usable, holds: &Default::default() };
            let nodes = gang.place(cluster, books, When::Later);
            rooms = std::mem::replace(&mut books.future.rooms, now);
            let Some(nodes) = nodes else {
                tried = fitting;
                continue;
            };
            for &node in &nodes {
                let spare = rooms[node].minus(pod);
                let new = Kept { until_seconds: *seconds, spare, counted_seconds: *seconds };
                let kept = self.nodes.entry(node).or_insert(new);
                kept.until_seconds = kept.until_seconds.min(*seconds);
                kept.counted_seconds = kept.counted_seconds.max(*seconds);
                kept.spare = kept.spare.min(spare);
            }
            tree.charge(&mut usage, place, column, i64::from(shape.gpus()));
            self.reserved.push((place, column, i64::from(shape.gpus())));
            for place in tree.path(place) {
                let spare = tree.room(&usage, place, column);
                let kept = self.queues.entry((place, column)).or_insert((*seconds, spare));
                *kept = (kept.0.min(*seconds), kept.1.min(spare));
            }
            *reserved += shape.gpus();
            return Some(Slot { nodes, starts_in_seconds: *seconds });
        }
        None
    }
}
