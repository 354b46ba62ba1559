//! What the gates of a long run gave so far, in one file, so that an interrupted run goes on where it was.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::figures::Figure;
use super::gate::Gate;
use super::sources::Sources;

/// The results of one state of the sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    /// What was tested.
    pub(super) sources: Sources,
    /// The last result of each gate, by its name.
    pub(super) gates: BTreeMap<String, GateResult>,
}

/// What a gate gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GateResult {
    /// Whether it passed.
    pub(super) passed: bool,
    /// How long it ran.
    pub(super) seconds: f64,
    /// What it measured.
    pub(super) figures: Vec<Figure>,
}

impl Results {
    /// No results yet.
    pub(super) fn of(sources: Sources) -> Self {
        Self { sources, gates: BTreeMap::new() }
    }

    /// What of it still holds for these sources: all, or nothing. Of a changed checkout nobody knows whether it is the
    /// one that was tested.
    pub(super) fn carried_over(self, sources: &Sources) -> Self {
        if self.sources == *sources && !sources.changed { self } else { Self::of(sources.clone()) }
    }

    /// The gates that have not passed, in their order.
    pub(super) fn remaining<'a>(&self, gates: &'a [Gate]) -> Vec<&'a Gate> {
        gates.iter().filter(|gate| self.gates.get(gate.name).is_none_or(|result| !result.passed)).collect()
    }

    /// Reads the file; no file, or one of another version, means no results.
    pub(super) fn load(file: &Path) -> anyhow::Result<Self> {
        match std::fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", file.display())),
        }
    }

    /// Writes the file: whenever the run ends, it has the results of before or of now.
    pub(super) fn save(&self, file: &Path) -> anyhow::Result<()> {
        let draft = file.with_extension("draft");
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(&draft, text).with_context(|| format!("failed to write {}", draft.display()))?;
        std::fs::rename(&draft, file).with_context(|| format!("failed to write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates() -> Vec<Gate> {
        ["one", "two", "three"].map(|name| Gate::shell(name, "true")).to_vec()
    }

    fn sources(commit: &str, changed: bool) -> Sources {
        Sources { commit: commit.to_owned(), changed }
    }

    fn results(sources: Sources, gates: &[(&str, bool)]) -> Results {
        let result = |passed| GateResult { passed, seconds: 1.0, figures: Vec::new() };
        let gates = gates.iter().map(|(name, passed)| ((*name).to_owned(), result(*passed))).collect();
        Results { sources, gates }
    }

    fn remaining(saved: Results, now: &Sources) -> Vec<&'static str> {
        saved.carried_over(now).remaining(&gates()).into_iter().map(|gate| gate.name).collect()
    }

    #[test]
    fn an_interrupted_run_goes_on_with_the_gates_that_have_not_passed() {
        let now = sources("a", false);
        assert_eq!(remaining(Results::default(), &now), ["one", "two", "three"]);
        assert_eq!(remaining(results(now.clone(), &[("one", true)]), &now), ["two", "three"]);
        assert_eq!(remaining(results(now.clone(), &[("two", true), ("gone", true)]), &now), ["one", "three"]);
    }

    #[test]
    fn a_gate_that_failed_is_run_again() {
        let now = sources("a", false);
        assert_eq!(remaining(results(now.clone(), &[("one", false), ("two", true)]), &now), ["one", "three"]);
    }

    #[test]
    fn nothing_is_carried_over_to_another_commit() {
        let all = [("one", true), ("two", true), ("three", true)];
        assert_eq!(remaining(results(sources("a", false), &all), &sources("a", false)), [""; 0]);
        assert_eq!(remaining(results(sources("a", false), &all), &sources("b", false)), ["one", "two", "three"]);
    }

    #[test]
    fn nothing_is_carried_over_from_or_to_a_changed_checkout() {
        let all = [("one", true), ("two", true), ("three", true)];
        for (then, now) in [(true, true), (true, false), (false, true)] {
            let left = remaining(results(sources("a", then), &all), &sources("a", now));
            assert_eq!(left, ["one", "two", "three"], "changed: {then}, then {now}");
        }
    }

    #[test]
    fn results_survive_their_file_and_a_broken_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.json");
        assert_eq!(Results::load(&file).unwrap(), Results::default());
        let mut saved = results(sources("a", false), &[("one", true), ("two", false)]);
        saved.save(&file).unwrap();
        saved.gates.remove("two");
        saved.save(&file).unwrap();
        assert_eq!(Results::load(&file).unwrap(), saved);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Results::load(&file).unwrap(), Results::default());
    }
}
