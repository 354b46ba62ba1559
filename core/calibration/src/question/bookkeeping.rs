//! Whether utilization follows from printed speed: MFU, HFU and TFLOP/s are arithmetic, given a convention.
//!
//! Asked of rows with a speed (`tokens_s_gpu`, or `step_time_s` with batch and sequence) or a rate (`tflops_gpu`) and a
//! utilization or rate to be explained:
//! * `mfu_pct`: `6N + 12·L·a·d_h·s` FLOPs per token, all parameters, scores in full (arXiv 2204.02311, appendix B); with
//!   `flops_convention` = `causal` three forward passes of the products and half of the scores (Megatron-LM since 2023).
//!   Where the column is empty a row is read by the convention that the other rows of its table follow best.
//! * `hfu_pct` of a row with `tokens_s_gpu`: the MFU, times 4/3 with full recomputation, the output projection included
//!   (how llm-foundry counts).
//! * `hfu_pct` of a row with `step_time_s`, and `tflops_gpu` without an MFU: products that really run, as Megatron counts
//!   them (arXiv 2104.04473, equation 3): full recomputation leaves out the output projection; selective recomputation adds
//!   `s/(6h)` (arXiv 2205.05198, appendix A).
//! * `mfu_pct` beside nothing but `tflops_gpu`: rate over peak.
//!
//! The peak is that of the row's hardware at its precision; 8-bit rows count against the 8-bit peak.

use plimsoll_sizing::profile::KernelKind;
use plimsoll_sizing::{Flops, Model, Profile, Recompute};

use super::ask;
use super::job::{Asked, precision};
use super::model::{describes_model, transformer};
use crate::hardware::Hardware;
use crate::statistics::quantile;
use crate::{Bar, CellError, Evaluation, Published, Row, Table};

const MFU: &str = "MFU from printed speed, %";
const HFU: &str = "HFU from printed speed, %";
const RATE: &str = "TFLOP/s from printed speed, % of peak";
const SHARE: &str = "MFU from printed TFLOP/s, %";

/// Points of a hundred that a utilization may be off.
const POINTS: f64 = 0.3;

fn has_speed(row: &Row) -> bool {
    row.has("tokens_s_gpu") || (row.has("step_time_s") && row.has("global_batch") && row.has("seq") && row.has("gpus"))
}

/// Tokens per second of one device.
fn tokens_per_second(row: &Row) -> Result<f64, CellError> {
    if let Some(rate) = row.number("tokens_s_gpu")? {
        return Ok(rate);
    }
    let tokens = row.needed("global_batch")? * row.needed("seq")?;
    Ok(tokens / row.needed("step_time_s")? / row.needed("gpus")?)
}

/// The dense peak in FLOP/s that a row's utilization counts against.
fn peak(row: &Row, hardware: &Hardware) -> Result<f64, CellError> {
    let class = hardware.of_row(row)?;
    let (format, eight_bit) = precision(row)?;
    let peak = if eight_bit { class.peak.fp8 } else { class.peak.at(format).or(class.peak.bf16).or(class.peak.fp16) };
    let text = row.text("precision").unwrap_or_default().to_owned();
    peak.ok_or(CellError::Malformed { column: "precision", value: text })
}

/// How a source counts attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convention {
    /// Every score.
    AllScores,
    /// Those that a causal mask leaves: half.
    Causal,
}

impl Convention {
    /// What the row says, else what the other rows of its table follow best.
    fn of(row: &Row, table: &Table, hardware: &Hardware) -> Self {
        match row.text("flops_convention") {
            Some("causal") => return Self::Causal,
            Some(_) => return Self::AllScores,
            None => {}
        }
        let others = table.rows.iter().filter(|other| other.line != row.line);
        let errors = |convention| {
            let one = |other: &Row| {
                let (predicted, printed) = mfu(other, convention, hardware).ok()?;
                Some((predicted - printed).abs())
            };
            let mut errors: Vec<f64> = others.clone().filter_map(one).collect();
            errors.sort_by(f64::total_cmp);
            quantile(&errors, 0.5)
        };
        match (errors(Self::AllScores), errors(Self::Causal)) {
            (Some(all), Some(causal)) if causal < all => Self::Causal,
            _ => Self::AllScores,
        }
    }
}

/// MFU from printed speed and as it was printed, in %.
fn mfu(row: &Row, convention: Convention, hardware: &Hardware) -> Result<(f64, f64), CellError> {
    let rate = tokens_per_second(row)? * model_flops_per_token(row, convention)?;
    Ok((100.0 * rate / peak(row, hardware)?, row.needed("mfu_pct")?))
}

fn model_flops_per_token(row: &Row, convention: Convention) -> Result<f64, CellError> {
    let t = transformer(row)?;
    if convention == Convention::Causal {
        let sequence = row.needed_count("seq")?;
        let profile = t.profile(sequence);
        return Ok(3.0 * (profile.forward_flops() - attention_flops(&profile) / 2.0) / f64::from(sequence));
    }
    let scores = f64::from(t.layers) * f64::from(t.heads) * f64::from(t.head_dim) * row.needed("seq")?;
    Ok(6.0 * Model::Transformer(t).active_parameters() as f64 + 12.0 * scores)
}

/// FLOPs of all attention cores in a forward pass.
fn attention_flops(profile: &Profile) -> f64 {
    let kernels = profile.units.iter().flat_map(|unit| unit.kernels.iter().map(move |kernel| (unit.repeats, kernel)));
    kernels
        .filter(|(_, kernel)| kernel.kind == KernelKind::Attention)
        .map(|(repeats, kernel)| f64::from(repeats) * kernel.flops)
        .sum()
}

fn executed_flops_per_token(row: &Row, hardware: &Hardware) -> Result<f64, CellError> {
    let asked = Asked::of(row, hardware)?;
    let tokens = f64::from(asked.job.sequence_length);
    let executed = Flops::of(&asked.job, asked.layout.recompute).executed;
    let scores = attention_flops(&asked.job.model.profile(asked.job.sequence_length));
    // One forward pass of the attention core would be `scores`; the paper's `s/(3h)` stands for three.
    let again = if asked.layout.recompute == Recompute::Selective { 3.0 * scores } else { 0.0 };
    Ok((executed + again) / tokens)
}

/// Asks every row whose columns fix a utilization twice.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let hardware = Hardware::of(published);
    let mut evaluations = Vec::new();
    for table in &published.tables {
        let mfu = |row: &Row| mfu(row, Convention::of(row, table, &hardware), &hardware);
        let hfu = |row: &Row| {
            let flops = if row.has("tokens_s_gpu") {
                let again = if row.text("recompute") == Some("full") { 4.0 / 3.0 } else { 1.0 };
                again * model_flops_per_token(row, Convention::of(row, table, &hardware))?
            } else {
                executed_flops_per_token(row, &hardware)?
            };
            Ok((100.0 * tokens_per_second(row)? * flops / peak(row, &hardware)?, row.needed("hfu_pct")?))
        };
        let rate = |row: &Row| {
            let rate = tokens_per_second(row)? * executed_flops_per_token(row, &hardware)?;
            let peak = peak(row, &hardware)?;
            Ok((100.0 * rate / peak, 1e14 * row.needed("tflops_gpu")? / peak))
        };
        let share = |row: &Row| Ok((1e14 * row.needed("tflops_gpu")? / peak(row, &hardware)?, row.needed("mfu_pct")?));
        let speed = |row: &Row| has_speed(row) && describes_model(row);
        let both = |row: &Row, column| speed(row) && row.has(column);
        evaluations.extend(ask(MFU, table, |row| both(row, "mfu_pct"), mfu));
        evaluations.extend(ask(HFU, table, |row| both(row, "hfu_pct"), hfu));
        evaluations.extend(ask(RATE, table, |row| both(row, "tflops_gpu") && !row.has("mfu_pct"), rate));
        let only_rate = |row: &Row| row.has("tflops_gpu") && row.has("mfu_pct") && !has_speed(row);
        evaluations.extend(ask(SHARE, table, only_rate, share));
    }
    evaluations
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = |questions: &'static [&str]| {
        evaluations.iter().filter(move |evaluation| questions.contains(&evaluation.question))
    };
    let close = |residual: &crate::Residual| (residual.predicted - residual.observed).abs() <= POINTS;
    vec![
        Bar::on_rows("MFU follows from printed speed within 0.3 points", of(&[MFU]), 1.0, close),
        Bar::on_rows("HFU and TFLOP/s follow within 0.3 points", of(&[HFU, RATE]), 1.0, close),
        Bar::on_rows("MFU follows from printed TFLOP/s within 0.3 points", of(&[SHARE]), 1.0, close),
    ]
}
