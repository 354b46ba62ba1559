//! What a process still waits for before it is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The named conditions of one process; ready when all of them are met. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

/// One condition of a [`Readiness`]. Clones speak of the same condition.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

#[derive(Clone, Debug)]
enum State {
    Met,
    Missing(String),
}

impl Readiness {
    /// No conditions yet, hence ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, missing until it is met. Adding a name again starts it anew.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.set(name, State::Missing("not yet".to_owned()));
        Condition { name, readiness: self.clone() }
    }

    /// Whether every condition is met.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(|state| matches!(state, State::Met))
    }

    /// The conditions that are not met, by name, each with what is missing.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let conditions = self.lock();
        let missing = conditions.iter().filter_map(|(name, state)| match state {
            State::Met => None,
            State::Missing(what) => Some((*name, what.clone())),
        });
        missing.collect()
    }

    fn set(&self, name: &'static str, state: State) {
        self.lock().insert(name, state);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        // Each change is one insert, so a panic elsewhere cannot have left the map half written.
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    /// The condition holds from now on.
    pub fn met(&self) {
        self.readiness.set(self.name, State::Met);
    }

    /// The condition does not hold; `what` is shown to whoever asks why.
    pub fn missing(&self, what: impl Into<String>) {
        self.readiness.set(self.name, State::Missing(what.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_condition_is_met() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let stores = readiness.condition("stores");
        let driver = readiness.condition("driver");
        assert_eq!(readiness.missing(), [("driver", "not yet".to_owned()), ("stores", "not yet".to_owned())]);

        stores.met();
        driver.missing("no library");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing(), [("driver", "no library".to_owned())]);

        driver.met();
        assert!(readiness.is_ready());
        stores.missing("watch ended");
        assert!(!readiness.is_ready());
    }
}
