//! What waits: who starts, and why the others do not.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_menu::{Candidate, ClassName};

use crate::amounts::Amounts;
use crate::books::{Books, Footprint};
use crate::cluster::{Cluster, Usable};
use crate::namespace_quota::charges;
use crate::options::Options;
use crate::placement::{Gang, When};
use crate::words::{self, Aside};
use crate::{Action, Job, JobKey, Queue, Reason, Standing, WaitNumbers};

/// A job that does not start in this cycle.
pub(crate) struct Waiter<'c, 'a> {
    pub(crate) job: &'a Job,
    options: Options<'a>,
    usable: Usable<'c, 'a>,
    /// An earlier job for which what it could use is kept.
    kept_for: Option<&'a JobKey>,
}

/// What somebody waits for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want<'a> {
    /// Devices of a class.
    Devices(&'a ClassName),
    /// First of all its queue's quota for devices of a class: who is of another queue takes nothing from it.
    QueueQuota { queue: &'a str, class: &'a ClassName },
    /// Its share of a ResourceQuota, of any resource in it.
    NamespaceQuota { namespace: &'a str, name: &'a str },
}

/// What is kept for a job that waits for devices that are coming back.
struct Reservation<'a> {
    job: &'a Job,
    class: &'a ClassName,
}

/// Starts what can start, in turn.
///
/// Strict priority: nobody is looked at before those ahead of it had their turn. A job that cannot start does not hold up
/// those behind it, with one exception: where its wait ends with devices (or quota) that are coming back already, they
/// and the free ones that it needs with them are kept for it. A job whose wait has no end in sight keeps nothing, so
/// small jobs can starve a large one; fair shares and preemption are to cure that.
pub(crate) fn start<'c, 'a>(
    cluster: &'c Cluster<'a>,
    books: &mut Books<'a>,
    actions: &mut BTreeMap<&'a JobKey, Action>,
) -> Vec<Waiter<'c, 'a>> {
    let mut waiters = Vec::new();
    let mut reservations: Vec<Reservation<'a>> = Vec::new();
    for &job in cluster.jobs.iter().filter(|job| job.standing == Standing::Waiting) {
        let mut usable = Usable::new(cluster, job);
        let options = Options::of(cluster, job, &mut usable);
        let mut kept_for = None;
        if let Options::Some { queue, ref takeable, .. } = options {
            let mut first = |books: &Books<'a>, when| {
                takeable.iter().find_map(|&candidate| {
                    let nodes = find(cluster, books, job, queue, candidate, &mut usable, when)?;
                    Some((candidate, nodes))
                })
            };
            if let Some((candidate, nodes)) = first(books, When::NowAndLater) {
                books.start(&job.queue, &Footprint::new(cluster, job, &candidate.shape, nodes.iter().copied()));
                let nodes = nodes.into_iter().map(|index| cluster.nodes[index].name.clone()).collect();
                actions.insert(&job.key, Action::Start { candidate: candidate.clone(), nodes });
                continue;
            }
            if let Some((candidate, _)) = first(books, When::Now) {
                let concerns = |other: &&Reservation<'a>| {
                    *other.class == candidate.shape.class
                        || other.job.queue == job.queue
                        || other.job.key.namespace == job.key.namespace && !job.namespace_quotas.is_empty()
                };
                kept_for = reservations.iter().find(concerns).or(reservations.first()).map(|other| &other.job.key);
            }
            if let Some((candidate, nodes)) = first(books, When::Later) {
                books.future.charge(&job.queue, &Footprint::new(cluster, job, &candidate.shape, nodes));
                reservations.push(Reservation { job, class: &candidate.shape.class });
            }
        }
        waiters.push(Waiter { job, options, usable, kept_for });
    }
    waiters
}

/// Nodes for a candidate, if both kinds of quota and rooms allow it.
fn find<'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    job: &'a Job,
    queue: &'a Queue,
    candidate: &'a Candidate,
    usable: &mut Usable<'_, 'a>,
    when: When,
) -> Option<Vec<usize>> {
    let shape = &candidate.shape;
    if !when.all(books, |ledger| ledger.quota_allows(queue, &shape.class, shape.gpus())) {
        return None;
    }
    let charges = charges(cluster, job, shape);
    if !when.all(books, |ledger| ledger.too_little(&charges).is_none()) {
        return None;
    }
    let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
    let usable = usable.of_class(&shape.class);
    Gang { pod, pods: shape.pods, usable, holds: &BTreeSet::new() }.place(cluster, books, when)
}

impl<'a> Waiter<'_, 'a> {
    /// What it wants: devices of a class, or first of all a quota for them.
    pub(crate) fn wants(&self, cluster: &Cluster<'a>, books: &Books<'a>) -> Vec<Want<'a>> {
        let Options::Some { queue, takeable, .. } = &self.options else { return Vec::new() };
        let (job, queue) = (self.job, *queue);
        let namespace = job.key.namespace.as_str();
        let quotas = job.namespace_quotas.iter().map(|name| Want::NamespaceQuota { namespace, name });
        let devices = takeable.iter().filter_map(|candidate| {
            let class = &candidate.shape.class;
            if !books.now.quota_allows(queue, class, candidate.shape.gpus()) {
                return Some(Want::QueueQuota { queue: &queue.name, class });
            }
            let blocked = books.now.too_little(&charges(cluster, job, &candidate.shape)).is_some();
            (!blocked).then_some(Want::Devices(class))
        });
        quotas.chain(devices).collect()
    }

    /// Why it waits, against what is left after the whole plan. The most preferred candidate that can run some day says
    /// why: that is what the job waits for.
    pub(crate) fn explain(&mut self, cluster: &Cluster<'a>, books: &Books<'a>, position: u32, waiting: u32) -> Action {
        let (job, kept_for) = (self.job, self.kept_for);
        let place = WaitNumbers { position, waiting, ..WaitNumbers::default() };
        match &self.options {
            Options::None { reason, candidate, message } => {
                let numbers = candidate.map_or(place.clone(), |candidate| {
                    numbers(cluster, books, job, candidate, &mut self.usable, place)
                });
                Action::Wait { reason: *reason, numbers, message: message.clone() }
            }
            Options::Some { queue, preferred, .. } => {
                let numbers = numbers(cluster, books, job, preferred, &mut self.usable, place);
                let shape = &preferred.shape;
                let charges = charges(cluster, job, shape);
                if let Some((line, left)) = books.now.too_little(&charges) {
                    let message = words::namespace_quota(&cluster.quotas.lines[line], charges[&line], left);
                    return Action::Wait { reason: Reason::WaitingForNamespaceQuota, numbers, message };
                }
                let fits = numbers.nodes_that_fit >= shape.pods;
                let reason = if !books.now.quota_allows(queue, &shape.class, shape.gpus()) {
                    Reason::WaitingForQuota
                } else if !fits && numbers.free_gpus >= shape.gpus() {
                    Reason::WaitingForNodes
                } else {
                    Reason::WaitingForCapacity
                };
                let aside = aside(cluster, books, job, preferred, &numbers, kept_for);
                let message = words::waiting(reason, shape, (&job.key.namespace, &queue.name), &numbers, &aside);
                Action::Wait { reason, numbers, message }
            }
        }
    }
}

/// The numbers behind a wait for a candidate.
fn numbers<'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    job: &'a Job,
    candidate: &'a Candidate,
    usable: &mut Usable<'_, 'a>,
    place: WaitNumbers,
) -> WaitNumbers {
    let shape = &candidate.shape;
    let class = &shape.class;
    let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
    let gang = Gang { pod, pods: shape.pods, usable: usable.of_class(class), holds: &BTreeSet::new() };
    let nodes_that_fit = gang.nodes_that_fit(cluster, books, When::Now).len();
    WaitNumbers {
        class: Some(class.to_string()),
        needs_gpus: shape.gpus(),
        needs_pods: shape.pods,
        gpus_per_pod: shape.gpus_per_pod,
        nodes_that_fit: u32::try_from(nodes_that_fit).unwrap_or(u32::MAX),
        free_gpus: books.now.free(cluster, class),
        cluster_gpus: cluster.gpus_of_class(class),
        queue_limit: cluster.queue(&job.queue).and_then(|queue| cluster.most(queue, class)),
        queue_held: books.now.held(&job.queue, class),
        coming_gpus: books.coming(class),
        coming_from: books.coming_from(class),
        ..place
    }
}

fn aside<'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    job: &Job,
    candidate: &Candidate,
    numbers: &WaitNumbers,
    kept_for: Option<&JobKey>,
) -> Aside<'a> {
    let shape = &candidate.shape;
    let of_class = || cluster.of_class(&shape.class).iter().copied();
    let with_gpus = of_class()
        .filter(|&index| cluster.nodes[index].open && books.now.rooms[index].gpus >= i64::from(shape.gpus_per_pod))
        .count();
    let closed: Vec<usize> = of_class().filter(|&index| !cluster.nodes[index].open).collect();
    // Another job of the same namespace may be named; one of another namespace is none of this user's business.
    let kept_for = kept_for.map(|other| {
        if other.namespace == job.key.namespace { other.name.clone() } else { "a job of another namespace".into() }
    });
    Aside {
        otherwise_unfit: u32::try_from(with_gpus).unwrap_or(u32::MAX).saturating_sub(numbers.nodes_that_fit),
        closed: u32::try_from(closed.len()).unwrap_or(u32::MAX),
        closed_because: closed.first().map_or("", |&index| &cluster.nodes[index].closed_because),
        kept_for,
    }
}
