//! The job, layout and batch that a row's columns describe.
//!
//! What a table leaves out is taken as it is done commonly, never from what was measured:
//! * `dp` is what `gpus` leaves over the other degrees.
//! * `sharding` without any parallel degree named is full sharding, with full recomputation when a given model is tuned
//!   on several devices (what fine-tuning programs do); with degrees named it is none.
//! * `micro_batch` follows from `global_batch`, `grad_accum` and `dp`; a pipeline cuts a step into as many micro-batches
//!   as it has stages, virtual ones counted, when nothing says more; else one sequence.

use plimsoll_sizing::{
    Accepts, AttentionKernel, Batch, ClassSpec, Declared, JobSpec, Layout, Method, Mode, Model, Optimizer, Precision,
    Recompute, Schedule, Shape, Sharding,
};

use super::model::model;
use crate::hardware::Hardware;
use crate::{CellError, Row};

/// Everything that sizing needs to know of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The job.
    pub job: JobSpec,
    /// The class of its devices, of their common node.
    pub class: ClassSpec,
    /// Its devices.
    pub shape: Shape,
    /// How it is spread over them.
    pub layout: Layout,
    /// How its batch is cut.
    pub batch: Batch,
    /// Whether its products compute in 8 bits.
    pub eight_bit: bool,
    /// Whether a compiler fused its kernels; `note` says so.
    pub compiled: bool,
    /// Whether operators are recomputed one by one (`selective_op`).
    pub recomputes_operators: bool,
    /// Trained parameters, where the row counts them.
    pub trainable: Option<u64>,
}

impl Asked {
    /// Reads a row.
    ///
    /// # Errors
    /// When a column that is needed is missing or cannot be read.
    pub fn of(row: &Row, hardware: &Hardware) -> Result<Self, CellError> {
        let class = hardware.of_row(row)?;
        let gpus = row.count("gpus")?.unwrap_or(1).max(1);
        let method = method(row)?;
        let layout = layout(row, gpus, method)?;
        let batch = batch(row, &layout)?;
        let (precision, eight_bit) = precision(row)?;
        let words = row.text("note").unwrap_or_default().to_lowercase();
        let per_pod = gpus.min(class.gpus_per_node);
        let job = JobSpec {
            optimizer: optimizer(row)?,
            method,
            sequence_length: row.needed_within("seq", 1e9)? as u32,
            global_batch: batch.global,
            min_gpus: gpus,
            max_gpus: gpus,
            requested_gpus: Some(gpus),
            gpus_per_pod: Some(per_pod),
            ..plain_job(model(row)?, precision)
        };
        let shape = Shape { class: class.name.clone(), pods: gpus.div_ceil(per_pod), gpus_per_pod: per_pod };
        Ok(Self {
            job,
            class,
            shape,
            layout,
            batch,
            eight_bit,
            compiled: words.contains("compile"),
            recomputes_operators: row.text("recompute") == Some("selective_op"),
            trainable: row.number("trainable")?.map(|count| count as u64),
        })
    }
}

/// A job of one device, one sample of one token and AdamW.
pub fn plain_job(model: Model, precision: Precision) -> JobSpec {
    JobSpec {
        model,
        precision,
        optimizer: Optimizer::AdamW,
        method: Method::Pretrain,
        sequence_length: 1,
        global_batch: 1,
        classes: Vec::new(),
        min_gpus: 1,
        max_gpus: 1,
        requested_gpus: Some(1),
        gpus_per_pod: Some(1),
        mode: Mode::Off,
        elastic: false,
        accepts: Accepts::default(),
        declared: Declared::default(),
    }
}

/// The number format, and whether products compute in 8 bits; bf16 with fp32 master weights unless the row says more.
///
/// # Errors
/// When `precision` names no format.
pub fn precision(row: &Row) -> Result<(Precision, bool), CellError> {
    let text = row.text("precision").unwrap_or("bf16");
    let lower = text.to_lowercase();
    let has = |word: &str| lower.contains(word);
    Ok(if has("fp8") || has("float8") || has("mxfp") {
        (Precision::Bf16Mixed, true)
    } else if ["bf16-true", "bf16_true", "pure_bf16", "16-true", "fp16-true"].iter().any(|word| has(word)) {
        (Precision::Bf16, false)
    } else if has("bf16") || has("bfloat16") {
        (Precision::Bf16Mixed, false)
    } else if has("fp16") || has("float16") || has("16-mixed") || has("amp") {
        (Precision::Fp16Mixed, false)
    } else if has("tf32") {
        (Precision::Tf32, false)
    } else if has("fp32") || has("float32") {
        (Precision::Fp32, false)
    } else {
        return Err(CellError::Malformed { column: "precision", value: text.to_owned() });
    })
}

/// The attention kernel that `attention` names; `None` when the column is empty.
pub fn attention(row: &Row) -> Option<AttentionKernel> {
    let text = row.text("attention")?.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    Some(if has(&["cudnn", "transformer engine", "transformer_engine", "native"]) {
        AttentionKernel::Native
    } else if has(&["flash", "sdpa", "efficient", "fused"]) && !has(&["unfused"]) {
        AttentionKernel::Fused
    } else {
        AttentionKernel::Stored
    })
}

fn optimizer(row: &Row) -> Result<Optimizer, CellError> {
    let Some(text) = row.text("optimizer") else { return Ok(Optimizer::AdamW) };
    Ok(match text.to_lowercase().replace(['-', '_', ' '], "").as_str() {
        "adam" | "adamw" | "fusedadam" => Optimizer::AdamW,
        "adamw8bit" | "adam8bit" | "pagedadamw8bit" => Optimizer::AdamW8bit,
        "adafactor" => Optimizer::Adafactor,
        "sgd" => Optimizer::Sgd,
        "sgdmomentum" | "momentum" => Optimizer::SgdMomentum,
        "lion" => Optimizer::Lion,
        _ => return Err(CellError::Malformed { column: "optimizer", value: text.to_owned() }),
    })
}

/// Which parameters are trained; adapters of a row without a rank have rank 8, the usual default.
fn method(row: &Row) -> Result<Method, CellError> {
    let rank = row.count("rank")?.or(row.count("lora_rank")?).unwrap_or(8);
    let quantised = row.text("quant").is_some_and(|quant| {
        let quant = quant.to_lowercase();
        ["nf4", "fp4", "int4", "4bit", "4-bit"].iter().any(|format| quant.contains(format))
    });
    let Some(text) = row.text("task") else { return Ok(Method::Pretrain) };
    let task = text.to_lowercase();
    Ok(if task.contains("qlora") || (quantised && (task.contains("lora") || task.contains("adapter"))) {
        Method::qlora(rank)
    } else if task.contains("lora") || task.contains("adapter") || task.contains("peft") {
        Method::lora(rank)
    } else if task.contains("finetune") || task.contains("fine-tune") || task.contains("sft") || task == "full" {
        Method::Finetune
    } else {
        Method::Pretrain
    })
}

/// How the job is spread over its devices.
fn layout(row: &Row, gpus: u32, method: Method) -> Result<Layout, CellError> {
    let degree = |column| Ok::<_, CellError>(row.count(column)?.unwrap_or(1).max(1));
    let (tensor, pipeline, context) = (degree("tp")?, degree("pp")?, degree("cp")?);
    let inside = tensor.saturating_mul(pipeline).saturating_mul(context);
    let data = row.count("dp")?.unwrap_or(gpus / inside.max(1)).max(1);
    let named = ["dp", "tp", "pp", "sharding"].iter().any(|column| row.has(column));
    let tuned = method != Method::Pretrain;
    let unsaid = if named || gpus == 1 { Sharding::None } else { Sharding::Full };
    let (sharding, group) = match row.text("sharding") {
        None => (unsaid, 0),
        Some(text) => sharding(text)?,
    };
    let recompute = match row.text("recompute") {
        None if tuned && !named && gpus > 1 => Recompute::Full,
        None => Recompute::None,
        Some(text) => recompute(text),
    };
    let words = row.text("note").unwrap_or_default().to_lowercase();
    let schedule = if words.contains("gpipe") {
        Schedule::GPipe
    } else if words.contains("zero bubble") || words.contains("zero-bubble") {
        Schedule::ZeroBubble
    } else {
        Schedule::OneForwardOneBackward
    };
    // Interleaving without a count of pieces is two pieces, the least.
    let pieces = match row.count("vp")? {
        Some(pieces) => pieces.max(1),
        None if words.contains("interleaved") => 2,
        None => 1,
    };
    Ok(Layout {
        tensor,
        pipeline,
        context,
        expert: degree("ep")?,
        sharding,
        recompute,
        shard_group: group,
        sequence_parallel: tensor > 1 && !words.contains("no sequence parallel"),
        extra_stages: pieces - 1,
        schedule,
        ..Layout::data_parallel(data)
    })
}

/// What ranks share out, and the ranks of a group when not all do; 0 when all do.
///
/// # Errors
/// When `text` names no sharding.
pub fn sharding(text: &str) -> Result<(Sharding, u32), CellError> {
    let lower = text.to_lowercase();
    let has = |word: &str| lower.contains(word);
    Ok(if has("hsdp") || has("hybrid") {
        (Sharding::Full, 8)
    } else if has("grad_op") || has("zero2") || has("zero-2") {
        (Sharding::Gradients, 0)
    } else if has("zero1") || has("zero-1") || has("distributed_optimizer") || has("dist-opt") || has("distopt") {
        (Sharding::Optimizer, 0)
    } else if has("fsdp") || has("zero3") || has("zero-3") || has("full") {
        (Sharding::Full, 0)
    } else if has("none") || has("ddp") || has("zero0") || lower == "0" {
        (Sharding::None, 0)
    } else {
        return Err(CellError::Malformed { column: "sharding", value: text.to_owned() });
    })
}

/// What is computed again. A source's own word for a partial form lies between none and full, as selective does.
fn recompute(text: &str) -> Recompute {
    match text.to_lowercase().as_str() {
        "none" | "no" | "0" | "false" => Recompute::None,
        "full" | "block" | "1" | "true" | "yes" => Recompute::Full,
        _ => Recompute::Selective,
    }
}

fn batch(row: &Row, layout: &Layout) -> Result<Batch, CellError> {
    let stated = row.count("micro_batch")?.filter(|micro| *micro > 0);
    let accumulation = row.count("grad_accum")?.filter(|steps| *steps > 0);
    let per_rank = row.count("global_batch")?.map(|global| (global / layout.data).max(1));
    let pieces = if layout.pipeline > 1 { layout.virtual_stages() } else { 1 };
    let fill = accumulation.unwrap_or(layout.pipeline.saturating_mul(pieces));
    let micro = stated.unwrap_or_else(|| per_rank.map_or(1, |samples| (samples / fill).max(1)));
    let accumulation = per_rank.map_or(fill, |samples| (samples / micro).max(1));
    let global = micro.saturating_mul(accumulation).saturating_mul(layout.data);
    Ok(Batch { micro, accumulation, global })
}
