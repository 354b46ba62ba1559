//! Plans that break a law: they are not carried out, and what led to them is kept.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use plimsoll_scheduling::check::{Violation, check};
use plimsoll_scheduling::{Action, Plan, Saved, Snapshot};

use crate::sentence::sentence;

/// Snapshots that are kept.
const KEPT: usize = 3;
/// Least time between two of them: the next cycle most likely fails in the same way.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// How the names of their files begin.
const PREFIX: &str = "unlawful-";

/// Proves plans.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    folder: Option<PathBuf>,
    kept_at: Option<Timestamp>,
}

/// A snapshot could not be kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("failed to write the snapshot as JSON")]
    Serialise(#[source] serde_json::Error),
    #[error("failed to write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to tidy {}", path.display())]
    Tidy {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Inspector {
    /// One that keeps snapshots in a folder.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, kept_at: None }
    }

    /// The plan if it is lawful, else what is left of it: the reasons of those who wait. Everything stays as it is then, and
    /// the next cycle tries again. Returns whether it was lawful.
    pub(super) fn inspect(&mut self, snapshot: &Snapshot, plan: Plan, now: Timestamp) -> (Plan, bool) {
        let violations = check(snapshot, &plan, now);
        if violations.is_empty() {
            return (plan, true);
        }
        tracing::error!(
            violations = violations.len(),
            first = violations.first().map(sentence_of),
            "a plan breaks a law and is not carried out; please report it"
        );
        if self.kept_at.is_none_or(|at| now.duration_since(at) >= PAUSE) {
            self.kept_at = Some(now);
            self.keep(snapshot, &violations, now);
        }
        let waits = |decision: &plimsoll_scheduling::Decision| matches!(decision.action, Action::Wait { .. });
        (Plan { decisions: plan.decisions.into_iter().filter(waits).collect(), ..Plan::default() }, false)
    }

    fn keep(&self, snapshot: &Snapshot, violations: &[Violation], now: Timestamp) {
        let Some(folder) = &self.folder else { return };
        let saved =
            Saved { at: now, violations: violations.iter().map(sentence_of).collect(), snapshot: snapshot.clone() };
        match write(folder, &saved) {
            Ok(path) => tracing::error!(path = %path.display(), "its snapshot is kept: `plimsoll plan -f` reads it"),
            Err(error) => tracing::warn!(error = sentence(&error), "the snapshot of an unlawful plan is lost"),
        }
    }
}

fn sentence_of(violation: &Violation) -> String {
    violation.to_string()
}

fn write(folder: &Path, saved: &Saved) -> Result<PathBuf, KeepError> {
    let text = serde_json::to_vec(saved).map_err(KeepError::Serialise)?;
    let path = folder.join(format!("{PREFIX}{}.json", saved.at.strftime("%Y%m%dT%H%M%SZ")));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|source| KeepError::Write { path: path.clone(), source })?;
    tidy(folder).map_err(|source| KeepError::Tidy { path: folder.to_owned(), source })?;
    Ok(path)
}

/// Removes all but the newest; their names are in order of time.
fn tidy(folder: &Path) -> std::io::Result<()> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX)) {
            kept.push(path);
        }
    }
    kept.sort();
    for old in kept.iter().rev().skip(KEPT) {
        std::fs::remove_file(old)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plimsoll_observe::{Planned, Settings};
    use plimsoll_scheduling::{Decision, plan};

    use super::*;
    use crate::config::Config;
    use crate::fixtures::{job, now, think, world};
    use crate::job::Known;

    fn snapshot() -> Snapshot {
        let world = world(vec![]);
        let turn = think(&world, &job(None), Known::default());
        let planned: Vec<Planned> = turn.planned(&Config::default(), now()).into_iter().collect();
        plimsoll_observe::snapshot(&world.objects, &planned, &Settings::default(), now())
    }

    /// The plan of the snapshot, with a node too many for the pods of its job.
    fn broken(snapshot: &Snapshot) -> Plan {
        let mut plan = plan(snapshot, now());
        let Action::Start { nodes, .. } = &mut plan.decisions[0].action else { unreachable!("it starts") };
        nodes.push(nodes[0].clone());
        plan
    }

    #[test]
    fn a_lawful_plan_is_left_as_it_is() {
        let snapshot = snapshot();
        let lawful = plan(&snapshot, now());
        assert_eq!(Inspector::default().inspect(&snapshot, lawful.clone(), now()), (lawful, true));
    }

    #[test]
    fn a_plan_that_was_broken_by_hand_is_not_carried_out_and_its_snapshot_makes_the_plan_again() {
        let (snapshot, folder) = (snapshot(), folder("broken"));
        let mut inspector = Inspector::new(Some(folder.clone()));
        let (left, lawful) = inspector.inspect(&snapshot, broken(&snapshot), now());
        assert_eq!((left.decisions, lawful), (Vec::<Decision>::new(), false));
        let path = folder.join("unlawful-20261125T120000Z.json");
        let saved: Saved = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(saved.violations.iter().any(|law| law.contains("distinct nodes")), "{:?}", saved.violations);
        assert_eq!(plan(&saved.snapshot, saved.at), plan(&snapshot, now()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_newest_three_are_kept_and_no_more_than_one_a_minute() {
        let (snapshot, folder) = (snapshot(), folder("newest"));
        let mut inspector = Inspector::new(Some(folder.clone()));
        for seconds in [0, 30, 60, 120, 180] {
            inspector.inspect(&snapshot, broken(&snapshot), now() + SignedDuration::from_secs(seconds));
        }
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let expected = ["1201", "1202", "1203"].map(|minute| format!("unlawful-20261125T{minute}00Z.json"));
        assert_eq!(names, expected);
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()))
    }
}
