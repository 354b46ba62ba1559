//! Well-known models.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::diffusion::{DiffusionTransformer, UNet};
use super::torchvision;
use crate::model::{Interaction, Model, Recommender, Table};

/// What a model works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Text.
    Language,
    /// Images.
    Vision,
    /// Sound.
    Speech,
    /// Images from noise.
    Diffusion,
    /// What someone may like.
    Recommendation,
}

/// A well-known model.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// What it works on.
    pub domain: Domain,
    /// Its shape.
    pub model: Model,
    /// Where an exact count of its parameters was published by someone else, and equals what the shape gives; `None`:
    /// unverified.
    pub verified: Option<String>,
}

/// One entry of the data file.
#[derive(Deserialize)]
struct Entry {
    name: String,
    domain: Domain,
    parameters: Option<u64>,
    source: Option<String>,
    config: Value,
}

/// Figures of public configurations, by name.
const CONFIGURATIONS: &str = include_str!("configurations.json");

/// torchvision's weight metadata.
const TORCHVISION: &str = "num_params of torchvision's weights";

/// Names of torchvision that are listed; [`torchvision()`] knows more.
const CLASSIFIERS: &[&str] = &[
    "alexnet",
    "convnext_base",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet1_0",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "regnet_y_16gf",
    "resnet18",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "swin_b",
    "swin_t",
    "vgg16",
    "vit_b_16",
    "vit_h_14",
    "vit_l_16",
    "wide_resnet50_2",
];

/// Read once: an operator asks for the same few in every cycle.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| serde_json::from_str(CONFIGURATIONS).unwrap_or_default());

/// Names of all presets, in order within each domain.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = ENTRIES.iter().map(|entry| entry.name.clone()).collect();
    names.extend(CLASSIFIERS.iter().map(|name| (*name).to_owned()));
    names.extend(built().into_iter().map(|preset| preset.name));
    names
}

/// A well-known model by its name, in any case.
pub fn preset(name: &str) -> Option<Preset> {
    let name = name.to_ascii_lowercase();
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.name == name) {
        let model = Model::from_hugging_face(&entry.config).ok()?;
        let exact = entry.parameters == Some(model.parameters());
        return Some(Preset { name, domain: entry.domain, model, verified: entry.source.clone().filter(|_| exact) });
    }
    if let Some(network) = torchvision::torchvision(&name, torchvision::torchvision_input(&name)) {
        let verified = Some(TORCHVISION.to_owned());
        return Some(Preset { name, domain: Domain::Vision, model: Model::Network(network), verified });
    }
    built().into_iter().find(|preset| preset.name == name)
}

/// Models that no configuration file describes.
fn built() -> Vec<Preset> {
    let dit = |name: &str, depth, width, heads, patch, verified: Option<&str>| Preset {
        name: name.to_owned(),
        domain: Domain::Diffusion,
        model: Model::Network(
            DiffusionTransformer { size: 32, channels: 4, patch, depth, width, heads, classes: 1000 }.network(),
        ),
        verified: verified.map(str::to_owned),
    };
    let unet = |name: &str, shape: UNet, verified: Option<&str>| Preset {
        name: name.to_owned(),
        domain: Domain::Diffusion,
        model: Model::Network(shape.network()),
        verified: verified.map(str::to_owned),
    };
    let recommender = |name: &str, model, verified: Option<&str>| Preset {
        name: name.to_owned(),
        domain: Domain::Recommendation,
        model: Model::Recommender(model),
        verified: verified.map(str::to_owned),
    };
    vec![
        dit("dit-xl-2", 28, 1152, 16, 2, Some("the count that facebookresearch/DiT prints")),
        dit("dit-l-2", 24, 1024, 16, 2, None),
        dit("dit-b-2", 12, 768, 12, 2, None),
        dit("dit-s-2", 12, 384, 6, 2, Some("the count that facebookresearch/DiT prints")),
        unet("stable-diffusion-1.5-unet", UNet::stable_diffusion_1(), Some("the parameters of its published U-Net")),
        unet("stable-diffusion-xl-unet", UNet::stable_diffusion_xl(), Some("the parameters of its published U-Net")),
        recommender("dlrm-criteo-terabyte", dlrm(), None),
        recommender("ncf-movielens-20m", ncf(138_493, 26_744), None),
        recommender(
            "mnist-mlp",
            Recommender::perceptron(784, vec![512, 512, 10]),
            Some("the count that Keras prints for these layers"),
        ),
    ]
}

/// DLRM as MLPerf trains it on Criteo's terabyte: 26 tables, 40 million rows at most each, 128 wide.
fn dlrm() -> Recommender {
    let rows = [
        39_884_406, 39_043, 17_289, 7420, 20_263, 3, 7120, 1543, 63, 38_532_951, 2_953_546, 403_346, 10, 2208, 11_938,
        155, 4, 976, 14, 39_979_771, 25_641_295, 39_664_984, 585_935, 12_972, 108, 36,
    ];
    Recommender {
        dense: 13,
        bottom: vec![512, 256, 128],
        tables: rows.into_iter().map(|rows| Table { rows, width: 128, lookups: 1 }).collect(),
        interaction: Interaction::Dot,
        factors: Vec::new(),
        top: vec![1024, 1024, 512, 256, 1],
    }
}

/// Neural collaborative filtering with 64 factors and layers of 256, 256, 128 and 64 (NVIDIA's and MLPerf's setting).
fn ncf(users: u64, items: u64) -> Recommender {
    let pair = |width| [users, items].map(|rows| Table { rows, width, lookups: 1 }).to_vec();
    Recommender {
        dense: 0,
        bottom: Vec::new(),
        tables: pair(128),
        interaction: Interaction::Concatenate,
        factors: pair(64),
        top: vec![256, 128, 64, 1],
    }
}
