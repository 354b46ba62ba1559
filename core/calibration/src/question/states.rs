//! Memory of weights, gradients and optimizer states under sharding.
//!
//! Asked of rows with `params`, `dp`, `sharding`, `memory_gb` or `memory_gib`, and no architecture: tables of states alone.
//! They follow from a formula (arXiv 1910.02054, section 5.4), so that agreement is bookkeeping and no measurement.
//!
//! Asked of rows with `params`, `gpus`, `sharding` and `gpu_gib`, and `offload_optimizer` and `offload_param` where states are
//! offloaded: what an estimator prints for them. DeepSpeed's counts gradients in 32 bits and four bytes for each parameter of the
//! largest layer, so that it is higher than a ledger; nothing is claimed.

use plimsoll_sizing::calibration::Calibration;
use plimsoll_sizing::{Custom, Footprint, Layout, Model, Offload, Program, Tuning};

use super::ask;
use super::job::{plain_job, precision, sharding};
use crate::{Bar, CellError, Evaluation, Published, Row};

const ESTIMATED: &str = "states as an estimator prints them, GiB";
const GIB: f64 = 1_073_741_824.0;

const STATES: &str = "weights, gradients and optimizer states, GB";

fn asks(row: &Row) -> bool {
    let printed = row.has("memory_gb") || row.has("memory_gib");
    printed && row.has("params") && row.has("sharding") && row.has("dp") && !row.has("layers") && !row.has("hardware")
}

fn answer(row: &Row) -> Result<(f64, f64), CellError> {
    let model = Custom {
        parameters: row.needed_within("params", 1e15)? as u64,
        flops_per_sample: 0.0,
        activation_bytes_per_sample: 0,
    };
    let job = plain_job(Model::Custom(model), precision(row)?.0);
    let text = row.text("sharding").ok_or(CellError::Missing { column: "sharding" })?;
    let (sharding, shard_group) = sharding(text)?;
    let layout = Layout { sharding, shard_group, ..Layout::data_parallel(row.needed_count("dp")?) };
    let footprint = Footprint::new(&job, &Program::default(), Tuning::default());
    let memory = footprint.memory(&layout, 1, &Calibration::published().memory);
    let printed = match row.number("memory_gb")? {
        Some(gb) => gb,
        None => row.needed("memory_gib")? * 1.073_741_824,
    };
    Ok(((memory.weights + memory.gradients + memory.optimizer) as f64 / 1e9, printed))
}

fn asks_estimate(row: &Row) -> bool {
    ["params", "gpus", "sharding", "gpu_gib"].iter().all(|column| row.has(column))
}

fn estimate(row: &Row) -> Result<(f64, f64), CellError> {
    let model = Custom {
        parameters: row.needed_within("params", 1e15)? as u64,
        flops_per_sample: 0.0,
        activation_bytes_per_sample: 0,
    };
    let job = plain_job(Model::Custom(model), precision(row)?.0);
    let (sharding, shard_group) = sharding(row.text("sharding").ok_or(CellError::Missing { column: "sharding" })?)?;
    let moved = |column| row.text(column).is_some_and(|to| to != "none");
    let offload = match (moved("offload_param"), moved("offload_optimizer")) {
        (true, _) => Offload::All,
        (false, true) => Offload::Optimizer,
        (false, false) => Offload::None,
    };
    let layout = Layout { sharding, shard_group, offload, ..Layout::data_parallel(row.needed_count("gpus")?.max(1)) };
    let footprint = Footprint::new(&job, &Program::default(), Tuning::default());
    let memory = footprint.memory(&layout, 1, &Calibration::published().memory);
    Ok(((memory.weights + memory.gradients + memory.optimizer) as f64 / GIB, row.needed("gpu_gib")?))
}

/// Asks every row of states.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let asked = published
        .tables
        .iter()
        .flat_map(|table| [ask(STATES, table, asks, answer), ask(ESTIMATED, table, asks_estimate, estimate)]);
    asked.flatten().collect()
}

/// What must hold: two or three printed digits.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = evaluations.iter().filter(|evaluation| evaluation.question == STATES);
    vec![Bar::on_errors("states follow ZeRO's ledger", of, 0.01, 0.025)]
}
