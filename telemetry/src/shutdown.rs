//! One wish to end, heard by every task.

use std::future::Future;
use std::io;
use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells a process's tasks that it shall end. Clones hear the same wish.
#[derive(Clone, Debug)]
pub struct Signal {
    requested: watch::Receiver<bool>,
}

/// Raises a [`Signal`]. Dropping it raises the signal too: who could still ask for an end is gone.
#[derive(Debug)]
pub struct Trigger {
    requested: watch::Sender<bool>,
}

/// The system's signals cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen for signals")]
pub struct ListenError(#[source] io::Error);

impl Signal {
    /// Listens for SIGTERM and SIGINT. The first raises the signal, the second ends the process at once. Needs a
    /// tokio runtime.
    pub fn install() -> Result<Self, ListenError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(ListenError)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ListenError)?;
        let (trigger, wish) = Self::manual();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                    _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                }
            };
            let number = next().await;
            tracing::info!(number, "ends on a signal");
            trigger.raise();
            let number = next().await;
            tracing::warn!(number, "ends at once on a second signal");
            process::exit(128 + number);
        });
        Ok(wish)
    }

    /// A signal that the program raises itself.
    #[must_use]
    pub fn manual() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger { requested: sender }, Self { requested: receiver })
    }

    /// Done once the process shall end; at once if it shall already.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut requested = self.requested.clone();
        async move {
            // An error means that the trigger is gone, which counts as raised.
            let _ = requested.wait_for(|requested| *requested).await;
        }
    }

    /// Whether the process shall end.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }
}

impl Trigger {
    /// Tells every listener that the process shall end.
    pub fn raise(&self) {
        self.requested.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_hears_the_wish_before_and_after_it_is_raised() {
        let (trigger, wish) = Signal::manual();
        let early = tokio::spawn(wish.wait());
        assert!(!wish.is_raised());
        trigger.raise();
        early.await.unwrap();
        wish.clone().wait().await;
        assert!(wish.is_raised());
    }

    #[tokio::test]
    async fn a_dropped_trigger_counts_as_raised() {
        let (trigger, wish) = Signal::manual();
        drop(trigger);
        wish.wait().await;
        assert!(wish.is_raised());
    }
}
