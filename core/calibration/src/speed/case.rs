//! Rows that say how fast a model of known architecture ran.

use plimsoll_sizing::{AttentionKernel, Batch, Flops, Layout, Precision, Prepared, Profile, Program, Run, Sharding};

use super::folds::Measured;
use crate::hardware::Hardware;
use crate::question::job::{Asked, attention};
use crate::question::model::describes_model;
use crate::{CellError, Row, Unanswered};

/// Tables of one framework whose names do not begin alike: Korthikanti et al. and Kwai ran Megatron-LM.
const SAME_FRAMEWORK: &[(&str, &str)] = &[("korthikanti", "megatron"), ("kwai", "megatron"), ("palm", "megatron")];

/// One row: a run and how long its step took.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Table, line and model.
    pub(crate) label: String,
    asked: Asked,
    program: Program,
    profile: Profile,
    /// Seconds of one optimizer step.
    pub(crate) seconds: f64,
    /// Layers and width of its model: the size.
    pub(crate) size: String,
    /// Its class of accelerator.
    pub(crate) class: String,
    /// Its framework.
    pub(crate) framework: String,
}

/// Whether a row says how fast a model of known architecture ran.
pub(crate) fn asks(row: &Row) -> bool {
    let speed = ["tokens_s_gpu", "step_time_s", "tflops_gpu", "mfu_pct"].iter().any(|column| row.has(column));
    describes_model(row) && row.has("hardware") && speed
}

impl Case {
    /// Reads a row.
    pub(crate) fn of(row: &Row, hardware: &Hardware) -> Result<Self, Unanswered> {
        Self::read(row, hardware).map_err(|error| Unanswered { row: row.label(), reason: error.to_string() })
    }

    fn read(row: &Row, hardware: &Hardware) -> Result<Self, CellError> {
        // A speed of no stated layout is nobody's to predict.
        if row.needed_count("gpus")? > 1 && !["dp", "tp", "pp", "sharding"].iter().any(|column| row.has(column)) {
            return Err(CellError::Missing { column: "tp" });
        }
        let mut asked = Asked::of(row, hardware)?;
        let program = program(row, &mut asked);
        whole_sequences(row, &mut asked)?;
        let profile = asked.job.model.profile(asked.job.sequence_length);
        let seconds = observed_seconds(row, &asked, &profile)?;
        let word = |text: &str| text.split(['_', '-']).next().unwrap_or_default().to_owned();
        let framework = word(&row.table);
        let same = SAME_FRAMEWORK.iter().find(|(name, _)| *name == framework);
        Ok(Self {
            label: row.label(),
            size: format!("{} x {}", row.needed_count("layers")?, row.needed_count("hidden")?),
            class: asked.class.name.as_str().to_owned(),
            framework: same.map_or(framework, |(_, same)| (*same).to_owned()),
            asked,
            program,
            profile,
            seconds,
        })
    }
}

impl Measured for Case {
    fn prepared(&self) -> Prepared<'_> {
        let Asked { job, class, shape, layout, batch, .. } = &self.asked;
        Prepared::new(&self.profile, Run { job, class, shape, layout, batch }, self.program)
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn kin(&self) -> &str {
        &self.framework
    }
}

/// What the program does, by the columns that say so.
///
/// `attention` names the kernel, and `note` says what was compiled. Where they are silent:
/// * Programs that train language models in fp16 are those of before fused attention and sequence parallelism (2022), which
///   also sum gradients in fp16, unless their note says otherwise.
/// * Later programs that cut models and keep whole weights, or share out the optimizer's states alone, are Megatron's children.
///   Their fusions of bias, activation, dropout and softmax are on unless switched off, so that pointwise traffic is that of
///   a compiled program, and attention is the vendor's (Transformer Engine). No row of this repository tests that.
/// * Others have fused attention and run op by op.
fn program(row: &Row, asked: &mut Asked) -> Program {
    let words = row.text("note").unwrap_or_default().to_lowercase();
    if asked.eight_bit {
        asked.job.precision = Precision::Fp8Mixed;
    }
    let old = asked.job.precision == Precision::Fp16Mixed;
    if old {
        asked.layout.sequence_parallel &= words.contains("sequence parallel on");
    }
    let Layout { tensor, pipeline, sharding, .. } = asked.layout;
    let fused = !old && (tensor * pipeline > 1 && sharding == Sharding::None || sharding == Sharding::Optimizer);
    // The compiler cuts tensor-parallel communication up.
    let asynchronous_tensor = words.contains("async tp") || words.contains("async tensor");
    Program {
        attention: attention(row).unwrap_or(match (old, fused) {
            (true, _) => AttentionKernel::Stored,
            (false, true) => AttentionKernel::Native,
            (false, false) => AttentionKernel::Fused,
        }),
        compiled: asked.compiled || asynchronous_tensor || fused && !words.contains("eager"),
        asynchronous_tensor,
        gathers_tensors: row.text("sharding").is_some_and(|sharding| sharding.contains("zero3")),
        sums_halves: old,
        recomputes_operators: asked.recomputes_operators,
        input_samples_per_second: None,
    }
}

/// Where weights stay in place, more micro-batches cost nothing and shrink the bubble, so that a batch whose cut is not
/// printed is cut into single sequences.
fn whole_sequences(row: &Row, asked: &mut Asked) -> Result<(), CellError> {
    let said = row.has("micro_batch") || row.has("grad_accum") || !row.has("global_batch");
    if !said && asked.layout.sharding != Sharding::Full {
        let Layout { data, .. } = asked.layout;
        let global = row.needed_count("global_batch")?;
        asked.batch = Batch { micro: 1, accumulation: (global / data).max(1), global };
        asked.job.global_batch = global;
    }
    Ok(())
}

/// Seconds of a step, from the most direct figure that the row prints.
fn observed_seconds(row: &Row, asked: &Asked, profile: &Profile) -> Result<f64, CellError> {
    let gpus = f64::from(asked.shape.gpus().max(1));
    let samples = row.number("global_batch")?.unwrap_or(f64::from(asked.batch.global));
    if let Some(rate) = row.number("tokens_s_gpu")? {
        return Ok(samples * f64::from(asked.job.sequence_length) / (rate * gpus));
    }
    if let Some(seconds) = row.number("step_time_s")? {
        return Ok(seconds);
    }
    let flops = Flops::of_profile(profile, &asked.job, asked.layout.recompute);
    // Rates beside an MFU count what MFU counts; alone they count what runs (arXiv 2104.04473, equation 3).
    if let (Some(rate), None) = (row.number("tflops_gpu")?, row.number("mfu_pct")?) {
        return Ok(samples * flops.executed / (rate * 1e12 * gpus));
    }
    let share = row.needed("mfu_pct")? / 100.0;
    let peak = asked.class.peak.at(asked.job.precision).ok_or(CellError::Missing { column: "precision" })?;
    Ok(samples * flops.model / (share * peak * gpus))
}
