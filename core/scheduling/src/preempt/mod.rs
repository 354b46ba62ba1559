//! Preemption: what running jobs give back so that a waiting job gets what it is entitled to.
//!
//! A search is a transaction on the future's books: it either ends with devices for the whole gang, by quota and by nodes, or
//! leaves everything as it was. Victims lose little: jobs are shrunk before one is stopped, those that lose the fewest
//! GPU-seconds first; and in the end each victim gets back what turns out not to be needed. Before all that, jobs that hold more
//! than the size that was chosen for them give that back to one that waits for its own.

mod entitlement;
mod trial;
mod victim;

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_menu::{Candidate, ClassName};

use crate::backfill::{Ask, Backfill};
use crate::books::{Books, Footprint};
use crate::cluster::Cluster;
use crate::kinds::Kind;
use crate::quota::Place;
use crate::{Action, Job, JobKey};

use entitlement::Entitlement;
use trial::Trial;
pub(crate) use victim::Victim;

/// What a victim is left with.
#[derive(Clone)]
pub(crate) enum Keeps<'a> {
    /// Everything.
    All,
    /// A smaller candidate on some of its nodes.
    Less { candidate: &'a Candidate, nodes: Vec<usize> },
    /// Nothing.
    Nothing,
}

/// A victim and what it is left with.
pub(crate) struct Taken<'v, 'a> {
    pub(crate) victim: &'v Victim<'a>,
    pub(crate) keeps: Keeps<'a>,
    /// The gainer's queue or priority entitles it to this; otherwise the victim holds more than the size chosen for it.
    pub(crate) entitled: bool,
}

/// A question that was answered with no: queue, priority, whether it starves and whether it is its size, kind, shape, namespace.
type Question<'a> = (Place, i32, (bool, bool), Kind, &'a ClassName, u32, u32, &'a str);

/// Everyone who may have to give something back.
pub(crate) struct Victims<'a> {
    /// By class and by root of the tree of queues; the least lost first.
    by_class: BTreeMap<(&'a ClassName, Place), Vec<Victim<'a>>>,
    /// Classes of which somebody holds more than it should have.
    above_aim: BTreeSet<&'a ClassName>,
    /// The lowest priority of any, by class and queue.
    lowest: BTreeMap<(&'a ClassName, Place), i32>,
    in_vain: BTreeSet<Question<'a>>,
}

impl<'a> Victims<'a> {
    /// Those that run and may be preempted; a job that still starts is left in peace.
    pub(crate) fn new(cluster: &Cluster<'a>) -> Self {
        let mut victims = Self {
            by_class: BTreeMap::new(),
            above_aim: BTreeSet::new(),
            lowest: BTreeMap::new(),
            in_vain: BTreeSet::new(),
        };
        for &job in &cluster.jobs {
            let Some(victim) = Victim::new(cluster, job) else { continue };
            let class = &victim.held.shape.class;
            let root = cluster.tree.path(victim.place).last().unwrap_or(victim.place);
            if victim.is_above_its_aim() {
                victims.above_aim.insert(class);
            }
            let lowest = victims.lowest.entry((class, victim.place)).or_insert(job.priority);
            *lowest = job.priority.min(*lowest);
            victims.by_class.entry((class, root)).or_default().push(victim);
        }
        for list in victims.by_class.values_mut() {
            list.sort_by(|a, b| a.lost().total_cmp(&b.lost()).then_with(|| a.job.key.cmp(&b.job.key)));
        }
        victims
    }

    /// Whether the same was asked before, and answered with no.
    pub(crate) fn is_in_vain(
        &self,
        cluster: &Cluster<'a>,
        job: &'a Job,
        candidate: &'a Candidate,
        place: Place,
        of: (Kind, bool),
    ) -> bool {
        self.in_vain.contains(&question(cluster, job, candidate, place, of))
    }

    /// Who gives what back so that this gang fits; nobody, when it is entitled to too little. The books keep the answer: what
    /// is given back, and nothing yet of what the gang takes.
    pub(crate) fn search(
        &mut self,
        cluster: &Cluster<'a>,
        books: &mut Books<'a>,
        ask: &Ask<'_, 'a>,
        (kind, starves): (Kind, bool),
        (actions, kept): (&BTreeMap<&'a JobKey, Action>, &Backfill<'a>),
    ) -> Option<Vec<Taken<'_, 'a>>> {
        let (job, shape, place) = (ask.job, &ask.candidate.shape, ask.place);
        let question = question(cluster, ask.job, ask.candidate, place, (kind, starves));
        if self.in_vain.contains(&question) {
            return None;
        }
        let entitlement = Entitlement::new(cluster, &books.future, ask, starves);
        let lower = self.lowest.get(&(&shape.class, place)).is_some_and(|lowest| *lowest < job.priority);
        let (_, aims) = question.2;
        let aims = aims && self.above_aim.contains(&shape.class);
        let entitled = entitlement.reclaims() || lower;
        if !(entitled || aims) {
            self.in_vain.insert(question);
            return None;
        }
        let root = cluster.tree.path(place).last().unwrap_or(place);
        let of_class = self.by_class.iter().filter(|((class, of), _)| *class == &shape.class && (aims || *of == root));
        // Who is told another batch only may still be told to stop.
        let spared = |victim: &Victim<'a>| {
            matches!(actions.get(&victim.job.key), Some(Action::Move { .. } | Action::Preempt { .. }))
        };
        // A queue can only borrow less as more is taken: who need not give a single device now need never. One answer holds
        // for all jobs of a queue on the same side of the priority.
        let mut answers: BTreeMap<(Place, bool), bool> = BTreeMap::new();
        let mut must = |victim: &Victim<'a>| {
            let lower = victim.job.priority < job.priority;
            *answers
                .entry((victim.place, lower))
                .or_insert_with(|| entitlement.allows(cluster, &books.future.usage, victim, 1))
        };
        let asked = |victim: &&Victim<'a>| (aims && victim.is_above_its_aim() || must(victim)) && !spared(victim);
        let mut list: Vec<&Victim<'a>> = of_class.flat_map(|(_, list)| list).filter(asked).collect();
        if aims {
            // Of several trees, each sorted by itself.
            list.sort_by(|a, b| a.lost().total_cmp(&b.lost()).then_with(|| a.job.key.cmp(&b.job.key)));
        }
        let mut trial = Trial::new(cluster, ask, books, kept);
        let found = if list.is_empty() { None } else { search(&mut trial, ask, &entitlement, &list, aims) };
        if found.is_none() {
            self.in_vain.insert(question);
        }
        let taken = |(index, keeps, entitled)| Taken { victim: list[index], keeps, entitled };
        found.map(|found| found.into_iter().map(taken).collect())
    }
}

fn question<'a>(
    cluster: &Cluster<'a>,
    job: &'a Job,
    candidate: &'a Candidate,
    place: Place,
    (kind, starves): (Kind, bool),
) -> Question<'a> {
    let (shape, namespace) = (&candidate.shape, job.key.namespace.as_str());
    // Who waits for the size that it should have gets it of those who hold more than theirs, whatever their queues.
    let aims = cluster.aim_of(&job.key).is_some_and(|aim| aim.shape.gpus() >= shape.gpus());
    (place, job.priority, (starves, aims), kind, &shape.class, shape.gpus_per_pod, shape.pods, namespace)
}

/// How much is taken of each victim, until the gang fits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What it holds above the size that it should have.
    Aims,
    /// Down to its least size.
    Menus,
    /// All.
    Whole,
}

/// The search itself; victims by their place in the list.
fn search<'a>(
    trial: &mut Trial<'_, '_, 'a>,
    ask: &Ask<'_, 'a>,
    entitlement: &Entitlement,
    list: &[&Victim<'a>],
    aims: bool,
) -> Option<Vec<(usize, Keeps<'a>, bool)>> {
    let mut taken: Vec<(usize, Keeps<'a>, bool)> = Vec::new();
    let mut fits = false;
    let stages = [Stage::Aims, Stage::Menus, Stage::Whole];
    for stage in stages.into_iter().skip(usize::from(!aims)) {
        for (index, victim) in list.iter().enumerate() {
            if fits {
                break;
            }
            let before = taken.iter().position(|(other, ..)| *other == index);
            let from = before.map_or(Keeps::All, |at| taken[at].1.clone());
            let to = match stage {
                Stage::Aims => victim.to_its_aim(ask),
                Stage::Menus => victim.smallest(ask),
                Stage::Whole => Some(Keeps::Nothing),
            };
            let Some(to) = to.filter(|to| trial.may_become(victim, to)) else { continue };
            let gives = victim.gpus(&from) - victim.gpus(&to);
            let entitled = entitlement.allows(trial.cluster(), trial.usage(), victim, gives);
            if gives <= 0 || stage != Stage::Aims && !entitled {
                continue;
            }
            trial.change(victim, &from, &to);
            match before {
                Some(at) => taken[at].1 = to,
                None => taken.push((index, to, entitled)),
            }
            fits = trial.fits();
        }
    }
    if !fits {
        for (index, keeps, _) in &taken {
            trial.change(list[*index], keeps, &Keeps::All);
        }
        return None;
    }
    // Give back what is not needed, to those who lose most first.
    for (index, keeps, _) in taken.iter_mut().rev() {
        let victim = list[*index];
        for milder in victim.ladder(ask) {
            if victim.gpus(&milder) <= victim.gpus(keeps) {
                break;
            }
            if !trial.may_become(victim, &milder) {
                continue;
            }
            trial.change(victim, keeps, &milder);
            if trial.fits() {
                *keeps = milder;
                break;
            }
            trial.change(victim, &milder, keeps);
        }
    }
    taken.retain(|(_, keeps, _)| !matches!(keeps, Keeps::All));
    Some(taken)
}

impl<'a> Taken<'_, 'a> {
    /// What the victim is left with.
    pub(crate) fn footprint(&self, cluster: &Cluster<'a>) -> Footprint<'a> {
        self.victim.footprint(cluster, &self.keeps)
    }

    /// Devices that the victim gives back.
    pub(crate) fn gpus(&self) -> u32 {
        u32::try_from(self.victim.gpus(&Keeps::All) - self.victim.gpus(&self.keeps)).unwrap_or(0)
    }

    /// The victim's job.
    pub(crate) fn job(&self) -> &'a Job {
        self.victim.job
    }
}
