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
    assert!(out.contains("TOKENS/S") && !out.contains("EPOCH"), "{out}");
    assert!(out.contains("h100-sxm5-80gb") && out.contains("l4"), "the common product is meant: {out}");
    let (_, out, _) = size(GPT, &["--class", "t4=4x1", "-o", "wide"]);
    assert!(out.contains("GPU-H/EPOCH") && out.contains("KWH/EPOCH"), "{out}");
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
