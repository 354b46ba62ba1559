//! Gavel with space sharing (Narayanan et al., OSDI 2020, section 3.1): a pair of jobs on the same GPUs is one more thing to run.

use std::collections::BTreeMap;

use super::gavel::{HEAD_START_SECONDS, Numbers, ROUND_SECONDS, by_name, number, on_nodes, runs};
use super::{Policy, View};
use crate::beliefs::ideal_shape;
use crate::cluster::Allocation;
use crate::sharing::paces;
use crate::simplex::maximise;

/// A job, or two on the same GPUs, as indices into the view.
type Unit = (usize, Option<usize>);

/// Gavel's largest sum of throughput over jobs and pairs of jobs that ask for as many GPUs: a pair brings what both do beside each other
/// ([`crate::sharing`]) and takes the GPUs of one. Jobs that nothing tells apart share what their group is given alike. The rest is as for
/// [`super::Gavel`], each pair having time of its own.
#[derive(Clone, Debug, Default)]
pub struct GavelPacked {
    /// Seconds on each kind, by the jobs of a unit.
    received: BTreeMap<(usize, Option<usize>), Vec<f64>>,
    given: Vec<f64>,
    /// Units that have a share of time, with it by kind.
    shares: Vec<(Unit, Vec<f64>)>,
    jobs: Vec<usize>,
    held: Numbers,
    /// Pairs that run, as ids.
    packed: Vec<[usize; 2]>,
}

impl Policy for GavelPacked {
    fn name(&self) -> &str {
        "gavel-packed"
    }

    fn round_seconds(&self) -> f64 {
        ROUND_SECONDS
    }

    fn elastic(&self) -> bool {
        false
    }

    fn packed(&self) -> Vec<[usize; 2]> {
        self.packed.clone()
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let kinds = view.cluster.kinds.len();
        self.given.resize(kinds, 0.0);
        let jobs: Vec<usize> = view.jobs.iter().map(|job| job.id).collect();
        if jobs != self.jobs {
            self.shares = shares(view);
            self.jobs.clone_from(&jobs);
        }
        let key = |unit: &Unit| (jobs[unit.0], unit.1.map(|other| jobs[other]));
        for (unit, _) in &self.shares {
            let given = &mut self.given;
            self.received.entry(key(unit)).or_insert_with(|| {
                given.iter_mut().for_each(|seconds| *seconds += HEAD_START_SECONDS);
                vec![HEAD_START_SECONDS; kinds]
            });
        }
        let mut queue = Vec::new();
        for kind in by_name(view.cluster) {
            for (unit, shares) in &self.shares {
                let part = self.received.get(&key(unit)).map_or(1.0, |received| received[kind] / self.given[kind]);
                queue.push((shares[kind] / part, shares[kind], *unit, kind));
            }
        }
        queue.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
        let mut rooms: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let mut open = vec![true; jobs.len()];
        let mut chosen: Vec<(Unit, usize)> = Vec::new();
        for (_, _, unit, kind) in queue {
            let members = [Some(unit.0), unit.1];
            let gpus = view.jobs[unit.0].submission.gpus;
            let free = members.iter().flatten().all(|at| open[*at]);
            if free && gpus <= rooms[kind] && runs(view, view.jobs[unit.0], kind).is_some() {
                members.iter().flatten().for_each(|at| open[*at] = false);
                rooms[kind] -= gpus;
                chosen.push((unit, kind));
                if let Some(received) = self.received.get_mut(&key(&unit)) {
                    received[kind] += ROUND_SECONDS;
                    self.given[kind] += ROUND_SECONDS;
                }
            }
        }
        let pair = |(unit, _): &(Unit, usize)| Some([jobs[unit.0], jobs[unit.1?]]);
        self.packed = chosen.iter().filter_map(pair).collect();
        // A pair stands where one of the two stood.
        let leader = |(unit, kind): &(Unit, usize)| {
            let there = |at: &usize| self.held.get(&jobs[*at]).is_some_and(|held| held.0 == *kind);
            unit.1.filter(there).filter(|_| !there(&unit.0)).unwrap_or(unit.0)
        };
        let leaders: Vec<(usize, usize)> = chosen.iter().map(|chosen| (leader(chosen), chosen.1)).collect();
        let mut held = number(view, &self.held, leaders.clone());
        for ((unit, _), (leader, _)) in chosen.iter().zip(leaders) {
            let Some(gpus) = held.get(&jobs[leader]).cloned() else { continue };
            for at in [Some(unit.0), unit.1].into_iter().flatten() {
                held.insert(jobs[at], gpus.clone());
            }
        }
        self.held = held;
        jobs.iter().map(|job| self.held.get(job).map(|(kind, gpus)| on_nodes(view.cluster, *kind, gpus))).collect()
    }
}

/// Jobs that nothing tells apart, as indices into the view, and their believed steps per second by kind.
struct Group {
    members: Vec<usize>,
    speeds: Vec<f64>,
}

/// The linear programme over groups, and what comes out for each job and pair.
fn shares(view: &View<'_>) -> Vec<(Unit, Vec<f64>)> {
    let kinds = view.cluster.kinds.len();
    let mut groups: Vec<Group> = Vec::new();
    for (at, job) in view.jobs.iter().enumerate() {
        let speeds: Vec<f64> = (0..kinds).map(|kind| runs(view, job, kind).unwrap_or(0.0)).collect();
        let alike = |group: &&mut Group| {
            let first = view.jobs[group.members[0]];
            group.speeds == speeds
                && (first.application, &first.submission.gpus, first.submission.batch)
                    == (job.application, &job.submission.gpus, job.submission.batch)
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.members.push(at),
            None => groups.push(Group { members: vec![at], speeds }),
        }
    }
    // What can run: a group alone, or beside another or itself, on a kind, and how much is done in a second.
    let mut columns: Vec<(usize, Option<usize>, usize, f64)> = Vec::new();
    for (one, group) in groups.iter().enumerate() {
        for kind in 0..kinds {
            columns.push((one, None, kind, group.speeds[kind]));
            for (other, partner) in groups.iter().enumerate().skip(one) {
                let same = one == other;
                if let Some(sum) = pair_speed(view, group, partner, kind).filter(|_| !same || group.members.len() > 1) {
                    columns.push((one, Some(other), kind, sum));
                }
            }
        }
    }
    let mut rows = vec![vec![0.0; columns.len()]; groups.len() + kinds];
    let mut limits: Vec<f64> = groups.iter().map(|group| group.members.len() as f64).collect();
    limits.extend(view.cluster.kinds.iter().map(|kind| f64::from(kind.gpus())));
    for (at, (one, other, kind, _)) in columns.iter().enumerate() {
        rows[*one][at] += 1.0;
        if let Some(other) = other {
            rows[*other][at] += 1.0;
        }
        rows[groups.len() + kind][at] = f64::from(view.jobs[groups[*one].members[0]].submission.gpus);
    }
    let gain: Vec<f64> = columns.iter().map(|column| column.3).collect();
    let found = maximise(&gain, &rows, &limits).unwrap_or_else(|| vec![0.0; columns.len()]);
    let mut shares: BTreeMap<Unit, Vec<f64>> = BTreeMap::new();
    for ((one, other, kind, _), total) in columns.iter().zip(found) {
        let units = units(&groups, *one, *other);
        // A pair without a share is nothing to run; a job without one may have what is left.
        if total <= 0.0 && other.is_some() {
            continue;
        }
        let each = total / units.len().max(1) as f64;
        for unit in units {
            shares.entry(unit).or_insert_with(|| vec![0.0; kinds])[*kind] += each;
        }
    }
    shares.into_iter().collect()
}

/// Steps per second of two jobs on the same GPUs together; `None` where they ask for other counts or do not fit.
fn pair_speed(view: &View<'_>, one: &Group, other: &Group, kind: usize) -> Option<f64> {
    let [a, b] = [one, other].map(|group| view.jobs[group.members[0]]);
    let gpus = a.submission.gpus;
    if gpus != b.submission.gpus || one.speeds[kind] <= 0.0 || other.speeds[kind] <= 0.0 {
        return None;
    }
    let shape = ideal_shape(&view.cluster.kinds[kind], gpus);
    let paces = paces((a, view.application(a)), (b, view.application(b)), kind, &shape, view.rules)?;
    Some(one.speeds[kind] * paces[0] + other.speeds[kind] * paces[1])
}

/// Every job of a group, or every pair of two.
fn units(groups: &[Group], one: usize, other: Option<usize>) -> Vec<Unit> {
    let members = &groups[one].members;
    match other {
        None => members.iter().map(|at| (*at, None)).collect(),
        Some(other) if other == one => {
            let after = |place: usize| members[place + 1..].iter().map(move |b| (members[place], Some(*b)));
            (0..members.len()).flat_map(after).collect()
        }
        Some(other) => {
            let with = |a: &usize| groups[other].members.iter().map(|b| (*a, Some(*b))).collect::<Vec<_>>();
            members.iter().flat_map(with).collect()
        }
    }
}
