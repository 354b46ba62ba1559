//! Everything that was measured of the applications of a workload, on the kinds of GPU of a cluster.

use std::collections::BTreeMap;

use super::{Runs, Steps};
use crate::table::ReadError;

/// Texts of one application's profile.
#[derive(Clone, Debug, Default)]
pub struct ProfileText {
    /// `validation-<batch>.csv`, by total batch.
    pub validation: Vec<(f64, String)>,
    /// `placements-<kind>.csv` and `scalability-<kind>.csv` by kind of GPU; a file without a kind stands under `t4`. The
    /// second text is empty where there is no such file.
    pub kinds: BTreeMap<String, (String, String)>,
}

impl ProfileText {
    /// Adds a file of the application's folder by its name: `validation-<batch>.csv`, `placements[-<kind>].csv` or
    /// `scalability[-<kind>].csv`. Whether it was one of these.
    pub fn add(&mut self, file_name: &str, text: String) -> bool {
        let Some(stem) = file_name.strip_suffix(".csv") else { return false };
        let kind = |rest: &str| rest.strip_prefix('-').unwrap_or("t4").to_owned();
        if let Some(batch) = stem.strip_prefix("validation-").and_then(|batch| batch.parse().ok()) {
            self.validation.push((batch, text));
        } else if let Some(rest) = stem.strip_prefix("placements") {
            self.kinds.entry(kind(rest)).or_default().0 = text;
        } else if let Some(rest) = stem.strip_prefix("scalability") {
            self.kinds.entry(kind(rest)).or_default().1 = text;
        } else {
            return false;
        }
        true
    }
}

/// What stopping and starting cost an application, and how much slower it runs than its profile says, as the Sia simulator has
/// them (rules 4 and 9).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Seconds that a start or restart holds GPUs without progress.
    pub restart_seconds: f64,
    /// The same as Sia's policy believes it.
    pub believed_restart_seconds: f64,
    /// Factor on the time of a step, data loading and validation included; at least 1.
    pub slowdown: f64,
    /// The largest local batch in the Pollux simulator, in samples. Its published completion times of Tiresias follow from 8 for
    /// yolov3, of which 16 were profiled.
    pub pollux_most_local: f64,
}

impl Times {
    /// By name; 30 s and no slowdown for what the tables do not have.
    pub(super) fn of(application: &str) -> Self {
        let (restart_seconds, believed_restart_seconds, slowdown) = match application {
            "cifar10" => (50.0, 30.0, 1.8),
            "deepspeech2" => (25.0, 25.0, 1.2),
            "bert" => (120.0, 120.0, 1.2),
            "yolov3" => (80.0, 45.0, 1.2),
            "imagenet" => (250.0, 250.0, 1.2),
            "ncf" => (15.0, 15.0, 1.5),
            _ => (30.0, 30.0, 1.0),
        };
        let pollux_most_local = if application == "yolov3" { 8.0 } else { f64::INFINITY };
        Self { restart_seconds, believed_restart_seconds, slowdown, pollux_most_local }
    }
}

/// One application.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Its full runs.
    pub runs: Runs,
    /// Its step times on each kind of GPU of the cluster; `None` where it was not measured.
    pub steps: Vec<Option<Steps>>,
    /// What restarts cost it.
    pub times: Times,
    /// Its speed beside another application on the same GPUs, as a share of that alone, by kind and name; `None` where no pair was
    /// measured at all.
    pub beside: Option<Vec<BTreeMap<String, f64>>>,
}

/// All applications of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    applications: Vec<Application>,
}

impl Catalogue {
    /// Reads the profiles for a cluster of these kinds of GPU.
    ///
    /// # Errors
    ///
    /// When a text cannot be read.
    pub fn read(profiles: &BTreeMap<String, ProfileText>, kinds: &[String]) -> Result<Self, ReadError> {
        let mut applications = Vec::new();
        for (name, text) in profiles {
            let validation: Vec<(f64, &str)> =
                text.validation.iter().map(|(batch, text)| (*batch, text.as_str())).collect();
            let runs = Runs::read(&format!("the validation runs of {name}"), &validation)?;
            let mut steps = Vec::new();
            for kind in kinds {
                let what = format!("the profile of {name} on {kind}");
                let read = |(placements, scalability): &(String, String)| Steps::read(&what, placements, scalability);
                steps.push(text.kinds.get(kind).filter(|texts| !texts.0.is_empty()).map(read).transpose()?);
            }
            applications.push(Application { name: name.clone(), runs, steps, times: Times::of(name), beside: None });
        }
        Ok(Self { applications })
    }

    /// Of applications, by name.
    pub(super) fn of(applications: Vec<Application>) -> Self {
        Self { applications }
    }

    /// The applications, by name.
    pub fn applications(&self) -> &[Application] {
        &self.applications
    }

    /// Where an application stands in [`Catalogue::applications`].
    pub fn find(&self, name: &str) -> Option<usize> {
        self.applications.iter().position(|application| application.name == name)
    }
}
