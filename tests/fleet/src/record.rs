//! The fleet's own account, `fleet.json`: for the demo, which shows it, and for tests, which compare with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::files;

/// One program of the chart, run on this machine for a pod of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemPod {
    /// Name of its pod.
    pub name: String,
    /// Its node.
    pub node: String,
    /// `operator` or `agent`.
    pub component: String,
    /// Process id; absent while it is not running.
    pub pid: Option<u32>,
    /// Where its admin server listens.
    pub admin: SocketAddr,
    /// Its log.
    pub log: PathBuf,
    /// How often it ended and was started again.
    pub restarts: i32,
}

/// One revision of a job as it really is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Training {
    /// Profile of the ground truth.
    pub profile: String,
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps in all.
    pub total_steps: u64,
    /// Micro-batch.
    pub micro_batch: u32,
    /// Gradient accumulation steps.
    pub accumulation: u32,
    /// Seconds of an optimizer step.
    pub step_seconds: f64,
    /// SM activity, 0 to 1.
    pub sm_activity: f64,
    /// What the program's allocator keeps on each device, in bytes.
    pub allocated_bytes: u64,
    /// Reports that were answered.
    pub reports_answered: u64,
    /// Reports that were refused, or reached nobody.
    pub reports_lost: u64,
    /// How it ended: `completed`, `out of memory`, `stopped`, `broken`; absent while it trains.
    pub ended: Option<String>,
}

/// The whole account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Programs of the chart that run.
    pub system_pods: Vec<SystemPod>,
    /// Times that a pod asked for more devices than its node had left. Must stay 0.
    pub overcommitted: u64,
    /// Training by `namespace/job/revision`.
    pub training: BTreeMap<String, Training>,
}

/// Keeps the account and its file.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    systems: BTreeMap<String, SystemPod>,
    overcommitted: u64,
    training: BTreeMap<String, Training>,
    changed: bool,
}

impl Record {
    /// A new account in the fleet's folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let state = State { changed: true, ..State::default() };
        Self { path: folder.join("fleet.json"), state: Mutex::new(state) }
    }

    /// Notes the program of a pod, and writes at once: whoever kills a program looks up its pid here.
    pub(crate) fn system(&self, uid: &str, pod: SystemPod) {
        self.change(|state| state.systems.insert(uid.to_owned(), pod));
        self.write();
    }

    /// Forgets the program of a pod.
    pub(crate) fn forget(&self, uid: &str) {
        self.change(|state| state.systems.remove(uid));
        self.write();
    }

    /// Counts a pod for which there were no devices.
    pub(crate) fn overcommitted(&self) {
        self.change(|state| state.overcommitted += 1);
    }

    /// Notes how a training stands.
    pub(crate) fn training(&self, key: &str, change: impl FnOnce(&mut Training)) {
        self.change(|state| change(state.training.entry(key.to_owned()).or_default()));
    }

    /// Writes the file when something has changed.
    pub(crate) fn write(&self) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.changed) {
            return;
        }
        let account = Account {
            system_pods: state.systems.values().cloned().collect(),
            overcommitted: state.overcommitted,
            training: state.training.clone(),
        };
        // Still under the lock, so that a later state is not overwritten by an earlier one.
        let text = serde_json::to_vec_pretty(&account).map_err(std::io::Error::from);
        if let Err(error) = text.and_then(|text| files::replace(&self.path, &text)) {
            tracing::warn!(%error, path = %self.path.display(), "the account was not written");
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        let mut state = self.lock();
        change(&mut state);
        state.changed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole, so that a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::new(folder.path());
        record.overcommitted();
        record.training("ns/job/1", |training| training.step = 7);
        record.write();
        let text = std::fs::read_to_string(folder.path().join("fleet.json")).unwrap();
        let account: Account = serde_json::from_str(&text).unwrap();
        assert_eq!((account.overcommitted, account.training["ns/job/1"].step), (1, 7));
        assert!(text.contains("systemPods"), "{text}");
    }
}
