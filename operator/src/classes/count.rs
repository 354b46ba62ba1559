//! How much there is of a class, and who else claims it. Pure.

use jiff::Timestamp;
use kube::ResourceExt as _;
use plimsoll_crds::{AcceleratorClass, AcceleratorClassStatus, condition};
use plimsoll_observe::{Planned, nodes::Offer};

/// How much there is of a class. What another class claims too counts for neither.
pub(super) fn status(
    class: &AcceleratorClass,
    offers: &[Offer],
    jobs: &[Planned],
    now: Timestamp,
) -> AcceleratorClassStatus {
    let name = class.name_any();
    let own = |offer: &&Offer| matches!(offer.classes.as_slice(), [only] if *only == name);
    let (nodes, gpus) = offers.iter().filter(own).fold((0, 0_u32), |(n, g), o| (n + 1, g.saturating_add(o.gpus)));
    let held = jobs.iter().filter_map(Planned::held).filter(|held| held.shape.class.as_str() == name);
    let held: u32 = held.map(|held| held.shape.gpus()).sum();
    let mut conditions = class.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let mut set = |type_: &str, status: bool, reason: &str, message: &str| {
        condition::set(&mut conditions, type_, status, reason, message, class.metadata.generation, now);
    };
    if nodes > 0 {
        set(condition::other::READY, true, "NodesPresent", "");
    } else {
        set(condition::other::READY, false, "NoNodes", "no node that this class alone selects offers its resource");
    }
    match contested(&name, offers) {
        Some(message) => set(condition::other::CONFLICTING, true, "ClaimedTwice", &message),
        None => set(condition::other::CONFLICTING, false, "ClaimedOnce", ""),
    }
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    AcceleratorClassStatus { conditions, nodes, gpus: count(gpus), held_gpus: count(held) }
}

/// One sentence about the nodes that this and another class claim.
fn contested(name: &str, offers: &[Offer]) -> Option<String> {
    let contested = |offer: &&Offer| offer.classes.len() > 1 && offer.classes.iter().any(|class| class == name);
    let offers: Vec<&Offer> = offers.iter().filter(contested).collect();
    let first = offers.first()?;
    let others = if offers.len() > 1 { format!(" and {} more", offers.len() - 1) } else { String::new() };
    let (node, resource, classes) = (&first.node, &first.resource, first.classes.join(" and "));
    Some(format!(
        "{resource} of node {node}{others} is claimed by classes {classes}: change a nodeSelector, until then no job starts there"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_observe::nodes;

    use super::*;
    use crate::classes::figures::{tests::cluster, wanted};

    #[test]
    fn nodes_that_two_classes_claim_count_for_neither_and_both_say_so() {
        let mut objects = cluster(&["NVIDIA-L4", "NVIDIA-L4"]);
        let class = wanted(&objects).remove(0);
        let mut other = class.clone();
        other.metadata.name = Some("mine".to_owned());
        objects.classes = vec![Arc::new(class.clone())];
        let alone = status(&class, &nodes::offers(&objects), &[], Timestamp::UNIX_EPOCH);
        assert_eq!((alone.nodes, alone.gpus), (2, 16));
        assert!(condition::is_true(&alone.conditions, condition::other::READY));

        objects.classes.push(Arc::new(other));
        let both = status(&class, &nodes::offers(&objects), &[], Timestamp::UNIX_EPOCH);
        assert_eq!((both.nodes, both.gpus), (0, 0));
        assert!(condition::is_true(&both.conditions, condition::other::CONFLICTING));
        assert!(
            both.conditions[1]
                .message
                .starts_with("nvidia.com/gpu of node n0 and 1 more is claimed by classes l4 and mine")
        );
    }
}
