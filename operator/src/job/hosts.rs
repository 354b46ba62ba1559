//! The nodes that a revision stands on, as far as they are not as they should be. Pure.

use k8s_openapi::api::core::v1::Node;

use crate::world::World;

/// What is to be known of the nodes of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Nodes that take no pods any more: somebody wants them empty.
    cordoned: Vec<String>,
    /// Nodes that are not ready: their kubelet does not answer, or says so itself.
    not_ready: Vec<String>,
}

impl Hosts {
    /// Looks at nodes by name. One that is gone is not among them: its pods are gone with it.
    pub fn of(world: &World, names: &[String]) -> Self {
        let mut hosts = Self::default();
        for name in names {
            let node = world.objects.nodes.iter().find(|node| node.metadata.name.as_ref() == Some(name));
            let Some(node) = node else { continue };
            if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
                hosts.cordoned.push(name.clone());
            }
            if !is_ready(node) {
                hosts.not_ready.push(name.clone());
            }
        }
        hosts
    }

    /// That a node is cordoned, in a sentence.
    pub fn cordoned(&self) -> Option<String> {
        sentence(&self.cordoned, "cordoned")
    }

    /// That a node is not ready, in a sentence.
    pub fn not_ready(&self) -> Option<String> {
        sentence(&self.not_ready, "not ready")
    }
}

fn is_ready(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn sentence(names: &[String], what: &str) -> Option<String> {
    match names {
        [] => None,
        [name] => Some(format!("{name} is {what}")),
        [first, rest @ ..] => Some(format!("{first} and {} more are {what}", rest.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fixtures::world;

    fn changed(change: impl Fn(&mut Node)) -> World {
        let mut world = world(vec![]);
        for node in &mut world.objects.nodes {
            change(Arc::make_mut(node));
        }
        world
    }

    #[test]
    fn a_cordoned_node_is_named_and_many_are_counted() {
        let world = changed(|node| node.spec.get_or_insert_default().unschedulable = Some(true));
        let said =
            |names: &[&str]| Hosts::of(&world, &names.iter().map(|n| (*n).into()).collect::<Vec<_>>()).cordoned();
        assert_eq!(said(&["n2"]).as_deref(), Some("n2 is cordoned"));
        assert_eq!(said(&["n1", "n2"]).as_deref(), Some("n1 and 1 more are cordoned"));
        assert_eq!(said(&["gone"]), None);
    }

    #[test]
    fn a_node_whose_kubelet_is_not_heard_of_is_not_ready() {
        let lost = changed(|node| {
            for condition in node.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
                condition.status = "Unknown".into();
            }
        });
        let names = ["n1".to_owned()];
        assert_eq!(Hosts::of(&lost, &names).not_ready().as_deref(), Some("n1 is not ready"));
        assert_eq!(Hosts::of(&world(vec![]), &names), Hosts::default());
    }
}
