//! Consolidation: running jobs go elsewhere in their own shape, so that scattered room becomes room in one piece for a gang.
//!
//! ```text
//! nodes by what it loses to clear them ─▶ the cheapest that are enough ─▶ everyone on them fits elsewhere? ─▶ it pays? ─▶ proposal
//! ```
//!
//! It is the only reason for which a job is moved in its own shape. A move loses what its job trains again and what its restart
//! takes, on all its devices; the proposal pays when that is less than the gang's devices times the wait that it ends.

mod clearing;
mod settle;

use std::collections::BTreeSet;

use jiff::Timestamp;
use plimsoll_menu::{Candidate, Shape};
use serde::{Deserialize, Serialize};

use crate::amounts::Amounts;
use crate::books::{Books, Footprint};
use crate::cluster::{Cluster, Usable};
use crate::namespace_quota::charges;
use crate::options::Options;
use crate::placement::{Gang, When};
use crate::{Allocation, Elasticity, Job, JobKey, Snapshot, Standing, gain, moves};

use clearing::Clearing;

/// How often a search leaves out a job that fits nowhere else and begins anew.
const MOST_TRIES: usize = 8;

/// Moves that let a waiting gang start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consolidation {
    /// Who gets the room.
    pub job: JobKey,
    /// Its devices.
    pub shape: Shape,
    /// Its nodes once those who move have left, by name.
    pub nodes: Vec<String>,
    /// Who moves, and where to; never empty.
    pub moves: Vec<Relocation>,
    /// GPU-seconds that the moves lose.
    pub lost_gpu_seconds: f64,
    /// GPU-seconds that the gang would wait otherwise; more than what is lost.
    pub gained_gpu_seconds: f64,
}

/// A job that goes to other nodes in its own shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relocation {
    /// Who.
    pub job: JobKey,
    /// How it runs, before and after.
    pub candidate: Candidate,
    /// Its nodes, by name; some of them may be its own.
    pub nodes: Vec<String>,
}

/// The moves that let a waiting job start, if it cannot start as things are and they pay.
///
/// `wait_seconds` is how much longer the job would wait otherwise: until the first predicted end that leaves room for it, or the
/// planning horizon where none is known. Jobs may be moved by the same rules as for their own sake, if they are preemptible and
/// not of a higher priority. Nothing that runs shares a node with more than it offers at any time.
pub fn consolidate(snapshot: &Snapshot, job: &JobKey, wait_seconds: f64, now: Timestamp) -> Option<Consolidation> {
    let cluster = Cluster::new(snapshot);
    let books = Books::open(&cluster);
    let job = cluster.jobs.iter().copied().find(|other| other.key == *job && other.standing == Standing::Waiting)?;
    let mut usable = Usable::new(&cluster, job);
    let Options::Some { takeable, .. } = Options::of(&cluster, job, &mut usable, now) else { return None };
    let movable: Vec<Movable<'_>> = cluster
        .jobs
        .iter()
        .filter_map(|other| Movable::new(&cluster, other))
        .filter(|other| moves::may_move(&cluster, other.job, other.held, &snapshot.rules.moves, now))
        .collect();
    let found = takeable.into_iter().find_map(|candidate| {
        let gainer = Gainer { job, candidate, usable: usable.of_class(&candidate.shape.class), wait_seconds };
        search(&cluster, &books, &gainer, &movable)
    })?;
    let names = |nodes: &[usize]| nodes.iter().map(|&index| cluster.nodes[index].name.clone()).collect();
    let moves = found.moves.iter().map(|(other, nodes)| Relocation {
        job: other.job.key.clone(),
        candidate: other.candidate.clone(),
        nodes: names(nodes),
    });
    Some(Consolidation {
        job: job.key.clone(),
        shape: found.candidate.shape.clone(),
        nodes: names(&found.nodes),
        moves: moves.collect(),
        lost_gpu_seconds: found.lost_gpu_seconds,
        gained_gpu_seconds: found.gained_gpu_seconds,
    })
}

/// A gang that waits.
pub(crate) struct Gainer<'b, 'a> {
    pub(crate) job: &'a Job,
    pub(crate) candidate: &'a Candidate,
    /// Nodes of its class that its pods may use, by name.
    pub(crate) usable: &'b [usize],
    /// How much longer it would wait otherwise.
    pub(crate) wait_seconds: f64,
}

/// A running job that might go elsewhere.
pub(crate) struct Movable<'a> {
    pub(crate) job: &'a Job,
    pub(crate) held: &'a Allocation,
    /// How it runs now, as its menu has it.
    pub(crate) candidate: &'a Candidate,
    holds: Footprint<'a>,
}

impl<'a> Movable<'a> {
    /// `None` for a job that holds nothing, may not be taken from, or runs as its menu does not offer any more. Whether it may
    /// move now is for the caller to know.
    pub(crate) fn new(cluster: &Cluster<'a>, job: &'a Job) -> Option<Self> {
        let Standing::Placed(held) = &job.standing else { return None };
        if !job.preemptible || job.elasticity == Elasticity::Fixed {
            return None;
        }
        let candidate = gain::current(job, held)?;
        let holds = Footprint::named(cluster, job, &held.shape, &held.nodes);
        // Nodes that are gone leave nothing to say about the rest.
        (holds.pods.len() == held.nodes.len()).then_some(Self { job, held, candidate, holds })
    }

    /// GPU-seconds that a move loses.
    pub(crate) fn lost(&self) -> f64 {
        let seconds = self.held.checkpoint_age_seconds.max(0.0) + self.job.restart_seconds.max(0.0);
        seconds * f64::from(self.held.shape.gpus())
    }
}

/// What a search found.
pub(crate) struct Found<'m, 'a> {
    pub(crate) candidate: &'a Candidate,
    /// The gang's nodes.
    pub(crate) nodes: Vec<usize>,
    /// Who moves where.
    pub(crate) moves: Vec<(&'m Movable<'a>, Vec<usize>)>,
    pub(crate) lost_gpu_seconds: f64,
    pub(crate) gained_gpu_seconds: f64,
}

/// The cheapest moves that let a gang start once they are made; `None` when it fits without, when its quota does not allow it,
/// when somebody would fit nowhere else, or when it does not pay.
pub(crate) fn search<'m, 'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    gainer: &Gainer<'_, 'a>,
    movable: &'m [Movable<'a>],
) -> Option<Found<'m, 'a>> {
    let Gainer { job, candidate, usable, wait_seconds } = *gainer;
    let shape = &candidate.shape;
    let queue = cluster.queue(&job.queue)?;
    let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
    let gang = Gang { pod, pods: shape.pods, near: &job.topology, usable, holds: &BTreeSet::new() };
    if !books.future.quota_allows(queue, &shape.class, shape.gpus())
        || books.future.too_little(&charges(cluster, job, shape)).is_some()
        || gang.place(cluster, books, When::Later).is_some()
    {
        return None;
    }
    let gained_gpu_seconds = f64::from(shape.gpus()) * wait_seconds;
    let mut movable: Vec<&'m Movable<'a>> = movable
        .iter()
        .filter(|other| other.held.shape.class == shape.class && other.job.priority <= job.priority)
        .filter(|other| other.job.key != job.key && other.lost() < gained_gpu_seconds)
        .collect();
    movable.sort_by(|a, b| a.lost().total_cmp(&b.lost()).then_with(|| a.job.key.cmp(&b.job.key)));
    for _ in 0..MOST_TRIES {
        let (nodes, lifted) = Clearing::new(cluster, books, &gang, &movable).cheapest()?;
        let lifted: Vec<&'m Movable<'a>> = lifted.into_iter().map(|index| movable[index]).collect();
        match settle::settle(cluster, books, gainer, &nodes, &lifted) {
            Ok(moves) => {
                let lost_gpu_seconds: f64 = moves.iter().map(|(other, _)| other.lost()).sum();
                let pays = !moves.is_empty() && lost_gpu_seconds < gained_gpu_seconds;
                return pays.then_some(Found { candidate, nodes, moves, lost_gpu_seconds, gained_gpu_seconds });
            }
            Err(stuck) => movable.retain(|other| other.job.key != stuck.key),
        }
    }
    None
}
