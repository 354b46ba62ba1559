//! Well-known models by name.

mod diffusion;
mod known;
mod torchvision;

pub use diffusion::{DiffusionTransformer, UNet};
pub use known::{Domain, Preset, names, preset};
pub(crate) use torchvision::{VisionTransformer, convnext, resnet};
pub use torchvision::{torchvision, torchvision_input};
