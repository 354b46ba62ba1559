//! `plimsoll size` from a file to text.

use std::ffi::OsString;
use std::io::Write as _;

use plimsoll_cli::{Outcome, run};

const LLAMA: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: not-a-job}
---
apiVersion: plimsoll.dev/v1alpha1
kind: TrainingJob
metadata: {name: llama-8b}
spec:
  rightsizing: {mode: Auto}
  model:
    transformer:
      {layers: 32, hidden: 4096, heads: 32, kvHeads: 8, feedForward: 14336, gatedMlp: true, vocabulary: 128256}
  data: {tokens: 15000000000, sequenceLength: 4096}
  batch: {global: {preferred: 256}}
  accelerators: {min: 4, max: 32}
  parallelism: {accepts: [MicroBatch, GradientAccumulation, Data, Sharding, Recompute]}
  template: {spec: {containers: [{name: trainer, image: example, volumeMounts: []}], volumes: [{name: a, configMap: {defaultMode: 0440}}]}}
";

const GPT: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: TrainingJob
metadata: {name: gpt2}
spec:
  precision: Fp16Mixed
  model:
    huggingFace:
      config: '{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}'
  data: {samples: 100000, sequenceLength: 1024}
  batch: {global: {preferred: 64}}
  template: {spec: {}}
"#;

fn size(manifest: &str, arguments: &[&str]) -> (Outcome, String, String) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(manifest.as_bytes()).expect("written");
    let mut all: Vec<OsString> = vec!["plimsoll".into(), "size".into(), "-f".into(), file.path().into()];
    all.extend(arguments.iter().map(OsString::from));
    command(all)
}

fn command(arguments: Vec<OsString>) -> (Outcome, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = run("plimsoll", arguments, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (outcome, text(out), text(err))
}

#[test]
fn the_table_of_a_large_model() {
    let (outcome, out, err) = size(LLAMA, &[]);
    assert_eq!((outcome, err.as_str()), (Outcome::Done, ""));
    insta::assert_snapshot!(out);
}

#[test]
fn the_table_of_a_small_model_on_named_classes() {
    let (outcome, out, _) = size(GPT, &["--class", "t4=4x2", "--class", "l4"]);
    assert_eq!(outcome, Outcome::Done);
    insta::assert_snapshot!(out);
}

#[test]
fn every_number_can_be_explained() {
    let (outcome, out, _) = size(GPT, &["--class", "t4=1x1", "--explain"]);
    assert_eq!(outcome, Outcome::Done);
    insta::assert_snapshot!(out);
}

#[test]
fn a_job_that_fits_nowhere_ends_with_3() {
    let (outcome, out, _) = size(LLAMA, &["--class", "t4"]);
    assert_eq!(outcome, Outcome::DoesNotFit);
    assert!(out.contains("does not fit: t4: Precision"), "{out}");
    let (outcome, out, _) = size(LLAMA, &["--class", "l4=4x1"]);
    assert_eq!(outcome, Outcome::DoesNotFit);
    assert!(out.contains("does not fit: l4 x4: DeviceMemory: "), "{out}");
}

#[test]
fn json_has_a_version_and_the_whole_menu() {
    let (outcome, out, _) = size(GPT, &["-o", "json", "--class", "t4=4x1"]);
    assert_eq!(outcome, Outcome::Done);
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["apiVersion"], "cli.plimsoll.dev/v1alpha1");
    assert_eq!(value["items"][0]["parameters"], 124_439_808);
    assert!(value["items"][0]["menu"]["candidates"][0]["predicted"]["step_seconds"].is_number());
}

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 128256, "tie_word_embeddings": true,
    "max_position_embeddings": 131072}"#;

fn ask(config: &str, arguments: &[&str]) -> (Outcome, String, String) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(config.as_bytes()).expect("written");
    let mut all: Vec<OsString> = vec!["plimsoll".into(), "size".into(), "--hf".into(), file.path().into()];
    all.extend(arguments.iter().map(OsString::from));
    command(all)
}

#[test]
fn a_configuration_is_sized_without_a_job_and_wide_adds_what_it_costs() {
    let (outcome, out, err) = ask(CONFIG, &["--gpus", "h100:2", "--gpus", "l4:4", "-o", "wide"]);
    assert_eq!((outcome, err.as_str()), (Outcome::Done, ""));
    assert!(out.starts_with("llama: 1.24B parameters, global batch 256, Bf16Mixed"), "{out}");
    assert!(out.contains("TOKENS/S") && !out.contains("GPU-HOURS"), "{out}");
    assert!(out.contains("h100-sxm5-80gb") && out.contains("l4"), "the common product is meant: {out}");
    let (_, out, _) = size(GPT, &["--class", "t4=4x1", "-o", "wide"]);
    assert!(out.contains("GPU-HOURS") && out.contains("KWH") && !out.contains("COST"), "{out}");
}

fn preset(name: &str, arguments: &[&str]) -> (Outcome, String, String) {
    let first = ["plimsoll", "size", "--preset", name];
    command(first.iter().chain(arguments).map(OsString::from).collect())
}

#[test]
fn a_well_known_model_is_sized_by_its_name_and_another_one_is_answered_with_the_nearest() {
    let (outcome, out, err) = preset("resnet50", &["--gpus", "t4:4", "--precision", "Fp16Mixed"]);
    assert_eq!((outcome, err.as_str()), (Outcome::Done, ""));
    assert!(out.starts_with("resnet50: 25.6M parameters, global batch 256, Fp16Mixed"), "{out}");
    let (outcome, _, err) = preset("lama-3-8b", &["--gpus", "h100:8"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("model.preset") && err.contains("llama-3-8b"), "{err}");
}

#[test]
fn method_optimizer_and_accepted_words_are_what_a_manifest_calls_them() {
    let memory = |arguments: &[&str]| {
        let arguments = [arguments, &["--gpus", "h100:1", "-o", "json"]].concat();
        let value: serde_json::Value = serde_json::from_str(&preset("llama-3-8b", &arguments).1).expect("JSON");
        let item = &value["items"][0];
        (item["trainedParameters"].as_u64(), item["menu"]["candidates"].as_array().map_or(0, Vec::len))
    };
    let (all, _) = memory(&["--method", "Finetune", "--optimizer", "AdamW8bit"]);
    let (few, ways) = memory(&["--method", "Qlora", "--lora-rank", "8"]);
    assert_eq!(all, Some(8_030_261_248));
    assert!(few < Some(10_000_000) && ways > 0, "{few:?} {ways}");
    let (_, out, _) = preset("llama-3-8b", &["--gpus", "h100:8", "--accepts", "Data,MicroBatch,GradientAccumulation"]);
    assert!(out.contains("does not fit"), "without sharding an 8 B model does not fit: {out}");
    assert_eq!(preset("gpt2", &["--accepts", "Everything"]).0, Outcome::Usage);
    assert_eq!(size(GPT, &["--method", "Lora"]).0, Outcome::Usage);
}

#[test]
fn a_run_has_a_price_an_energy_and_a_carbon_where_the_site_says_so() {
    let site = ["--price", "h100=2.5", "--carbon-intensity", "400", "--pue", "1.2", "--node-overhead", "1.5"];
    let data = ["--gpus", "h100:8", "--tokens", "1e9", "--epochs", "2", "-o", "json"];
    let value: serde_json::Value =
        serde_json::from_str(&preset("gpt2", &[&site[..], &data[..]].concat()).1).expect("JSON");
    let bill = &value["items"][0]["bills"][0];
    let number = |pointer: &str| bill.pointer(pointer).and_then(serde_json::Value::as_f64).expect(pointer);
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    assert!(close(number("/money"), 2.5 * number("/gpu_hours")));
    assert!(close(number("/energy/meter_kwh"), 1.8 * number("/energy/device_kwh")));
    assert!(close(number("/energy/carbon_kg"), 0.4 * number("/energy/meter_kwh")));
    let (_, out, _) = preset("gpt2", &[&site[..], &data[..6], &["-o", "wide"]].concat());
    for title in ["DURATION", "GPU-HOURS", "KWH", "KGCO2E", "COST"] {
        assert!(out.contains(title), "{title}: {out}");
    }
    let (outcome, _, err) = preset("gpt2", &["--gpus", "h100:8", "--price", "t4=1"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("--price") && err.contains("t4"), "{err}");
    assert_eq!(preset("gpt2", &["--pue", "0.9"]).0, Outcome::Usage);
}

#[test]
fn checkpoints_and_the_batch_are_advised_on_where_enough_is_known() {
    let checkpoint = LLAMA.replace("  accelerators:", "  checkpoint: {path: /c, seconds: 60}\n  accelerators:");
    let (_, out, _) = size(&checkpoint, &["--class", "h100-sxm5-80gb", "--gpu-hours-per-failure", "50000"]);
    insta::assert_snapshot!(out);
    let (_, out, _) = size(&checkpoint, &["--class", "h100-sxm5-80gb"]);
    assert!(!out.contains("checkpoints:"), "{out}");
    let (_, out, _) = size(GPT, &["--class", "t4=4x1"]);
    assert!(out.contains("batch: 65.5k tokens"), "samples are tokens by their length: {out}");
}

#[test]
fn what_is_served_much_is_judged_by_training_and_serving() {
    let (_, out, _) = preset("llama-3-8b", &["--gpus", "h100:8", "--tokens", "2e12", "--inference-tokens", "20e12"]);
    assert!(out.contains("compute-optimality: near the optimum for 20.0T tokens served"), "{out}");
}

#[test]
fn yaml_says_what_json_says() {
    let arguments = |form| ["--gpus", "t4:4", "--precision", "Fp16Mixed", "--global-batch", "8", "-o", form];
    let json: serde_json::Value = serde_json::from_str(&ask(CONFIG, &arguments("json")).1).expect("JSON");
    let yaml: serde_json::Value = serde_yaml::from_str(&ask(CONFIG, &arguments("yaml")).1).expect("YAML");
    assert!(json["items"][0]["menu"]["candidates"].as_array().is_some_and(|menu| !menu.is_empty()));
    assert_eq!(json["items"][0]["menu"]["rejected"], yaml["items"][0]["menu"]["rejected"]);
    assert_eq!(json["items"][0]["parameters"], yaml["items"][0]["parameters"]);
}

#[test]
fn a_picture_shows_every_class_that_something_fits_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("menu.svg");
    let path = file.to_str().expect("a path");
    let (outcome, _, err) = ask(CONFIG, &["--gpus", "h100:8", "--gpus", "l4:4", "--plot", path]);
    assert_eq!((outcome, err.as_str()), (Outcome::Done, ""));
    let picture = std::fs::read_to_string(&file).expect("a picture");
    for text in ["<svg", "h100-sxm5-80gb", "l4", "Device memory by GPUs", "Speed by micro-batch", "tokens/s"] {
        assert!(picture.contains(text), "{text}");
    }
    let (outcome, _, err) = ask(CONFIG, &["--gpus", "t4:1", "--plot", path]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("fits on none of the classes"), "{err}");
}

#[test]
fn a_question_that_cannot_be_answered_is_refused_in_a_sentence() {
    for (config, sentence) in [
        ("[]", "is no JSON object"),
        ("{", "is no JSON object"),
        (r#"{"model_type": "mamba"}"#, "mamba"),
        (&CONFIG.replace("2048", "0"), "hidden_size"),
    ] {
        let (outcome, _, err) = ask(config, &["--gpus", "h100:8"]);
        assert_eq!(outcome, Outcome::Failed);
        assert!(err.contains(sentence), "{sentence}: {err}");
    }
    let (outcome, _, err) = ask(CONFIG, &["--gpus", "h100"]);
    assert_eq!(outcome, Outcome::Usage);
    assert!(err.contains("as in h100:8"), "{err}");
    assert_eq!(size(GPT, &["--hf", "config.json"]).0, Outcome::Usage);
    assert_eq!(size(GPT, &["--global-batch", "8"]).0, Outcome::Usage);
}

#[test]
fn every_example_can_be_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut jobs = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("a file").path();
        if std::fs::read_to_string(&path).expect("text").contains("kind: TrainingJob\n") {
            let (outcome, _, err) = command(vec!["plimsoll".into(), "size".into(), "-f".into(), path.clone().into()]);
            assert!(matches!(outcome, Outcome::Done | Outcome::DoesNotFit), "{}: {err}", path.display());
            jobs += 1;
        }
    }
    assert!(jobs >= 11, "{jobs} jobs");
}

#[test]
fn failures_say_which_file_and_which_field() {
    let (outcome, _, err) = size("kind: Pod\napiVersion: v1\n", &[]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("failed to find a TrainingJob"), "{err}");
    let (outcome, _, err) = size(&LLAMA.replace(", sequenceLength: 4096", ""), &[]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("llama-8b") && err.contains("data.sequenceLength"), "{err}");
    let (outcome, _, err) = size(LLAMA, &["--class", "abacus"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("abacus") && err.contains("a100-sxm4-40gb"), "{err}");
}

#[test]
fn bad_usage_ends_with_2_and_help_with_0() {
    assert_eq!(size(GPT, &["--class", "t4=4"]).0, Outcome::Usage);
    assert_eq!(command(vec!["plimsoll".into(), "size".into()]).0, Outcome::Usage);
    assert_eq!(command(vec!["plimsoll".into(), "--help".into()]).0, Outcome::Done);
    let (outcome, out, _) = command(vec!["plimsoll".into(), "version".into()]);
    assert_eq!(outcome, Outcome::Done);
    assert!(out.starts_with("plimsoll "));
    let (outcome, out, _) = command(vec!["plimsoll".into(), "completion".into(), "bash".into()]);
    assert_eq!(outcome, Outcome::Done);
    assert!(out.contains("_plimsoll"));
}
