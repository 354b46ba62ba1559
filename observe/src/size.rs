//! What a job and a class are to sizing.
//!
//! The API's defaults that depend on other fields are resolved here, once: what sizing gets is complete.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use plimsoll_crds::training_job as api;
use plimsoll_crds::{AcceleratorClass, TrainingJobSpec};
use plimsoll_sizing::{
    Accepts, Biases, ClassName, ClassSpec, Custom, Declared, HuggingFaceError, JobSpec, LoadLine, Method, Mode, Model,
    Norm, Optimizer, PeakFlops, Precision, Transformer,
};
use thiserror::Error;

use crate::allocation::{recompute, sharding};
use crate::quantity::{Amount, QuantityError};

/// Devices that a job may use when it names no limit.
const DEFAULT_MAX: u32 = 8;

/// Link of a class that names none: PCI Express 3.0 x16 as achieved, in bytes per second.
const DEFAULT_LINK: f64 = 12e9;

/// Network per device of a class that names none: 100 Gbit/s shared by eight, in bytes per second.
const DEFAULT_NETWORK: f64 = 1.5e9;

/// Why a job cannot be sized. The schema refuses most of these at apply time; an object stored by an older one may still
/// hold them.
#[derive(Debug, Error)]
pub enum SpecError {
    /// No model, or more than one.
    #[error("failed to read model: give exactly one of huggingFace, transformer or custom")]
    Model,
    /// The model's configuration cannot be read.
    #[error("failed to read model.huggingFace.config")]
    HuggingFace(#[source] HuggingFaceError),
    /// A transformer without its sequence length.
    #[error("failed to read data.sequenceLength: a transformer needs it")]
    SequenceLength,
    /// Adapters without their rank.
    #[error("failed to read method.lora.rank: method Lora needs it")]
    LoraRank,
    /// A number that must be positive is not.
    #[error("failed to read {field}: {value} is not a positive number in range")]
    Number {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// Limits that contradict each other.
    #[error("failed to read accelerators: min {min}, requested {requested}, max {max} must not decrease")]
    Limits {
        /// Fewest.
        min: u32,
        /// Requested, or the fewest again.
        requested: u32,
        /// Most.
        max: u32,
    },
}

/// Why a class cannot be read.
#[derive(Debug, Error)]
pub enum ClassError {
    /// It has no name.
    #[error("failed to read an AcceleratorClass without a name")]
    Name,
    /// A figure is no quantity.
    #[error("failed to read spec.{field} of class {class}")]
    Figure {
        /// The class.
        class: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: QuantityError,
    },
}

/// What a job is to sizing.
///
/// # Errors
/// When the specification contradicts itself or its model cannot be read.
pub fn job_spec(spec: &TrainingJobSpec) -> Result<JobSpec, SpecError> {
    let model = model(&spec.model)?;
    let sequence_length = match (model.needs_sequence_length(), spec.data.sequence_length) {
        (false, _) => 1,
        (true, Some(length)) => positive("data.sequenceLength", length)?,
        (true, None) => return Err(SpecError::SequenceLength),
    };
    let elasticity = spec.elasticity.unwrap_or_default();
    let mut job = JobSpec {
        model,
        precision: precision(spec.precision),
        optimizer: optimizer(spec.optimizer),
        method: method(spec.method.as_ref())?,
        sequence_length,
        global_batch: positive("batch.global.preferred", spec.batch.global.preferred)?,
        classes: spec.accelerators.classes.iter().map(ClassName::new).collect(),
        min_gpus: optional("accelerators.min", spec.accelerators.min)?.unwrap_or(1),
        max_gpus: 0,
        requested_gpus: optional("accelerators.requested", spec.accelerators.requested)?,
        gpus_per_pod: optional("accelerators.perPod", spec.accelerators.per_pod)?,
        mode: mode(spec.rightsizing.as_ref().map(|rightsizing| rightsizing.mode).unwrap_or_default()),
        elastic: elasticity == api::Elasticity::Elastic,
        accepts: accepts(spec.parallelism.as_ref()),
        declared: declared(spec.parallelism.as_ref().and_then(|parallelism| parallelism.declared.as_ref()))?,
    };
    job.max_gpus = optional("accelerators.max", spec.accelerators.max)?
        .or(job.requested_gpus)
        .unwrap_or_else(|| DEFAULT_MAX.max(job.min_gpus));
    let requested = job.requested_gpus.unwrap_or(job.min_gpus);
    if !(job.min_gpus <= requested && requested <= job.max_gpus) {
        return Err(SpecError::Limits { min: job.min_gpus, requested, max: job.max_gpus });
    }
    // A count that never changes and was asked for leaves nothing to choose.
    if let (api::Elasticity::Fixed, Some(requested)) = (elasticity, job.requested_gpus) {
        (job.min_gpus, job.max_gpus) = (requested, requested);
    }
    Ok(job)
}

/// What a class is to sizing, as `nodes` nodes of `gpus_per_node` devices.
///
/// # Errors
/// When a figure is no quantity.
pub fn class_spec(class: &AcceleratorClass, gpus_per_node: u32, nodes: u32) -> Result<ClassSpec, ClassError> {
    let name = class.metadata.name.clone().ok_or(ClassError::Name)?;
    let spec = &class.spec;
    let figure = |field, quantity: &Quantity| {
        Amount::try_from(quantity).map_err(|source| ClassError::Figure { class: name.clone(), field, source })
    };
    let optional =
        |field, quantity: &Option<Quantity>| quantity.as_ref().map(|quantity| figure(field, quantity)).transpose();
    let peak = |field, quantity: &Option<Quantity>| Ok(optional(field, quantity)?.map(Amount::as_f64));
    let line = spec.load_line.clone().unwrap_or_default();
    let share = |percent: Option<i32>, default: f64| percent.map_or(default, |percent| f64::from(percent) / 100.0);
    Ok(ClassSpec {
        memory_bytes: figure("memory", &spec.memory)?.ceil(),
        bandwidth_bytes_per_second: figure("bandwidthBytesPerSecond", &spec.bandwidth_bytes_per_second)?.as_f64(),
        peak: PeakFlops {
            fp32: peak("peakFlops.fp32", &spec.peak_flops.fp32)?,
            tf32: peak("peakFlops.tf32", &spec.peak_flops.tf32)?,
            fp16: peak("peakFlops.fp16", &spec.peak_flops.fp16)?,
            bf16: peak("peakFlops.bf16", &spec.peak_flops.bf16)?,
            fp8: peak("peakFlops.fp8", &spec.peak_flops.fp8)?,
        },
        link_bytes_per_second: optional("linkBytesPerSecond", &spec.link_bytes_per_second)?
            .map_or(DEFAULT_LINK, Amount::as_f64),
        network_bytes_per_second: optional("networkBytesPerSecond", &spec.network_bytes_per_second)?
            .map_or(DEFAULT_NETWORK, Amount::as_f64),
        watts: f64::from(spec.watts.unwrap_or_default()),
        price_per_hour: None,
        line: LoadLine {
            low_activity: share(line.low_activity_percent, LoadLine::DEFAULT.low_activity),
            memory: share(line.memory_percent, LoadLine::DEFAULT.memory),
        },
        gpus_per_node,
        nodes,
        name: ClassName::new(name.clone()),
    })
}

fn model(model: &api::Model) -> Result<Model, SpecError> {
    match (&model.hugging_face, &model.transformer, &model.custom) {
        (Some(hugging_face), None, None) => {
            Model::from_hugging_face_text(&hugging_face.config).map_err(SpecError::HuggingFace)
        }
        (None, Some(t), None) => transformer(t).map(Model::Transformer),
        (None, None, Some(custom)) => {
            let natural = |field, value| u64::try_from(value).map_err(|_| SpecError::Number { field, value });
            let flops = natural("model.custom.forwardFlopsPerSample", custom.forward_flops_per_sample)?;
            Ok(Model::Custom(Custom {
                parameters: natural("model.custom.parameters", custom.parameters)?.max(1),
                flops_per_sample: flops as f64,
                activation_bytes_per_sample: natural(
                    "model.custom.activationBytesPerSample",
                    custom.activation_bytes_per_sample,
                )?,
            }))
        }
        _ => Err(SpecError::Model),
    }
}

fn transformer(t: &api::Transformer) -> Result<Transformer, SpecError> {
    let hidden = positive("model.transformer.hidden", t.hidden)?;
    let heads = positive("model.transformer.heads", t.heads)?;
    Ok(Transformer {
        layers: positive("model.transformer.layers", t.layers)?,
        hidden,
        heads,
        kv_heads: optional("model.transformer.kvHeads", t.kv_heads)?.unwrap_or(heads),
        head_dim: optional("model.transformer.headDim", t.head_dim)?.unwrap_or_else(|| (hidden / heads).max(1)),
        ffn: optional("model.transformer.feedForward", t.feed_forward)?.unwrap_or_else(|| hidden.saturating_mul(4)),
        gated_mlp: t.gated_mlp,
        vocabulary: positive("model.transformer.vocabulary", t.vocabulary)?,
        tied_embeddings: t.tied_embeddings,
        biases: if t.biases { Biases::All } else { Biases::None },
        learned_positions: optional("model.transformer.learnedPositions", t.learned_positions)?.unwrap_or(0),
        // Programs that leave out biases leave out those of the normalisations too.
        norm: if t.biases { Norm::Layer } else { Norm::Rms },
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    })
}

fn method(method: Option<&api::Method>) -> Result<Method, SpecError> {
    match method.map(|method| (method.type_, &method.lora)) {
        None | Some((api::MethodKind::Pretrain, _)) => Ok(Method::Pretrain),
        Some((api::MethodKind::Finetune, _)) => Ok(Method::Finetune),
        Some((api::MethodKind::Lora, Some(lora))) => Ok(Method::lora(positive("method.lora.rank", lora.rank)?)),
        Some((api::MethodKind::Lora, None)) => Err(SpecError::LoraRank),
    }
}

fn accepts(parallelism: Option<&api::Parallelism>) -> Accepts {
    let Some(parallelism) = parallelism else { return Accepts::default() };
    let word = |word| parallelism.accepts.contains(&word);
    Accepts {
        micro_batch: word(api::ParallelismWord::MicroBatch),
        gradient_accumulation: word(api::ParallelismWord::GradientAccumulation),
        data: word(api::ParallelismWord::Data),
        sharding: word(api::ParallelismWord::Sharding),
        tensor: word(api::ParallelismWord::Tensor),
        recompute: word(api::ParallelismWord::Recompute),
        ..Accepts::default()
    }
}

fn declared(declared: Option<&api::Declared>) -> Result<Declared, SpecError> {
    let Some(declared) = declared else { return Ok(Declared::default()) };
    Ok(Declared {
        micro_batch: optional("parallelism.declared.microBatch", declared.micro_batch)?,
        accumulation: optional("parallelism.declared.gradientAccumulation", declared.gradient_accumulation)?,
        data: None,
        tensor: optional("parallelism.declared.tensor", declared.tensor)?.unwrap_or(1),
        sharding: sharding(declared.sharding.unwrap_or_default()),
        recompute: recompute(declared.recompute.unwrap_or_default()),
        ..Declared::default()
    })
}

fn precision(precision: api::Precision) -> Precision {
    match precision {
        api::Precision::Fp32 => Precision::Fp32,
        api::Precision::Tf32 => Precision::Tf32,
        api::Precision::Fp16Mixed => Precision::Fp16Mixed,
        api::Precision::Bf16Mixed => Precision::Bf16Mixed,
        api::Precision::Bf16 => Precision::Bf16,
    }
}

fn optimizer(optimizer: api::Optimizer) -> Optimizer {
    match optimizer {
        api::Optimizer::AdamW => Optimizer::AdamW,
        api::Optimizer::AdamW8bit => Optimizer::AdamW8bit,
        api::Optimizer::Adafactor => Optimizer::Adafactor,
        api::Optimizer::Sgd => Optimizer::Sgd,
        api::Optimizer::SgdMomentum => Optimizer::SgdMomentum,
        api::Optimizer::Lion => Optimizer::Lion,
    }
}

fn mode(mode: api::RightsizingMode) -> Mode {
    match mode {
        api::RightsizingMode::Off => Mode::Off,
        api::RightsizingMode::Initial => Mode::Initial,
        api::RightsizingMode::Auto => Mode::Auto,
    }
}

fn positive(field: &'static str, value: i32) -> Result<u32, SpecError> {
    let error = SpecError::Number { field, value: i64::from(value) };
    u32::try_from(value).ok().filter(|number| *number > 0).ok_or(error)
}

fn optional(field: &'static str, value: Option<i32>) -> Result<Option<u32>, SpecError> {
    value.map(|value| positive(field, value)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(rest: &str) -> TrainingJobSpec {
        let yaml =
            format!("data: {{tokens: 1000000, sequenceLength: 1024}}\nbatch: {{global: {{preferred: 64}}}}\n{rest}");
        serde_yaml::from_str(&yaml).expect(&yaml)
    }

    const GPT: &str = "template: {spec: {}}\nmodel: {transformer: {layers: 12, hidden: 768, heads: 12, vocabulary: 50257, \
                       tiedEmbeddings: true, biases: true, learnedPositions: 1024}}\n";

    #[test]
    fn defaults_that_depend_on_other_fields_are_resolved() {
        let job = job_spec(&spec(GPT)).expect("a valid job");
        assert_eq!(job.model.parameters(), 124_439_808);
        assert_eq!((job.min_gpus, job.max_gpus, job.requested_gpus), (1, 8, None));
        assert_eq!((job.mode, job.elastic, job.accepts), (Mode::Initial, false, Accepts::default()));
        let job = job_spec(&spec(&format!("{GPT}accelerators: {{requested: 4, min: 2}}\nelasticity: Fixed\n")))
            .expect("valid");
        assert_eq!((job.min_gpus, job.max_gpus, job.requested_gpus), (4, 4, Some(4)));
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_field() {
        let limits = job_spec(&spec(&format!("{GPT}accelerators: {{requested: 4, max: 2}}\n"))).unwrap_err();
        assert!(limits.to_string().contains("requested 4, max 2"), "{limits}");
        let rank = job_spec(&spec(&format!("{GPT}method: {{type: Lora}}\n"))).unwrap_err();
        assert!(rank.to_string().contains("method.lora.rank"), "{rank}");
        let unknown = job_spec(&spec("template: {}\nmodel: {huggingFace: {config: '{\"model_type\": \"mamba\"}'}}\n"));
        assert!(matches!(unknown, Err(SpecError::HuggingFace(_))));
    }

    #[test]
    fn a_class_is_read_with_its_units() {
        let class: AcceleratorClass = serde_yaml::from_str(
            "
            apiVersion: plimsoll.dev/v1alpha1
            kind: AcceleratorClass
            metadata: {name: t4}
            spec:
              nodeSelector: {nvidia.com/gpu.product: Tesla-T4}
              resourceName: nvidia.com/gpu
              memory: 14950Mi
              bandwidthBytesPerSecond: 300G
              peakFlops: {fp32: 8100G, fp16: 65T}
              loadLine: {lowActivityPercent: 50}",
        )
        .expect("a class");
        let t4 = class_spec(&class, 4, 3).expect("readable");
        assert_eq!((t4.memory_bytes, t4.gpus()), (14_950 << 20, 12));
        assert_eq!((t4.peak.fp16, t4.peak.bf16), (Some(65e12), None));
        assert_eq!((t4.line.low_activity, t4.line.memory), (0.5, 0.92));
        assert_eq!(t4.link_bytes_per_second, 12e9);
    }
}
