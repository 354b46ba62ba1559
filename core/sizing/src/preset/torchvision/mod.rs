//! The image classifiers of torchvision, built from their layers.

mod densenet;
mod inception;
mod mobile;
mod pieces;
mod plain;
mod regnet;
mod resnet;
mod shufflenet;
mod transformers;

pub(crate) use resnet::resnet;
pub(crate) use transformers::{VisionTransformer, convnext};

use crate::model::{Layer, Network};
use regnet::RegNet;

/// The network of a name as torchvision spells it, in any case (`ResNet50`, `regnet_y_1_6gf`, ...), over square images of
/// `input` pixels; 1000 classes. `None` for a name it does not have.
///
/// Parameter counts equal the published `num_params` of all 85 sets of weights of torchvision 0.20.1, and multiply-adds
/// its `_ops` within 1 % (`tests/published_vision.rs`).
pub fn torchvision(name: &str, input: u32) -> Option<Network> {
    let key = name.to_ascii_lowercase();
    layers(&key, input).map(|layers| Network::of_image(3, input, layers))
}

/// The image size that torchvision evaluates a name at, in pixels.
pub fn torchvision_input(name: &str) -> u32 {
    let key = name.to_ascii_lowercase();
    match key.as_str() {
        "inception_v3" => 299,
        "efficientnet_b1" => 240,
        "efficientnet_b2" => 288,
        "efficientnet_b3" => 300,
        "efficientnet_b4" => 380,
        "efficientnet_b5" => 456,
        "efficientnet_b6" => 528,
        "efficientnet_b7" => 600,
        "efficientnet_v2_s" => 384,
        "efficientnet_v2_m" | "efficientnet_v2_l" => 480,
        "swin_v2_t" | "swin_v2_s" | "swin_v2_b" => 256,
        _ => 224,
    }
}

fn layers(key: &str, input: u32) -> Option<Vec<Layer>> {
    if let Some(size) = key.strip_prefix("regnet_") {
        return regnet(size);
    }
    Some(match key {
        "alexnet" => plain::alexnet(),
        "vgg11" => plain::vgg([1, 1, 2, 2, 2], false),
        "vgg11_bn" => plain::vgg([1, 1, 2, 2, 2], true),
        "vgg13" => plain::vgg([2, 2, 2, 2, 2], false),
        "vgg13_bn" => plain::vgg([2, 2, 2, 2, 2], true),
        "vgg16" => plain::vgg([2, 2, 3, 3, 3], false),
        "vgg16_bn" => plain::vgg([2, 2, 3, 3, 3], true),
        "vgg19" => plain::vgg([2, 2, 4, 4, 4], false),
        "vgg19_bn" => plain::vgg([2, 2, 4, 4, 4], true),
        "squeezenet1_0" => plain::squeezenet(false),
        "squeezenet1_1" => plain::squeezenet(true),
        "resnet18" => resnet::basic([2, 2, 2, 2]),
        "resnet34" => resnet::basic([3, 4, 6, 3]),
        "resnet50" => resnet::bottleneck([3, 4, 6, 3], 1, 64),
        "resnet101" => resnet::bottleneck([3, 4, 23, 3], 1, 64),
        "resnet152" => resnet::bottleneck([3, 8, 36, 3], 1, 64),
        "resnext50_32x4d" => resnet::bottleneck([3, 4, 6, 3], 32, 4),
        "resnext101_32x8d" => resnet::bottleneck([3, 4, 23, 3], 32, 8),
        "resnext101_64x4d" => resnet::bottleneck([3, 4, 23, 3], 64, 4),
        "wide_resnet50_2" => resnet::bottleneck([3, 4, 6, 3], 1, 128),
        "wide_resnet101_2" => resnet::bottleneck([3, 4, 23, 3], 1, 128),
        "densenet121" => densenet::densenet(64, 32, [6, 12, 24, 16]),
        "densenet161" => densenet::densenet(96, 48, [6, 12, 36, 24]),
        "densenet169" => densenet::densenet(64, 32, [6, 12, 32, 32]),
        "densenet201" => densenet::densenet(64, 32, [6, 12, 48, 32]),
        "googlenet" => inception::googlenet(),
        "inception_v3" => inception::inception_v3(),
        "mobilenet_v2" => mobile::mobilenet_v2(),
        "mobilenet_v3_large" => mobile::mobilenet_v3(true),
        "mobilenet_v3_small" => mobile::mobilenet_v3(false),
        "mnasnet0_5" => mobile::mnasnet(0.5),
        "mnasnet0_75" => mobile::mnasnet(0.75),
        "mnasnet1_0" => mobile::mnasnet(1.0),
        "mnasnet1_3" => mobile::mnasnet(1.3),
        "efficientnet_b0" => mobile::efficientnet_v1(1.0, 1.0),
        "efficientnet_b1" => mobile::efficientnet_v1(1.0, 1.1),
        "efficientnet_b2" => mobile::efficientnet_v1(1.1, 1.2),
        "efficientnet_b3" => mobile::efficientnet_v1(1.2, 1.4),
        "efficientnet_b4" => mobile::efficientnet_v1(1.4, 1.8),
        "efficientnet_b5" => mobile::efficientnet_v1(1.6, 2.2),
        "efficientnet_b6" => mobile::efficientnet_v1(1.8, 2.6),
        "efficientnet_b7" => mobile::efficientnet_v1(2.0, 3.1),
        "efficientnet_v2_s" => mobile::efficientnet_v2(0),
        "efficientnet_v2_m" => mobile::efficientnet_v2(1),
        "efficientnet_v2_l" => mobile::efficientnet_v2(2),
        "shufflenet_v2_x0_5" => shufflenet::shufflenet_v2([48, 96, 192], 1024),
        "shufflenet_v2_x1_0" => shufflenet::shufflenet_v2([116, 232, 464], 1024),
        "shufflenet_v2_x1_5" => shufflenet::shufflenet_v2([176, 352, 704], 1024),
        "shufflenet_v2_x2_0" => shufflenet::shufflenet_v2([244, 488, 976], 2048),
        "vit_b_16" => transformers::vit(input, 16, 12, 12, 768, 3072),
        "vit_b_32" => transformers::vit(input, 32, 12, 12, 768, 3072),
        "vit_l_16" => transformers::vit(input, 16, 24, 16, 1024, 4096),
        "vit_l_32" => transformers::vit(input, 32, 24, 16, 1024, 4096),
        "vit_h_14" => transformers::vit(input, 14, 32, 16, 1280, 5120),
        "swin_t" => transformers::swin(input, 96, [2, 2, 6, 2], [3, 6, 12, 24], 7, false),
        "swin_s" => transformers::swin(input, 96, [2, 2, 18, 2], [3, 6, 12, 24], 7, false),
        "swin_b" => transformers::swin(input, 128, [2, 2, 18, 2], [4, 8, 16, 32], 7, false),
        "swin_v2_t" => transformers::swin(input, 96, [2, 2, 6, 2], [3, 6, 12, 24], 8, true),
        "swin_v2_s" => transformers::swin(input, 96, [2, 2, 18, 2], [3, 6, 12, 24], 8, true),
        "swin_v2_b" => transformers::swin(input, 128, [2, 2, 18, 2], [4, 8, 16, 32], 8, true),
        "maxvit_t" => transformers::maxvit_tiny(),
        "convnext_tiny" => convnext(&[96, 192, 384, 768], &[3, 3, 9, 3], 1000),
        "convnext_small" => convnext(&[96, 192, 384, 768], &[3, 3, 27, 3], 1000),
        "convnext_base" => convnext(&[128, 256, 512, 1024], &[3, 3, 27, 3], 1000),
        "convnext_large" => convnext(&[192, 384, 768, 1536], &[3, 3, 27, 3], 1000),
        _ => return None,
    })
}

/// RegNets by what follows the family's name: depth, first width, slope, step and group width of arXiv 2003.13678,
/// appendix, as distributed.
fn regnet(size: &str) -> Option<Vec<Layer>> {
    let (depth, first, slope, step, group) = match size {
        "y_400mf" => (16, 48, 27.89, 2.09, 8),
        "y_800mf" => (14, 56, 38.84, 2.4, 16),
        "y_1_6gf" => (27, 48, 20.71, 2.65, 24),
        "y_3_2gf" => (21, 80, 42.63, 2.66, 24),
        "y_8gf" => (17, 192, 76.82, 2.19, 56),
        "y_16gf" => (18, 200, 106.23, 2.48, 112),
        "y_32gf" => (20, 232, 115.89, 2.53, 232),
        "y_128gf" => (27, 456, 160.83, 2.52, 264),
        "x_400mf" => (22, 24, 24.48, 2.54, 16),
        "x_800mf" => (16, 56, 35.73, 2.28, 16),
        "x_1_6gf" => (18, 80, 34.01, 2.25, 24),
        "x_3_2gf" => (25, 88, 26.31, 2.25, 48),
        "x_8gf" => (23, 80, 49.56, 2.88, 120),
        "x_16gf" => (22, 216, 55.59, 2.1, 128),
        "x_32gf" => (23, 320, 69.86, 2.0, 168),
        _ => return None,
    };
    Some(RegNet { depth, first, slope, step, group, excites: size.starts_with('y') }.layers())
}
