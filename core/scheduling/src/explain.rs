//! Why each job waits, against what is left after the whole plan.

use std::collections::BTreeMap;

use plimsoll_menu::{Candidate, ClassName, Shape};

use crate::amounts::Amounts;
use crate::books::Books;
use crate::cluster::Cluster;
use crate::estimate::Estimates;
use crate::kinds::{Kind, Kinds};
use crate::namespace_quota::charges;
use crate::options::Options;
use crate::placement::{Gang, When};
use crate::start::Started;
use crate::waiter::{Promise, Waiter};
use crate::words::{self, Aside};
use crate::{Action, Job, JobKey, Reason, WaitNumbers};

/// One reason, with numbers, for everyone who waits.
pub(crate) fn explain<'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    started: &mut Started<'_, 'a>,
) -> Vec<(&'a JobKey, Action)> {
    let Started { waiters, kinds, reservations: _, backfill } = started;
    let classes = waiters.iter().flat_map(|waiter| waiter.job.menu.candidates.iter().map(|c| &c.shape.class));
    let mut estimates = Estimates::new(cluster, books, backfill, classes);
    let mut waiting: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for waiter in &*waiters {
        waiting.entry(&waiter.job.queue).or_default().1 += 1;
    }
    let mut facts =
        Facts { cluster, books, kinds, fitting: BTreeMap::new(), classes: BTreeMap::new(), gangs: BTreeMap::new() };
    let explain = |waiter: &Waiter<'a>| {
        let (position, waiting) = waiting.entry(&waiter.job.queue).or_default();
        *position += 1;
        let start = estimates.of(waiter);
        let place = WaitNumbers { position: *position, waiting: *waiting, start, ..WaitNumbers::default() };
        (&waiter.job.key, facts.explain(waiter, place))
    };
    waiters.iter().map(explain).collect()
}

/// What is left, found out once for all who ask the same.
struct Facts<'f, 'c, 'a> {
    cluster: &'f Cluster<'a>,
    books: &'f Books<'a>,
    kinds: &'f mut Kinds<'c, 'a>,
    /// Nodes that fit, by kind, class and devices in a pod.
    fitting: BTreeMap<(Kind, &'a ClassName, u32, bool), (u32, u32)>,
    /// Whether a gang finds nodes.
    gangs: BTreeMap<(Kind, &'a ClassName, u32, u32), bool>,
    classes: BTreeMap<&'a ClassName, OfClass<'a>>,
}

/// What is left of a class.
#[derive(Clone)]
struct OfClass<'a> {
    gpus: u32,
    free: u32,
    coming: u32,
    coming_from: Vec<JobKey>,
    /// Open nodes by free devices.
    open: BTreeMap<i64, u32>,
    closed: u32,
    closed_because: &'a str,
}

impl<'a> Facts<'_, '_, 'a> {
    /// The most preferred candidate that can run some day says why: that is what the job waits for.
    fn explain(&mut self, waiter: &Waiter<'a>, place: WaitNumbers) -> Action {
        let job = waiter.job;
        match &waiter.options {
            Options::None { reason, candidate, message } => {
                let mut numbers = candidate.map_or(place.clone(), |candidate| {
                    let would_run = Some(words::would_run_with_more(*reason, &candidate.shape, &job.queue));
                    WaitNumbers { would_run, ..self.numbers(waiter, candidate, place) }
                });
                if candidate.is_none() && *reason == Reason::BudgetExhausted {
                    numbers.would_run =
                        Some("it runs when the next period begins, or when the budget is raised".into());
                }
                Action::Wait { reason: *reason, numbers, message: message.clone() }
            }
            Options::Some { queue, preferred, .. } => {
                let mut numbers = self.numbers(waiter, preferred, place);
                let shape = &preferred.shape;
                let charges = charges(self.cluster, job, shape);
                let now = &self.books.now;
                let preempted = matches!(waiter.promise, Some(Promise::Preempted { .. }));
                if !preempted && let Some((line, left)) = now.too_little(&charges) {
                    let message = words::namespace_quota(&self.cluster.quotas.lines[line], charges[&line], left);
                    return Action::Wait { reason: Reason::WaitingForNamespaceQuota, numbers, message };
                }
                let fits = numbers.nodes_that_fit >= shape.pods;
                let reason = if preempted {
                    Reason::WaitingForPreemption
                } else if !now.quota_allows(queue, &shape.class, shape.gpus()) {
                    Reason::WaitingForQuota
                } else if fits && numbers.nodes_together.is_some_and(|together| together < shape.pods) {
                    Reason::WaitingForTopology
                } else if !fits && numbers.free_gpus >= shape.gpus() {
                    Reason::WaitingForNodes
                } else {
                    Reason::WaitingForCapacity
                };
                numbers.fits_now = self.fits_now(waiter);
                numbers.would_run = Some(words::would_run(reason, shape, &queue.name, &numbers));
                let aside = self.aside(waiter, preferred, &numbers);
                let message = words::waiting(reason, shape, (&job.key.namespace, &queue.name), &numbers, &aside);
                Action::Wait { reason, numbers, message }
            }
        }
    }

    /// The numbers behind a wait for a candidate.
    fn numbers(&mut self, waiter: &Waiter<'a>, candidate: &'a Candidate, place: WaitNumbers) -> WaitNumbers {
        let (job, shape) = (waiter.job, &candidate.shape);
        let (nodes_that_fit, together) = self.nodes_that_fit(waiter.kind, job, shape);
        let (cluster, books) = (self.cluster, self.books);
        let of_class = self.of_class(&shape.class);
        WaitNumbers {
            class: Some(shape.class.to_string()),
            needs_gpus: shape.gpus(),
            needs_pods: shape.pods,
            gpus_per_pod: shape.gpus_per_pod,
            nodes_that_fit,
            nodes_together: job.topology.required.as_ref().map(|_| together),
            free_gpus: of_class.free,
            cluster_gpus: of_class.gpus,
            queue_limit: cluster.queue(&job.queue).and_then(|queue| cluster.most(queue, &shape.class)),
            queue_held: books.now.held(&job.queue, &shape.class),
            coming_gpus: of_class.coming,
            coming_from: of_class.coming_from.clone(),
            ..place
        }
    }

    /// Nodes that could take a pod now, and the most of them in one domain of the level that the job requires.
    fn nodes_that_fit(&mut self, kind: Kind, job: &Job, shape: &'a Shape) -> (u32, u32) {
        let Self { cluster, books, kinds, fitting, .. } = self;
        *fitting.entry((kind, &shape.class, shape.gpus_per_pod, shape.pods > 1)).or_insert_with(|| {
            let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
            let usable = kinds.usable(kind).of_class(&shape.class);
            let gang = Gang { pod, pods: shape.pods, near: &job.topology, usable, holds: &Default::default() };
            let nodes = gang.nodes_that_fit(cluster, books, When::Now);
            let all = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            (all, cluster.topology.most_together(&job.topology, nodes.into_iter()))
        })
    }

    /// The largest size of its menu that would fit now, kept for others or not; the most preferred of equal ones.
    fn fits_now(&mut self, waiter: &Waiter<'a>) -> Option<Shape> {
        let Options::Some { queue, .. } = &waiter.options else { return None };
        let job = waiter.job;
        let mut shapes: Vec<&'a Shape> = job.menu.candidates.iter().map(|candidate| &candidate.shape).collect();
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.gpus()));
        let fits = |shape: &&&'a Shape| {
            let Self { cluster, books, kinds, gangs, .. } = self;
            let kind = waiter.kind;
            books.now.quota_allows(queue, &shape.class, shape.gpus())
                && *gangs.entry((kind, &shape.class, shape.gpus_per_pod, shape.pods)).or_insert_with(|| {
                    let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
                    let usable = kinds.usable(kind).of_class(&shape.class);
                    let gang = Gang { pod, pods: shape.pods, near: &job.topology, usable, holds: &Default::default() };
                    gang.place(cluster, books, When::Now).is_some()
                })
                && books.now.too_little(&charges(cluster, job, shape)).is_none()
        };
        shapes.iter().find(fits).map(|shape| (*shape).clone())
    }

    fn of_class(&mut self, class: &'a ClassName) -> &OfClass<'a> {
        let Self { cluster, books, classes, .. } = self;
        classes.entry(class).or_insert_with(|| {
            let mut open = BTreeMap::new();
            let mut closed = Vec::new();
            for &index in cluster.of_class(class) {
                if cluster.nodes[index].open {
                    *open.entry(books.now.rooms[index].gpus).or_default() += 1;
                } else {
                    closed.push(index);
                }
            }
            OfClass {
                gpus: cluster.gpus_of_class(class),
                free: books.now.free(cluster, class),
                coming: books.coming(class),
                coming_from: books.coming_from(class),
                open,
                closed: u32::try_from(closed.len()).unwrap_or(u32::MAX),
                closed_because: closed.first().map_or("", |&index| &cluster.nodes[index].closed_because),
            }
        })
    }

    fn aside(&mut self, waiter: &Waiter<'a>, candidate: &'a Candidate, numbers: &WaitNumbers) -> Aside<'a> {
        let (job, shape) = (waiter.job, &candidate.shape);
        let of_class = self.of_class(&shape.class);
        let with_gpus: u32 = of_class.open.range(i64::from(shape.gpus_per_pod)..).map(|(_, nodes)| nodes).sum();
        // Another job of the same namespace may be named; one of another namespace is none of this user's business.
        let kept_for = waiter.kept_for.map(|other| {
            if other.namespace == job.key.namespace { other.name.clone() } else { "a job of another namespace".into() }
        });
        let taken_back = match waiter.promise {
            Some(Promise::Preempted { gpus, .. }) => gpus,
            _ => 0,
        };
        Aside {
            otherwise_unfit: with_gpus.saturating_sub(numbers.nodes_that_fit),
            closed: of_class.closed,
            closed_because: of_class.closed_because,
            kept_for,
            taken_back,
            near: job.topology.required.as_deref(),
        }
    }
}
