//! The network behind a name, where sizing can build it layer by layer.
//!
//! timm (huggingface/pytorch-image-models) has the networks of torchvision under names of its own. A name alone proves nothing:
//! the network counts only where its parameters, multiply-adds and activations are those that the row prints.

use plimsoll_sizing::preset::torchvision;
use plimsoll_sizing::{Model, Profile};

use crate::Row;

/// How far a total may be off: tables print three digits, and some count a layer or two otherwise.
const TOLERANCE: f64 = 0.02;

/// Words before a name that say who trained it.
const ORIGINS: &[&str] = &["tf_", "tv_", "gluon_", "swsl_", "ssl_", "ig_", "adv_"];

/// Words behind it that say on what, or which of equal weights.
const BEHIND: &[&str] = &["_v1b", "_in21k", "_in21ft1k", "_in22k", "_in22ft1k", "_ap", "_ns", "_miil", "_224"];

/// The network of a row with `model`, `input`, `params_m`, `gmacs` and `macts_m`; `None` when sizing has no such network, or
/// one with other totals.
pub fn network(row: &Row) -> Option<Model> {
    let input = row.count("input").ok()??;
    let name = name_in_torchvision(row.text("model")?);
    let model = Model::Network(torchvision(&name, input)?);
    let profile = model.profile(1);
    let total = |column| row.number(column).ok().flatten();
    let agrees = |ours: f64, printed: f64| (ours / printed - 1.0).abs() <= TOLERANCE;
    let parameters = agrees(profile.parameters() as f64 / 1e6, total("params_m")?);
    let products = agrees(profile.forward_flops() / 2e9, total("gmacs")?);
    let activations = agrees(activations(&profile) / 1e6, total("macts_m")?);
    (parameters && products && activations).then_some(model)
}

/// What convolutions and linear layers write for one sample.
fn activations(profile: &Profile) -> f64 {
    let kernels = profile.units.iter().flat_map(|unit| unit.kernels.iter().map(move |kernel| (unit.repeats, kernel)));
    let products = kernels.filter(|(_, kernel)| kernel.matrix.is_some());
    products.map(|(repeats, kernel)| f64::from(repeats) * kernel.outputs).sum()
}

/// A name of timm as torchvision has it; other names as they are.
fn name_in_torchvision(name: &str) -> String {
    let mut name = name.to_lowercase();
    while let Some(rest) = ORIGINS.iter().find_map(|origin| name.strip_prefix(origin)) {
        name = rest.to_owned();
    }
    while let Some(rest) = BEHIND.iter().find_map(|behind| name.strip_suffix(behind)) {
        name = rest.to_owned();
    }
    // Multiply-adds in units of 10^8: regnety_032 is regnet_y_3_2gf.
    if let Some((kind, Ok(size))) = name
        .strip_prefix("regnet")
        .and_then(|rest| rest.split_once('_'))
        .map(|(kind, size)| (kind, size.parse::<u32>()))
    {
        let size = match (size < 10, size % 10) {
            (true, _) => format!("{}mf", size * 100),
            (false, 0) => format!("{}gf", size / 10),
            (false, tenths) if size < 100 => format!("{}_{tenths}gf", size / 10),
            (false, _) => format!("{}gf", size / 10),
        };
        return format!("regnet_{kind}_{size}");
    }
    for (theirs, ours) in [
        ("mobilenetv2_100", "mobilenet_v2"),
        ("mobilenetv3_large_100", "mobilenet_v3_large"),
        ("mobilenetv3_small_100", "mobilenet_v3_small"),
        ("mnasnet_050", "mnasnet0_5"),
        ("mnasnet_075", "mnasnet0_75"),
        ("mnasnet_100", "mnasnet1_0"),
        ("efficientnetv2_", "efficientnet_v2_"),
        ("swin_tiny_patch4_window7", "swin_t"),
        ("swin_small_patch4_window7", "swin_s"),
        ("swin_base_patch4_window7", "swin_b"),
        ("vit_base_patch", "vit_b_"),
        ("vit_large_patch", "vit_l_"),
    ] {
        if let Some(rest) = name.strip_prefix(theirs) {
            return format!("{ours}{rest}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Published;

    #[test]
    fn names_of_timm_are_names_of_torchvision() {
        for (theirs, ours) in [
            ("gluon_resnet50_v1b", "resnet50"),
            ("regnety_032", "regnet_y_3_2gf"),
            ("regnetx_004", "regnet_x_400mf"),
            ("regnety_320", "regnet_y_32gf"),
            ("regnetx_080", "regnet_x_8gf"),
            ("tf_efficientnet_b3_ns", "efficientnet_b3"),
            ("vit_base_patch16_224", "vit_b_16"),
            ("densenet121", "densenet121"),
        ] {
            assert_eq!(name_in_torchvision(theirs), ours);
        }
    }

    #[test]
    fn a_name_counts_only_where_its_totals_agree() {
        let published = Published::of_repository().expect("the tables");
        let row = |name: &str| published.rows().find(|row| row.text("model") == Some(name)).expect("a row");
        assert!(network(row("tv_resnet50")).is_some() && network(row("vgg16_bn")).is_some());
        assert!(network(row("resnet50d")).is_none() && network(row("skresnet50")).is_none());
        let known = published.rows().filter(|row| row.has("max_batch") && network(row).is_some()).count();
        assert!((50..120).contains(&known), "{known}");
    }
}
