//! The fleet's own account: `fleet.json`, for tests to read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::file::write_atomically;

/// One program of the chart, run on this machine for a pod of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemPod {
    /// Name of its pod.
    pub name: String,
    /// `operator` or `agent`.
    pub component: &'static str,
    /// Process id; absent while it is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Where its admin server listens.
    pub admin: SocketAddr,
    /// Its log.
    pub log: PathBuf,
}

/// What is written.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    system_pods: Vec<SystemPod>,
    overcommitted: u64,
}

/// The fleet's own account, written anew on each change.
#[derive(Debug)]
pub struct Register {
    file: PathBuf,
    known: Mutex<(BTreeMap<String, SystemPod>, u64)>,
}

impl Register {
    /// An account in a folder, with nothing in it yet.
    pub fn new(folder: &Path) -> Self {
        let register = Self { file: folder.join("fleet.json"), known: Mutex::default() };
        register.change(|_, _| ());
        register
    }

    /// Tells of a program, by the UID of its pod.
    pub fn tell(&self, uid: &str, pod: SystemPod) {
        self.change(|pods, _| drop(pods.insert(uid.to_owned(), pod)));
    }

    /// Forgets a program.
    pub fn forget(&self, uid: &str) {
        self.change(|pods, _| drop(pods.remove(uid)));
    }

    /// Counts a pod that asked for more devices than its node had left.
    pub fn overcommitted(&self) {
        self.change(|_, count| *count += 1);
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, SystemPod>, &mut u64)) {
        // Written under the lock, so that an older account never replaces a newer one.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (pods, overcommitted) = &mut *known;
        change(pods, overcommitted);
        let mut account = Account { system_pods: pods.values().cloned().collect(), overcommitted: *overcommitted };
        account.system_pods.sort_by(|a, b| a.name.cmp(&b.name));
        let written = serde_json::to_vec_pretty(&account).map_err(Into::into);
        if let Err(error) = written.and_then(|text| write_atomically(&self.file, &text)) {
            tracing::error!(file = %self.file.display(), %error, "the fleet's account was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_has_the_shape_that_scenarios_read() {
        let folder = tempfile::tempdir().unwrap();
        let register = Register::new(folder.path());
        let admin = "127.0.0.1:8080".parse().unwrap();
        let pod = SystemPod { name: "a".into(), component: "agent", pid: Some(7), admin, log: "/log".into() };
        register.tell("u", pod);
        register.overcommitted();
        let read = || -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(folder.path().join("fleet.json")).unwrap()).unwrap()
        };
        assert_eq!(read()["systemPods"][0]["component"], "agent");
        assert_eq!(read()["systemPods"][0]["admin"], "127.0.0.1:8080");
        assert_eq!(read()["overcommitted"], 1);
        register.forget("u");
        assert_eq!(read()["systemPods"], serde_json::json!([]));
    }
}
