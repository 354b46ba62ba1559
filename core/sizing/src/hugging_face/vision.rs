//! Image classifiers: ViT, ResNet, ConvNeXt.

use super::HuggingFaceError;
use super::fields::{Fields, divided};
use crate::model::{Model, Network};
use crate::preset::{VisionTransformer, convnext, resnet};

pub(super) fn vit(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let size = fields.or("image_size", 224)?;
    let width = fields.required("hidden_size")?;
    let heads = fields.required("num_attention_heads")?;
    let patch = fields.or("patch_size", 16)?;
    divided("hidden_size", width, "num_attention_heads", heads)?;
    divided("image_size", size, "patch_size", patch)?;
    let classifies = fields.built_as("ForImageClassification");
    let shape = VisionTransformer {
        size,
        patch,
        depth: fields.depth("num_hidden_layers")?,
        heads,
        width,
        inner: fields.required("intermediate_size")?,
        classes: if classifies { fields.labels()? } else { 0 },
    };
    Ok(Model::Network(Network::of_image(fields.or("num_channels", 3)?, size, shape.layers())))
}

pub(super) fn resnet_of(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let widths = fields.list("hidden_sizes")?;
    let depths = fields.depths("depths")?;
    let bottleneck = fields.text("layer_type") != Some("basic");
    let classes = if fields.built_as("ForImageClassification") { fields.labels()? } else { 0 };
    let layers = resnet(fields.or("embedding_size", 64)?, &widths, &depths, bottleneck, classes);
    Ok(Model::Network(Network::of_image(fields.or("num_channels", 3)?, 224, layers)))
}

pub(super) fn convnext_of(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let widths = fields.list("hidden_sizes")?;
    let depths = fields.depths("depths")?;
    let classes = if fields.built_as("ForImageClassification") { fields.labels()? } else { 0 };
    let size = fields.or("image_size", 224)?;
    Ok(Model::Network(Network::of_image(fields.or("num_channels", 3)?, size, convnext(&widths, &depths, classes))))
}
