//! Queues of a snapshot: what they may hold and who may use them.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt as _,
    core::{ParseExpressionError, Selector, SelectorExt as _},
};
use plimsoll_crds::{TrainingQueue, training_queue::QueueClass};
use plimsoll_menu::ClassName;
use plimsoll_scheduling::{Queue, Share};

use crate::Objects;

/// All queues.
pub(crate) fn queues(objects: &Objects) -> Vec<Queue> {
    objects.queues.iter().map(|queue| self::queue(queue, objects)).collect()
}

fn queue(queue: &TrainingQueue, objects: &Objects) -> Queue {
    let spec = &queue.spec;
    let count = |count: i32| u32::try_from(count).unwrap_or(0);
    let share = |class: &QueueClass| (ClassName::new(class.class.clone()), Share::of(count(class.nominal_quota)));
    Queue {
        classes: (!spec.classes.is_empty()).then(|| spec.classes.iter().map(share).collect()),
        namespaces: selector(queue).map_or_else(
            |error| {
                // A selector that cannot be read admits nobody, rather than everybody.
                tracing::warn!(queue = queue.name_any(), %error, "namespaceSelector cannot be read");
                Some(Vec::new())
            },
            |selector| selector.map(|selector| matching(&selector, objects)),
        ),
        moves_per_job_hour: spec.rightsizing.as_ref().and_then(|r| r.moves_per_job_hour).map(count),
        ..Queue::unlimited(queue.name_any())
    }
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
