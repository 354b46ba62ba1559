//! Queues of a snapshot: what they may hold and who may use them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt as _,
    core::{ParseExpressionError, Selector, SelectorExt as _},
};
use plimsoll_crds::{
    TrainingQueue,
    training_queue::{self as api, FairShare, PeriodUsage, QueueBudget, QueueClass, Reclaim, WithinQueue},
};
use plimsoll_menu::ClassName;
use plimsoll_scheduling::{Budget, BudgetUnit, Preemption, Queue, Reclaims, Share, Takes};

use crate::{Objects, period, quantity::Amount};

/// A queue, with what it has used and spent by its own status.
pub(crate) fn queue(queue: &TrainingQueue, objects: &Objects, now: Timestamp) -> Queue {
    let (spec, name) = (&queue.spec, queue.name_any());
    let preemption = spec.preemption.clone().unwrap_or_default();
    let (usage, usage_at) = past_use(queue);
    Queue {
        parent: spec.parent_name.clone(),
        classes: (!spec.classes.is_empty()).then(|| spec.classes.iter().map(share).collect()),
        weight: f64::from(spec.weight.unwrap_or(1).max(1)),
        namespaces: selector(queue).map_or_else(
            |error| {
                // A selector that cannot be read admits nobody, rather than everybody.
                tracing::warn!(queue = name, %error, "namespaceSelector cannot be read");
                Some(Vec::new())
            },
            |selector| selector.map(|selector| matching(&selector, objects)),
        ),
        moves_per_job_hour: spec.rightsizing.as_ref().and_then(|r| r.moves_per_job_hour).map(count),
        preemption: Preemption {
            within_queue: match preemption.within_queue {
                WithinQueue::Never => Takes::Never,
                WithinQueue::LowerPriority => Takes::LowerPriority,
            },
            reclaim: match preemption.reclaim {
                Reclaim::Never => Reclaims::Never,
                Reclaim::LowerPriority => Reclaims::LowerPriority,
                Reclaim::Any => Reclaims::Any,
            },
        },
        budgets: spec.budgets.iter().map(|budget| self::budget(queue, budget, now)).collect(),
        usage,
        usage_at,
        name,
    }
}

fn share(class: &QueueClass) -> (ClassName, Share) {
    let share = Share {
        nominal: count(class.nominal_quota),
        borrowing_limit: class.borrowing_limit.map(count),
        lending_limit: class.lending_limit.map(count),
    };
    (ClassName::new(class.class.clone()), share)
}

/// Decayed GPU-seconds per class, and as of when.
fn past_use(queue: &TrainingQueue) -> (BTreeMap<ClassName, f64>, Option<Timestamp>) {
    let Some(status) = &queue.status else { return Default::default() };
    let of = |share: &FairShare| (ClassName::new(share.class.clone()), share.gpu_seconds.max(0) as f64);
    let at = status.accounted_at.as_ref().map(|at| at.0).filter(|_| !status.fair_share.is_empty());
    at.map_or_else(Default::default, |at| (status.fair_share.iter().map(of).collect(), Some(at)))
}

fn budget(queue: &TrainingQueue, budget: &QueueBudget, now: Timestamp) -> Budget {
    let limit = Amount::try_from(&budget.limit).map(Amount::as_f64).unwrap_or_else(|error| {
        // A limit that cannot be read allows nothing, rather than everything.
        tracing::warn!(queue = queue.name_any(), %error, "the limit of a budget cannot be read");
        0.0
    });
    let began = period::begins(budget.period, now);
    let usage = queue.status.iter().flat_map(|status| &status.usage);
    let current = usage.filter(|usage| usage.period == budget.period).find(|usage| usage.began_at.0 == began);
    Budget {
        unit: unit(budget.unit),
        limit,
        used: current.map_or(0.0, |usage| spent(budget.unit, usage)),
        period_ends: period::ends(budget.period, now),
    }
}

/// What is spent of a budget of this unit, by what was used in its period.
pub fn spent(unit: api::BudgetUnit, usage: &PeriodUsage) -> f64 {
    match unit {
        api::BudgetUnit::GpuHours => usage.gpu_seconds as f64 / 3600.0,
        api::BudgetUnit::Money => Amount::try_from(&usage.cost.amount).map_or(0.0, Amount::as_f64),
        api::BudgetUnit::KilowattHours => usage.energy_joules as f64 / 3.6e6,
        api::BudgetUnit::KilogramsCo2 => usage.carbon_grams as f64 / 1000.0,
    }
}

fn unit(unit: api::BudgetUnit) -> BudgetUnit {
    match unit {
        api::BudgetUnit::GpuHours => BudgetUnit::GpuHours,
        api::BudgetUnit::Money => BudgetUnit::Money,
        api::BudgetUnit::KilowattHours => BudgetUnit::KilowattHours,
        api::BudgetUnit::KilogramsCo2 => BudgetUnit::KilogramsCo2,
    }
}

/// When time alone changes what a queue is: the end of the nearest period that it has a budget for.
pub(crate) fn due(queue: &Queue) -> Option<Timestamp> {
    queue.budgets.iter().map(|budget| budget.period_ends).min()
}

fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}

/// The selector of a queue's namespaces; `None` means all.
pub(crate) fn selector(queue: &TrainingQueue) -> Result<Option<Selector>, ParseExpressionError> {
    queue.spec.namespace_selector.clone().map(Selector::try_from).transpose()
}

fn matching(selector: &Selector, objects: &Objects) -> Vec<String> {
    let admitted = |namespace: &Namespace| selector.matches(namespace.labels());
    let mut names: Vec<String> = objects.namespaces.iter().filter(|n| admitted(n)).map(|n| n.name_any()).collect();
    names.sort();
    names
}

/// Whether a queue lets its jobs name this priority class. The default, no class at all, is always allowed.
pub fn admits_priority_class(queue: &TrainingQueue, class: Option<&str>) -> bool {
    class.is_none_or(|class| queue.spec.allowed_priority_classes.iter().any(|allowed| allowed == class))
}

/// One sentence about a priority class that a queue does not allow.
pub(crate) fn forbids_priority_class(queue: &TrainingQueue, class: Option<&str>) -> Option<String> {
    let class = class.filter(|_| !admits_priority_class(queue, class))?;
    let allowed = &queue.spec.allowed_priority_classes;
    let instead = match allowed.as_slice() {
        [] => "it allows none but the default".to_owned(),
        some => format!("it allows {}", some.join(", ")),
    };
    Some(format!("queue {} does not allow the priority class {class}: {instead}", queue.name_any()))
}
