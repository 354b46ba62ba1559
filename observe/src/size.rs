//! What a job and a class are to sizing.
//!
//! The API's defaults that depend on other fields are resolved here, once: what sizing gets is complete.

mod class;
mod layout;
mod method;
mod model;

use plimsoll_crds::TrainingJobSpec;
use plimsoll_crds::training_job as api;
use plimsoll_sizing::{ClassName, HuggingFaceError, JobSpec, Mode, ShapeError};
use thiserror::Error;

pub use class::{ClassError, class_spec};
use layout::{accepts, declared};
use method::{method, optimizer, precision};
pub(crate) use model::model;

/// Devices that a job may use when it names no limit.
const DEFAULT_MAX: u32 = 8;

/// Why a job cannot be sized. The schema refuses most of these at apply time; an object stored by an older one may still
/// hold them.
#[derive(Debug, Error)]
pub enum SpecError {
    /// No model, or more than one.
    #[error(
        "failed to read model: give exactly one of preset, huggingFace, transformer, mixtureOfExperts, encoderDecoder, \
         recurrent, recommender or custom"
    )]
    Model,
    /// No preset has the name.
    #[error("failed to read model.preset: no model is known as {name}; the nearest names are {nearest}")]
    Preset {
        /// The name that was given.
        name: String,
        /// Names that are known.
        nearest: String,
    },
    /// A variant of the model cannot be read.
    #[error("failed to read variant {name}")]
    Variant {
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<SpecError>,
    },
    /// No model has this shape.
    #[error(transparent)]
    Shape(ShapeError),
    /// The model's configuration cannot be read.
    #[error("failed to read model.huggingFace.config")]
    HuggingFace(#[source] HuggingFaceError),
    /// A model of sequences without their length.
    #[error("failed to read data.sequenceLength: a model of sequences needs it")]
    SequenceLength,
    /// Adapters without their rank.
    #[error("failed to read method.lora.rank: methods Lora and Qlora need it")]
    LoraRank,
    /// Transfer without what is trained.
    #[error("failed to read method.transfer.trainedUnits: method Transfer needs it")]
    TrainedUnits,
    /// Reinforcement learning without what a step does.
    #[error("failed to read method.reinforcement: method Reinforcement needs it")]
    Reinforcement,
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

/// What a job is to sizing.
///
/// # Errors
/// When the specification contradicts itself or its model cannot be read.
pub fn job_spec(spec: &TrainingJobSpec) -> Result<JobSpec, SpecError> {
    let model = model::model(&spec.model)?;
    let sequence_length = match (model.needs_sequence_length(), spec.data.sequence_length) {
        (false, _) => 1,
        (true, Some(length)) => positive("data.sequenceLength", length)?,
        (true, None) => return Err(SpecError::SequenceLength),
    };
    for api::Variant { name, model: variant } in &spec.variants {
        model::model(variant).map_err(|source| SpecError::Variant { name: name.clone(), source: Box::new(source) })?;
    }
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
    use plimsoll_sizing::Accepts;

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
    fn a_preset_is_enough_for_a_network_of_images_and_needs_a_length_for_text() {
        let preset = |name: &str| spec(&format!("template: {{}}\nmodel: {{preset: {name}}}\n"));
        assert_eq!(job_spec(&preset("resnet50")).expect("a network").model.parameters(), 25_557_032);
        let mut text = preset("gpt2");
        assert_eq!(job_spec(&text).expect("a transformer").sequence_length, 1024);
        text.data.sequence_length = None;
        assert!(matches!(job_spec(&text), Err(SpecError::SequenceLength)));
    }

    #[test]
    fn a_variant_that_cannot_be_read_is_named() {
        let error =
            job_spec(&spec(&format!("{GPT}variants: [{{name: tiny, model: {{preset: gpt-9}}}}]\n"))).unwrap_err();
        assert_eq!(error.to_string(), "failed to read variant tiny");
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
}
