//! What a process still waits for before it is ready.

use std::collections::BTreeMap;
use std::error::Error;
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

    /// The condition does not hold because of an error, which is shown with its causes on one line.
    pub fn missing_because(&self, error: &dyn Error) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.missing(text);
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

    #[test]
    fn an_error_is_shown_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to {0}")]
        struct Failed(&'static str, #[source] Option<Box<Failed>>);

        let readiness = Readiness::new();
        let error = Failed("start", Some(Box::new(Failed("open", None))));
        readiness.condition("driver").missing_because(&error);
        assert_eq!(readiness.missing(), [("driver", "failed to start: failed to open".to_owned())]);
    }
}
