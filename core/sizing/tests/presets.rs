//! Presets against counts that others published: the exact numbers of parameters of public checkpoints, as their model
//! cards, weight indexes or programs state them. A count that nobody was found to state stands in no entry.

mod common;
use common::{class, job};
use plimsoll_sizing::preset::{Domain, names, preset};
use plimsoll_sizing::{Batch, JobSpec, Layout, Model, Shape, Sharding, estimate};

const CONFIGURATIONS: &str = include_str!("../src/preset/configurations.json");

#[test]
fn every_published_count_is_met_exactly() {
    let entries: serde_json::Value = serde_json::from_str(CONFIGURATIONS).expect("the data file");
    let mut wrong = Vec::new();
    for entry in entries.as_array().expect("a list") {
        let model = Model::from_hugging_face(&entry["config"]);
        let counted = model.map(|model| model.parameters()).map_err(|error| error.to_string());
        if let Some(published) = entry["parameters"].as_u64()
            && counted != Ok(published)
        {
            wrong.push(format!("{}: {counted:?}, published {published}", entry["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn presets_of_every_domain_build_and_pass_their_checks() {
    let names = names();
    assert!(names.len() >= 40, "{}", names.len());
    for name in &names {
        let preset = preset(name).unwrap_or_else(|| panic!("{name}"));
        preset.model.check().expect(name);
        let profile = preset.model.profile(128);
        assert_eq!(profile.parameters(), preset.model.parameters(), "{name}");
        assert!(profile.forward_flops() > 0.0, "{name}");
        println!(
            "{name}: {} {:.4e} {:?}",
            preset.model.parameters(),
            profile.forward_flops(),
            preset.verified.is_some()
        );
    }
    for domain in [Domain::Language, Domain::Vision, Domain::Speech, Domain::Diffusion, Domain::Recommendation] {
        assert!(names.iter().filter_map(|name| preset(name)).any(|preset| preset.domain == domain), "{domain:?}");
    }
}

#[test]
fn diffusion_models_have_the_parameters_and_multiply_adds_of_their_papers() {
    // facebookresearch/DiT prints 675,129,632 for XL/2, positions included; table 4 of arXiv 2212.09748: 118.6 Gflops, by
    // which it means multiply-adds. The U-Nets: the parameters of runwayml/stable-diffusion-v1-5 and
    // stabilityai/stable-diffusion-xl-base-1.0.
    let rows = [
        ("dit-xl-2", 675_129_632),
        ("stable-diffusion-1.5-unet", 859_520_964),
        ("stable-diffusion-xl-unet", 2_567_463_684),
    ];
    for (name, parameters) in rows {
        let preset = preset(name).expect(name);
        assert_eq!(preset.model.parameters(), parameters, "{name}");
        assert!(preset.verified.is_some());
    }
    let multiply_adds = preset("dit-xl-2").expect("DiT").model.profile(1).forward_flops() / 2e9;
    assert!((multiply_adds / 118.6 - 1.0).abs() < 0.01, "{multiply_adds}");
}

#[test]
fn a_preset_without_an_independent_count_says_so() {
    for name in ["opt-66b", "mpt-30b", "falcon-40b", "starcoder2-7b", "dlrm-criteo-terabyte", "dit-b-2"] {
        assert_eq!(preset(name).expect(name).verified, None, "{name}");
    }
    assert!(preset("llama-3-8b").expect("Llama").verified.is_some());
    assert_eq!(preset("no-such-model"), None);
}

/// On one device, on 64, and over 8 in each tensor-parallel group: every family has finite figures within bounds.
#[test]
fn every_preset_can_be_sized() {
    let class = class("h100-sxm5-80gb", 8, 128);
    for name in names() {
        let model = preset(&name).expect(&name).model;
        let tokens = if model.needs_sequence_length() { 512 } else { 1 };
        let job = JobSpec { max_gpus: 1024, ..job(model, tokens, 1024) };
        for (gpus, tensor) in [(1_u32, 1_u32), (64, 1), (64, 8)] {
            let shape = Shape { class: class.name.clone(), pods: gpus.div_ceil(8), gpus_per_pod: gpus.min(8) };
            let layout = Layout { sharding: Sharding::Full, tensor, ..Layout::data_parallel(gpus / tensor) };
            let batch = Batch::cut(1024, gpus / tensor, 4).expect("1024 divides");
            let predicted = estimate(&job, &class, &shape, &layout, &batch).predicted;
            assert!(predicted.step_seconds.is_finite() && predicted.step_seconds > 0.0, "{name}: {predicted:?}");
            assert!(predicted.device_memory_bytes > job.model.parameters() / u64::from(gpus), "{name}: {predicted:?}");
            assert!((0.0..1.0).contains(&predicted.mfu) && (0.0..=1.0).contains(&predicted.sm_activity), "{name}");
        }
    }
}
