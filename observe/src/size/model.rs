//! What the model of a job is to sizing.

mod dimensions;
mod preset;

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{Custom, Model};

use self::dimensions::{encoder_decoder, mixture_of_experts, recommender, recurrent, transformer};
use super::SpecError;

pub(crate) fn model(model: &api::Model) -> Result<Model, SpecError> {
    let ways = [
        model.preset.as_deref().map(preset::by_name),
        model.hugging_face.as_ref().map(hugging_face),
        model.transformer.as_ref().map(transformer),
        model.mixture_of_experts.as_ref().map(mixture_of_experts),
        model.encoder_decoder.as_ref().map(encoder_decoder),
        model.recurrent.as_ref().map(recurrent),
        model.recommender.as_ref().map(recommender),
        model.custom.as_ref().map(custom),
    ];
    let mut given = ways.into_iter().flatten();
    let (Some(model), None) = (given.next(), given.next()) else { return Err(SpecError::Model) };
    let model = model?;
    model.check().map_err(SpecError::Shape)?;
    Ok(model)
}

fn hugging_face(given: &api::HuggingFace) -> Result<Model, SpecError> {
    Model::from_hugging_face_text(&given.config).map_err(SpecError::HuggingFace)
}

fn custom(custom: &api::Custom) -> Result<Model, SpecError> {
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
