//! Reads profiles: step time of programs over placements and local batches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plimsoll_sizing::learned::throughput::{Observation, Placement};

use crate::{Published, Row, Table};

/// How deep below the folder of tables a profile may lie.
const DEPTH: usize = 4;

/// Tables of placements profiled one by one; what follows names the machines.
const EACH: &str = "placements";

/// Tables of larger, even placements.
const EVEN: &str = "scalability";

/// Parameters of the profiled programs by the name of their folder.
const MODELS: &str = include_str!("../../profiles/models.csv");

/// Programs that were profiled on the same machines.
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) programs: Vec<Program>,
}

/// One profiled program.
pub(super) struct Program {
    pub(super) name: String,
    /// Its trained parameters, where known.
    pub(super) parameters: Option<f64>,
    /// Steps at placements that were profiled one by one.
    pub(super) rows: Vec<Profiled>,
    /// Steps at larger, even placements.
    pub(super) beyond: Vec<Profiled>,
}

/// One profiled step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Profiled {
    pub(super) label: String,
    pub(super) observation: Observation,
}

/// All profiles below a folder, and for the repository's own tables those that stand beside them.
pub(super) fn clusters(folder: &Path) -> Vec<Cluster> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = Vec::new();
    search(folder, DEPTH, &mut folders);
    if folder == own.join("tables") {
        search(&own.join("profiles"), DEPTH, &mut folders);
    }
    let parameters = parameters();
    let mut clusters: BTreeMap<String, Vec<Program>> = BTreeMap::new();
    for folder in folders {
        let tables = Published::read(&folder).map(|published| published.tables).unwrap_or_default();
        let name = named(&folder);
        let collection = folder.parent().map(name_of_collection).unwrap_or_default();
        let mut known: Vec<Vec<Profiled>> = Vec::new();
        for table in tables.iter().filter(|table| table.name.starts_with(EACH)) {
            let rows: Vec<Profiled> = table.rows.iter().filter_map(profiled).collect();
            // Some collections repeat a file under another name.
            if rows.is_empty() || known.contains(&rows) {
                continue;
            }
            known.push(rows.clone());
            let machines = &table.name[EACH.len()..];
            let even = tables.iter().find(|other| other.name.strip_prefix(EVEN) == Some(machines));
            let program = Program {
                name: name.clone(),
                parameters: parameters.get(&name).copied(),
                rows,
                beyond: even.map(|table| table.rows.iter().filter_map(profiled).collect()).unwrap_or_default(),
            };
            clusters.entry(format!("{collection}{machines}")).or_default().push(program);
        }
    }
    clusters.into_iter().map(|(name, programs)| Cluster { name, programs }).collect()
}

/// The name of a folder of programs: its own, or its parent's where it is just called profiles.
fn name_of_collection(folder: &Path) -> String {
    match (named(folder), folder.parent()) {
        (name, Some(parent)) if name == "profiles" => named(parent),
        (name, _) => name,
    }
}

fn named(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Folders that hold a profile.
fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(listed) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    if paths.iter().any(|path| named(path).starts_with(EACH)) {
        found.push(folder.to_owned());
    }
    for path in paths.iter().filter(|path| depth > 0 && path.is_dir()) {
        search(path, depth - 1, found);
    }
}

fn parameters() -> BTreeMap<String, f64> {
    let models = Table::from_text("models", MODELS).map(|table| table.rows).unwrap_or_default();
    models.iter().filter_map(|row| Some((row.text("model")?.to_owned(), row.number("parameters").ok()??))).collect()
}

/// A row as an observation; `None` when it cannot be read as one.
fn profiled(row: &Row) -> Option<Profiled> {
    let (placement, place) = match row.text("placement") {
        Some(digits) => {
            let nodes: Vec<u32> = digits.chars().map(|digit| digit.to_digit(10)).collect::<Option<_>>()?;
            (Placement::of_nodes(&nodes)?, digits.to_owned())
        }
        None => {
            let (nodes, gpus) = (row.needed_count("num_nodes").ok()?, row.needed_count("num_replicas").ok()?);
            let each = |node: u32| gpus / nodes + u32::from(node < gpus % nodes);
            let nodes_used: Vec<u32> = (0..nodes).map(each).collect();
            (Placement::of_nodes(&nodes_used)?, format!("{gpus} GPUs on {nodes} nodes"))
        }
    };
    let number = |column| row.needed(column).ok();
    let (local_batch, step_seconds) = (number("local_bsz")?, number("step_time")?);
    let label = format!("{place} batch {local_batch}");
    let observation = Observation {
        placement,
        local_batch,
        accumulation: 1,
        step_seconds,
        sync_seconds: number("sync_time"),
        weight: 1.0,
    };
    Some(Profiled { label, observation })
}
