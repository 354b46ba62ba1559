//! What has changed in a list of shared objects since it was last looked at.

use std::collections::HashMap;
use std::sync::Arc;

/// Objects of one kind as they were last seen. An object that is still at its address is unchanged: it is kept here, so that
/// nothing else can be put there.
#[derive(Debug)]
pub(super) struct Seen<K> {
    by_address: HashMap<usize, (Arc<K>, u64)>,
    round: u64,
}

/// What is new and what is gone. An object that has changed is both.
#[derive(Debug)]
pub(super) struct Changes<K> {
    pub(super) new: Vec<Arc<K>>,
    pub(super) gone: Vec<Arc<K>>,
}

impl<K> Changes<K> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty()
    }

    /// The old forms of what has changed, then the new ones.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<K>> {
        self.gone.iter().chain(&self.new)
    }
}

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Self { by_address: HashMap::new(), round: 0 }
    }
}

impl<K> Seen<K> {
    /// Looks at all objects there are, in any order.
    pub(super) fn look(&mut self, objects: &[Arc<K>]) -> Changes<K> {
        self.round += 1;
        let mut changes = Changes { new: Vec::new(), gone: Vec::new() };
        for object in objects {
            let (_, round) = self.by_address.entry(Arc::as_ptr(object).addr()).or_insert_with(|| {
                changes.new.push(object.clone());
                (object.clone(), 0)
            });
            *round = self.round;
        }
        if self.by_address.len() > objects.len() {
            let round = self.round;
            let gone = self.by_address.extract_if(|_, (_, last)| *last != round);
            changes.gone.extend(gone.map(|(_, (object, _))| object));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_where_it_was_has_changed() {
        let (one, two) = (Arc::new(1), Arc::new(2));
        let mut seen = Seen::default();
        assert_eq!(seen.look(&[one.clone(), two.clone()]).new.len(), 2);
        assert!(seen.look(&[two.clone(), one.clone()]).is_empty());
        let changes = seen.look(&[one.clone(), Arc::new(3)]);
        assert_eq!((changes.new, changes.gone), (vec![Arc::new(3)], vec![two]));
        assert_eq!(seen.look(&[one]).gone, [Arc::new(3)]);
    }
}
