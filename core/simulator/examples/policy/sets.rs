//! The sets of traces.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use plimsoll_simulator::profile::{Catalogue, ProfileText};
use plimsoll_simulator::workload::{Submission, read_csv};
use plimsoll_simulator::{Cluster, Knowledge, Moves, Rules, builtin};

/// A workload by its name.
type Workload = (String, Vec<Submission>);

/// Traces that are averaged over.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) cluster: Cluster,
    pub(crate) catalogue: Catalogue,
    pub(crate) rules: Rules,
    pub(crate) knowledge: &'static [Knowledge],
    pub(crate) policies: &'static [&'static str],
    pub(crate) workloads: Vec<Workload>,
}

const BOTH: &[Knowledge] = &[Knowledge::Refit, Knowledge::Oracle];
const REFIT: &[Knowledge] = &[Knowledge::Refit];
const ALL: &[&str] = &["sia", "sia-uncapped", "gavel", "plimsoll-a", "plimsoll-b", "plimsoll-c"];
const PAID: &[&str] =
    &["sia", "sia-sticky", "plimsoll-a", "plimsoll-b", "plimsoll-c", "plimsoll-b+30", "plimsoll-c+30"];
const EVENTS: &[&str] = &["plimsoll-b", "plimsoll-b-incremental"];
const AIMS: &[&str] = &["plimsoll-b", "plimsoll-b-fairness", "plimsoll-b-cost", "plimsoll-b-energy"];
const LONG: &[&str] = &["sia", "sia-uncapped", "plimsoll-a", "plimsoll-b", "plimsoll-c", "plimsoll-c+30"];
const OURS: &[&str] = &["sia", "sia-uncapped", "sia-sticky", "plimsoll-a", "plimsoll-b", "plimsoll-c", "plimsoll-c+30"];
const PEERS: &[&str] = &[
    "sia",
    "sia-uncapped",
    "sia-sticky",
    "pollux",
    "tiresias",
    "optimus",
    "srtf",
    "shortest-first",
    "quota",
    "easy",
    "fifo",
    "plimsoll-a",
    "plimsoll-b",
    "plimsoll-c",
];

/// The built-in set, and those of a folder laid out as `workloads/<set>/workload-<n>.csv` and `profiles/<application>/`.
pub(crate) fn all(folder: Option<&Path>) -> Result<Vec<Set>, Box<dyn Error>> {
    let mut sets = Vec::new();
    let t4: Cluster = "t4=16x4".parse()?;
    let read = |(name, text): &(&str, &str)| Ok::<_, Box<dyn Error>>(((*name).to_owned(), read_csv(name, text)?));
    sets.push(Set {
        name: "pollux",
        catalogue: Catalogue::read(&builtin::profiles(), &["t4".to_owned()])?,
        cluster: t4,
        rules: Rules::POLLUX,
        knowledge: BOTH,
        policies: PEERS,
        workloads: builtin::WORKLOADS.iter().map(read).collect::<Result<_, _>>()?,
    });
    let Some(folder) = folder else { return Ok(sets) };
    let profiles = profiles(&folder.join("profiles"))?;
    let mixed = "aws=6x4,rtx=3x8,dgx-ext=2x8";
    let paid = Rules { moves: Moves::Paid, ..Rules::SIA };
    let mut add = |name, cluster: &str, rules, knowledge, policies, traces: &[&str]| -> Result<(), Box<dyn Error>> {
        let cluster: Cluster = cluster.parse()?;
        let kinds: Vec<String> = cluster.kinds.iter().map(|kind| kind.name.clone()).collect();
        let catalogue = Catalogue::read(&profiles, &kinds)?;
        let workloads = traces.iter().map(|trace| workloads(&folder.join("workloads").join(trace), trace));
        let workloads = workloads.collect::<Result<Vec<_>, _>>()?.concat();
        sets.push(Set { name, cluster, catalogue, rules, knowledge, policies, workloads });
        Ok(())
    };
    add("mixed", mixed, Rules::SIA, BOTH, ALL, &["saturn", "philly"])?;
    let events = Rules { events_seconds: Some(5.0), ..Rules::SIA };
    add("events, mixed", mixed, events, REFIT, EVENTS, &["saturn", "philly"])?;
    add("aims, mixed", mixed, Rules::SIA, REFIT, AIMS, &["saturn", "philly"])?;
    add("uniform", "aws=16x4", Rules::SIA, BOTH, ALL, &["philly"])?;
    add("moves paid, mixed", mixed, paid, REFIT, PAID, &["saturn", "philly"])?;
    add("moves paid, uniform", "aws=16x4", paid, REFIT, PAID, &["philly"])?;
    add("long", mixed, Rules::SIA, REFIT, LONG, &["newtrace"])?;
    add("real world", mixed, Rules::real(1), REFIT, OURS, &["saturn", "philly"])?;
    Ok(sets)
}

/// A workload of a set.
pub(crate) fn named<'a>(sets: &'a [Set], set: &str, workload: &str) -> Option<(&'a Set, &'a [Submission])> {
    let set = sets.iter().find(|known| known.name == set)?;
    let (_, jobs) = set.workloads.iter().find(|(name, _)| name == workload)?;
    Some((set, jobs))
}

/// The workloads of a folder, by number.
fn workloads(folder: &Path, set: &str) -> Result<Vec<Workload>, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| format!("failed to read {}: {error}", folder.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(number) = stem.strip_prefix("workload-").and_then(|number| number.parse::<u32>().ok()) else {
            continue;
        };
        let name = format!("{set}-{number}");
        found.insert(number, (name.clone(), read_csv(&name, &std::fs::read_to_string(path)?)?));
    }
    Ok(found.into_values().collect())
}

/// The profiles of a folder, by application.
fn profiles(folder: &Path) -> Result<BTreeMap<String, ProfileText>, Box<dyn Error>> {
    let mut profiles = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| format!("failed to read {}: {error}", folder.display()))? {
        let path = entry?.path();
        let mut profile = ProfileText::default();
        for file in std::fs::read_dir(&path)? {
            let file = file?;
            profile.add(&file.file_name().to_string_lossy(), std::fs::read_to_string(file.path())?);
        }
        if !profile.validation.is_empty() {
            profiles.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), profile);
        }
    }
    Ok(profiles)
}
