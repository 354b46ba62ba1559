//! Gavel's tables of throughputs: steps per second of job types, alone and two on a GPU.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Application, Catalogue, Runs, Steps, Times};
use crate::cluster::Cluster;
use crate::table::ReadError;
use crate::workload::{Submission, gavel};

/// End of the name of a kind whose GPUs do not stand together.
const APART: &str = "_unconsolidated";

/// An entry of a table: alone, or beside another.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Alone(f64),
    Beside([f64; 2]),
}

/// Steps per second by kind of GPU, by job type and scale, alone (`null`) or beside another job type and scale on the same GPUs, as its
/// own and the other's.
#[derive(Clone, Debug, Default)]
pub struct Throughputs {
    /// By kind and application, as [`gavel::application`] names it: alone.
    alone: BTreeMap<(String, String), f64>,
    /// By kind, application and the other application: its own share of its speed alone.
    beside: BTreeMap<(String, String), BTreeMap<String, f64>>,
}

impl Throughputs {
    /// Reads a table: `{"v100": {"('LM (batch size 20)', 1)": {"null": 9.5, "('A3C', 1)": [4.0, 0.9]}}}`. Pairs of which one stands
    /// still did not fit a GPU together and are left out.
    ///
    /// # Errors
    ///
    /// When the text is no such table, or a throughput is negative.
    pub fn read(what: &str, text: &str) -> Result<Self, ReadError> {
        type Table = BTreeMap<String, BTreeMap<String, BTreeMap<String, Entry>>>;
        let line = |line, error| ReadError::Line { what: what.to_owned(), line, error };
        let table: Table = serde_json::from_str(text).map_err(|error| line(error.line(), error.to_string()))?;
        let mut all = Self::default();
        for (kind, rows) in table {
            for (name, entries) in rows {
                let job =
                    |error: &str| ReadError::Job { what: what.to_owned(), job: name.clone(), error: error.to_owned() };
                let own = application(&name).ok_or_else(|| job("it should be named ('JOB TYPE', GPUS)"))?;
                let alone = match entries.get("null") {
                    Some(Entry::Alone(steps)) if steps.is_finite() && *steps >= 0.0 => *steps,
                    _ => return Err(job("`null` should be its steps per second alone, not below 0")),
                };
                if alone == 0.0 {
                    continue;
                }
                let mut beside = BTreeMap::new();
                for (other, entry) in entries {
                    let (Entry::Beside(pair), Some(other)) = (entry, application(&other)) else { continue };
                    if pair.iter().all(|steps| *steps > 0.0) {
                        beside.insert(other, pair[0] / alone);
                    }
                }
                all.alone.insert((kind.clone(), own.clone()), alone);
                all.beside.insert((kind.clone(), own), beside);
            }
        }
        Ok(all)
    }

    /// Profiles of the applications of some jobs on a cluster: fixed sizes at one batch, full speed on as few nodes as can be, and the
    /// speed apart on more.
    ///
    /// # Errors
    ///
    /// When the table has nothing of an application on any kind of the cluster.
    pub fn catalogue(&self, jobs: &[Submission], cluster: &Cluster) -> Result<Catalogue, ReadError> {
        let mut applications: BTreeMap<&str, Application> = BTreeMap::new();
        for job in jobs {
            if applications.contains_key(job.application.as_str()) {
                continue;
            }
            let key = |kind: &str| (kind.to_owned(), job.application.clone());
            let steps = |kind: &crate::cluster::Kind| {
                let together = *self.alone.get(&key(&kind.name))?;
                let apart = self.alone.get(&key(&format!("{}{APART}", kind.name))).copied().unwrap_or(together);
                Some(Steps::fixed(job.gpus, kind.gpus_per_node, together, apart))
            };
            let steps: Vec<Option<Steps>> = cluster.kinds.iter().map(steps).collect();
            if steps.iter().all(Option::is_none) {
                return Err(ReadError::Unprofiled {
                    what: "the table of throughputs".to_owned(),
                    application: job.application.clone(),
                    kind: cluster.to_string(),
                });
            }
            let beside =
                cluster.kinds.iter().map(|kind| self.beside.get(&key(&kind.name)).cloned().unwrap_or_default());
            applications.insert(
                &job.application,
                Application {
                    name: job.application.clone(),
                    runs: Runs::endless(f64::from(job.gpus)),
                    steps,
                    times: Times::of(&job.application),
                    beside: Some(beside.collect()),
                },
            );
        }
        Ok(Catalogue::of(applications.into_values().collect()))
    }
}

/// `('LM (batch size 20)', 2)` as an application.
fn application(name: &str) -> Option<String> {
    let (job_type, gpus) = name.strip_prefix("('")?.strip_suffix(')')?.rsplit_once("', ")?;
    Some(gavel::application(job_type, gpus.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{
        "v100": {"('A', 1)": {"null": 4.0, "('B', 1)": [2.0, 1.5], "('C', 1)": [0.0, 0.0]}, "('A', 4)": {"null": 10.0}},
        "v100_unconsolidated": {"('A', 4)": {"null": 8.0}}
    }"#;

    fn job(gpus: u32) -> Submission {
        Submission { application: gavel::application("A", gpus), gpus, ..Submission::default() }
    }

    #[test]
    fn a_job_type_is_as_fast_as_its_table_says_together_apart_and_beside() {
        let table = Throughputs::read("table.json", TABLE).unwrap();
        let cluster = "v100=4x2".parse().unwrap();
        let catalogue = table.catalogue(&[job(1), job(4)], &cluster).unwrap();
        let four = &catalogue.applications()[catalogue.find("A x 4").unwrap()];
        let seconds = |shape: &[u32]| four.steps[0].as_ref().unwrap().at(shape).unwrap().at(1.0).step_seconds;
        assert_eq!([seconds(&[2, 2]), seconds(&[1, 2, 1])], [0.1, 0.125]);
        let one = &catalogue.applications()[catalogue.find("A x 1").unwrap()];
        let beside = &one.beside.as_ref().unwrap()[0];
        assert_eq!((beside.get("B x 1"), beside.get("C x 1")), (Some(&0.5), None));
    }

    #[test]
    fn what_is_no_table_is_named() {
        let refused = |text: &str| Throughputs::read("table.json", text).unwrap_err().to_string();
        assert!(refused("{\"v100\": 3}").starts_with("failed to read table.json, line 1: invalid type"));
        assert_eq!(
            refused(r#"{"v100": {"A": {"null": 1}}}"#),
            "failed to read table.json, job A: it should be named ('JOB TYPE', GPUS)"
        );
        let table = Throughputs::read("table.json", TABLE).unwrap();
        let error = table.catalogue(&[job(2)], &"v100=4x2".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("nothing is known of application `A x 2` on `v100=4x2`"), "{error}");
    }
}
