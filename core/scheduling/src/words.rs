//! Sentences for people: what a job needs, and what is there.

use std::fmt::Write;

use plimsoll_menu::Shape;

use crate::namespace_quota::Line;
use crate::preempt::{Keeps, Taken};
use crate::{Allocation, Budget, BudgetUnit, Job, Queue, Reason, WaitNumbers};

/// A number of things: `1 node`, `2 nodes`.
pub(crate) fn count(number: u32, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A gang: `8 nodes with 4 free t4 GPUs each (32 GPUs)`. `free` is `free ` or empty.
pub(crate) fn gang(shape: &Shape, free: &str) -> String {
    let each = count(shape.gpus_per_pod, &format!("{free}{} GPU", shape.class));
    match shape.pods {
        1 => format!("1 node with {each}"),
        pods => format!("{} with {each} each ({} GPUs)", count(pods, "node"), shape.gpus()),
    }
}

/// What a message says besides the numbers.
#[derive(Default)]
pub(crate) struct Aside<'a> {
    /// Nodes with enough free devices that its pods cannot use for another reason.
    pub(crate) otherwise_unfit: u32,
    /// Nodes of the class that are closed.
    pub(crate) closed: u32,
    /// Why the first of them is.
    pub(crate) closed_because: &'a str,
    /// The job that free devices are kept for.
    pub(crate) kept_for: Option<String>,
    /// Devices that others were told to give back for it.
    pub(crate) taken_back: u32,
    /// The level of which its pods must be in one domain.
    pub(crate) near: Option<&'a str>,
}

/// Why a job waits for quota, nodes or capacity.
pub(crate) fn waiting(
    reason: Reason,
    shape: &Shape,
    (namespace, queue): (&str, &str),
    numbers: &WaitNumbers,
    aside: &Aside<'_>,
) -> String {
    let mut message = format!("needs {}", gang(shape, "free "));
    let class = &shape.class;
    if reason == Reason::WaitingForQuota {
        message = format!("needs {}", count(shape.gpus(), &format!("{class} GPU")));
        let limit = numbers.queue_limit.map_or_else(|| "any number".into(), |limit| limit.to_string());
        add(&mut message, format_args!("; queue {queue} holds {} of {limit}", numbers.queue_held));
    } else {
        if let Some((near, together)) = aside.near.zip(numbers.nodes_together) {
            let nodes = count(together, "such node");
            add(&mut message, format_args!(" in one {near}; {nodes} in the one with most"));
        }
        let nodes = count(numbers.nodes_that_fit, "such node");
        let gpus = count(numbers.free_gpus, "GPU");
        add(&mut message, format_args!("; {nodes}, {gpus} free of {}", numbers.cluster_gpus));
    }
    let Aside { otherwise_unfit, closed, closed_because, kept_for, taken_back, near: _ } = aside;
    if *taken_back > 0 {
        let gpus = count(*taken_back, "GPU");
        add(&mut message, format_args!("; others were told to give back {gpus} for it"));
    }
    if let Some(job) = kept_for {
        add(&mut message, format_args!("; kept for {job}, which is ahead"));
    }
    if numbers.coming_gpus > 0 {
        let verb = if numbers.coming_gpus == 1 { "is" } else { "are" };
        add(&mut message, format_args!("; {} {verb} coming back", count(numbers.coming_gpus, "more GPU")));
        // A job of another namespace is none of this user's business.
        let known: Vec<_> =
            numbers.coming_from.iter().filter(|job| job.namespace == namespace).map(|job| job.name.as_str()).collect();
        if !known.is_empty() {
            add(&mut message, format_args!(" from {}", known.join(", ")));
        }
    }
    if reason == Reason::WaitingForQuota {
        return message;
    }
    if *otherwise_unfit > 0 {
        let nodes = count(*otherwise_unfit, "more node");
        let verb = if *otherwise_unfit == 1 { "has" } else { "have" };
        add(
            &mut message,
            format_args!("; {nodes} {verb} the GPUs, but CPU, memory, selectors or taints keep its pods away"),
        );
    }
    if *closed > 0 {
        let verb = if *closed == 1 { "is" } else { "are" };
        let why = if closed_because.is_empty() { String::new() } else { format!(" ({closed_because})") };
        add(&mut message, format_args!("; {} {verb} closed{why}", count(*closed, "node")));
    }
    message
}

/// What would make a job run that waits for what others hold.
pub(crate) fn would_run(reason: Reason, shape: &Shape, queue: &str, numbers: &WaitNumbers) -> String {
    let class = &shape.class;
    let mut message = match reason {
        Reason::WaitingForPreemption => "it runs once those have written their checkpoints".to_owned(),
        Reason::WaitingForQuota => {
            format!("it runs once queue {queue} may take {}", count(shape.gpus(), &format!("more {class} GPU")))
        }
        Reason::WaitingForTopology => {
            let missing = shape.pods.saturating_sub(numbers.nodes_together.unwrap_or(numbers.nodes_that_fit));
            let (nodes, verb) = (count(missing, "more node"), if missing == 1 { "has" } else { "have" });
            let each = count(shape.gpus_per_pod, &format!("free {class} GPU"));
            format!("it runs once {nodes} of one domain {verb} {each}")
        }
        _ => {
            let missing = shape.pods.saturating_sub(numbers.nodes_that_fit);
            let each = count(shape.gpus_per_pod, &format!("free {class} GPU"));
            let verb = if missing == 1 { "has" } else { "have" };
            match missing {
                0 => "it runs once those ahead of it have started".to_owned(),
                _ => format!("it runs once {} {verb} {each}", count(missing, "more node")),
            }
        }
    };
    if let Some(fits) = &numbers.fits_now
        && fits != shape
    {
        add(&mut message, format_args!("; {} of its menu would fit now", gang(fits, "")));
    }
    message
}

/// What would make a job run that can never run as things are.
pub(crate) fn would_run_with_more(reason: Reason, shape: &Shape, queue: &str) -> String {
    match reason {
        Reason::ExceedsQuota => {
            format!("it runs if queue {queue} may hold {}", count(shape.gpus(), &format!("{} GPU", shape.class)))
        }
        Reason::ExceedsCluster => format!("it runs in a cluster where its pods may use {}", gang(shape, "")),
        _ => "it runs if the ResourceQuota is raised".to_owned(),
    }
}

/// Why a queue starts nothing: `queue team has used 120.0 of 100.0 GPU-hours; the next period begins at ...`.
pub(crate) fn budget(queue: &Queue, budget: &Budget) -> String {
    let unit = match budget.unit {
        BudgetUnit::GpuHours => "GPU-hours",
        BudgetUnit::Money => "of its money",
        BudgetUnit::KilowattHours => "kWh",
        BudgetUnit::KilogramsCo2 => "kg of CO2",
    };
    let Budget { limit, used, period_ends, .. } = budget;
    format!("queue {} has used {used:.1} of {limit:.1} {unit}; the next period begins at {period_ends}", queue.name)
}

/// Why a running job gives devices back. The other job is named to who may know it.
pub(crate) fn given_up(taken: &Taken<'_, '_>, gainer: &Job) -> String {
    let Taken { victim, keeps, entitled } = taken;
    let (job, held) = (victim.job, victim.held);
    let known = gainer.key.namespace == job.key.namespace;
    let other = if known { gainer.key.name.as_str() } else { "a job of another namespace" };
    let class = &held.shape.class;
    let gives = match keeps {
        Keeps::Less { candidate, .. } => {
            let gpus = count(candidate.shape.gpus(), &format!("{class} GPU"));
            format!("{gpus} instead of {}", held.shape.gpus())
        }
        Keeps::All | Keeps::Nothing => format!("gives {} back", count(held.shape.gpus(), &format!("{class} GPU"))),
    };
    let why = if !entitled {
        format!("sized together with all other jobs it is to have no more, and {other} waits for the rest")
    } else if job.queue == gainer.queue {
        format!("{other} has priority {} in queue {}, this job {}", gainer.priority, gainer.queue, job.priority)
    } else {
        format!("{other} of queue {} takes what queue {} borrows", gainer.queue, job.queue)
    };
    format!("{gives}: {why}; stopping it loses {:.0} GPU-seconds", victim.lost())
}

/// Why a running job goes to other nodes in its own shape. The other job is named to who may know it.
pub(crate) fn makes_room(held: &Allocation, to: &[String], gainer: &Job, job: &Job, lost: f64) -> String {
    let known = gainer.key.namespace == job.key.namespace;
    let other = if known { gainer.key.name.as_str() } else { "a job of another namespace" };
    let (to, from) = (to.join(", "), held.nodes.join(", "));
    format!("{to} instead of {from}: leaves room in one piece that {other} needs; the move loses {lost:.0} GPU-seconds")
}

/// Why a ResourceQuota leaves too little: `needs 16 nvidia.com/gpu of ResourceQuota team/gpus; 10 of 24 are free`.
pub(crate) fn namespace_quota(line: &Line<'_>, needs: i64, left: i64) -> String {
    let free = left.max(0).unsigned_abs();
    let verb = if free == 1 { "is" } else { "are" };
    let (free, hard) = (quantity(line.resource, free), quantity(line.resource, line.limit.hard));
    format!("{}; {free} of {hard} {verb} free", needs_of(line, needs))
}

/// Why a ResourceQuota never allows a gang.
pub(crate) fn over_namespace_quota(line: &Line<'_>, needs: i64) -> String {
    format!("{}, which allows {}", needs_of(line, needs), quantity(line.resource, line.limit.hard))
}

fn needs_of(line: &Line<'_>, needs: i64) -> String {
    let Line { quota, resource, limit: _ } = line;
    // Accelerators under the name by which everybody knows them.
    let known = resource.strip_prefix("requests.").filter(|name| name.contains('/')).unwrap_or(resource);
    let needs = quantity(resource, needs.unsigned_abs());
    format!("needs {needs} {known} of ResourceQuota {}/{}", quota.namespace, quota.name)
}

/// An amount as `kubectl describe resourcequota` writes it, exactly.
fn quantity(resource: &str, amount: u64) -> String {
    let suffixed = |steps: &[(u64, &str)]| {
        let exact = steps.iter().find(|(step, _)| amount > 0 && amount.is_multiple_of(*step));
        exact.map_or_else(|| amount.to_string(), |(step, suffix)| format!("{}{suffix}", amount / step))
    };
    match resource.rsplit('.').next() {
        Some("cpu") if amount.is_multiple_of(1000) => (amount / 1000).to_string(),
        Some("cpu") => format!("{amount}m"),
        Some("memory" | "ephemeral-storage") => suffixed(&[
            (1 << 40, "Ti"),
            (1 << 30, "Gi"),
            (1 << 20, "Mi"),
            (1 << 10, "Ki"),
            (1_000_000_000, "G"),
            (1_000_000, "M"),
            (1000, "k"),
        ]),
        _ => amount.to_string(),
    }
}

fn add(message: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = message.write_fmt(more);
}
