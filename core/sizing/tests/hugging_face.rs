//! What a config.json may say, and what is answered to nonsense.

use plimsoll_sizing::{Model, Norm};
use proptest::prelude::*;
use serde_json::{Value, json};

const CONFIGURATIONS: &str = include_str!("../src/preset/configurations.json");

fn configurations() -> Vec<Value> {
    let entries: Value = serde_json::from_str(CONFIGURATIONS).expect("the data file");
    entries.as_array().expect("a list").iter().map(|entry| entry["config"].clone()).collect()
}

fn parameters(config: Value) -> u64 {
    Model::from_hugging_face(&config).expect("a known architecture").parameters()
}

#[test]
fn image_classifiers_are_read_with_their_classes() {
    let labels: serde_json::Map<String, Value> = (0..1000).map(|class| (class.to_string(), json!("label"))).collect();
    let classifier = |rest: Value| {
        let mut config = json!({"architectures": ["ForImageClassification"], "id2label": labels});
        config.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        config
    };
    let vit = json!({"model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "image_size": 224, "patch_size": 16});
    assert_eq!(parameters(classifier(vit)), 86_567_656);
    let resnet = json!({"model_type": "resnet", "embedding_size": 64, "hidden_sizes": [256, 512, 1024, 2048],
        "depths": [3, 4, 6, 3], "layer_type": "bottleneck"});
    assert_eq!(parameters(classifier(resnet)), 25_557_032);
    let resnet18 = json!({"model_type": "resnet", "embedding_size": 64, "hidden_sizes": [64, 128, 256, 512],
        "depths": [2, 2, 2, 2], "layer_type": "basic"});
    assert_eq!(parameters(classifier(resnet18)), 11_689_512);
    let convnext = json!({"model_type": "convnext", "hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]});
    assert_eq!(parameters(classifier(convnext)), 28_589_128);
}

#[test]
fn a_masked_language_model_has_another_head() {
    // bert-base-uncased as BertForMaskedLM: 109,514,298.
    let bert = json!({"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 768,
        "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
        "max_position_embeddings": 512, "type_vocab_size": 2});
    assert_eq!(parameters(bert), 109_514_298);
}

#[test]
fn windows_biases_and_norms_follow_the_configuration() {
    let gemma = json!({"model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
        "num_hidden_layers": 34, "sliding_window": 1024}});
    let Ok(Model::Transformer(t)) = Model::from_hugging_face(&gemma) else { panic!("gemma3 is a transformer") };
    assert_eq!(t.window.map(|window| (window.size, window.global_every)), Some((1024, 6)));
    // google/gemma-3-4b without its vision tower: 3,880,263,168.
    assert_eq!(t.parameters(), 3_880_263_168);
    let mpt = json!({"model_type": "mpt", "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 128,
        "vocab_size": 512, "no_bias": true, "attn_config": {"alibi": false}});
    let Ok(Model::Transformer(t)) = Model::from_hugging_face(&mpt) else { panic!("mpt is a transformer") };
    assert_eq!((t.learned_positions, t.norm), (128, Norm::Rms));
}

#[test]
fn an_unknown_architecture_lists_what_to_give_by_hand() {
    let error = Model::from_hugging_face(&json!({"model_type": "mamba"})).unwrap_err().to_string();
    for word in ["mamba", "layers", "hidden", "heads", "vocabulary", "forwardFlopsPerSample", "deepseek_v3", "whisper"]
    {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(Model::from_hugging_face_text("{").is_err());
    assert!(Model::from_hugging_face_text("7").is_err());
}

#[test]
fn nonsense_is_answered_with_the_field_it_stands_in() {
    let llama = || {
        json!({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128_256})
    };
    assert!(Model::from_hugging_face(&llama()).is_ok());
    let cases = [
        ("hidden_size", json!(0), "hidden_size"),
        ("hidden_size", json!(-4096), "hidden_size"),
        ("hidden_size", json!(1_000_000_000_000_000_000_u64), "hidden_size"),
        ("hidden_size", json!("wide"), "hidden_size"),
        ("hidden_size", json!(4097), "num_attention_heads"),
        ("hidden_size", json!(4_294_967_264_u32), "parameters"),
        ("num_hidden_layers", json!(4_000_000_000_u32), "layers"),
        ("num_key_value_heads", json!(5), "num_key_value_heads"),
        ("vocab_size", json!(1.5), "vocab_size"),
        ("intermediate_size", Value::Null, "intermediate_size"),
        ("intermediate_size", json!(4_000_000_000_u32), "parameters"),
    ];
    for (field, value, named) in cases {
        let mut config = llama();
        config[field] = value;
        let error = Model::from_hugging_face(&config).unwrap_err().to_string();
        assert!(error.contains(named) && !error.contains('\n'), "{field}: {error}");
    }
    let mut experts = json!({"num_local_experts": 8, "num_experts_per_tok": 9});
    experts.as_object_mut().expect("an object").extend(llama().as_object().expect("an object").clone());
    experts["model_type"] = json!("mixtral");
    assert!(Model::from_hugging_face(&experts).unwrap_err().to_string().contains("topK"));
    let deep = json!({"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 4_000_000_000_u32,
        "num_attention_heads": 4, "intermediate_size": 64});
    assert!(Model::from_hugging_face(&deep).unwrap_err().to_string().contains("num_hidden_layers"));
}

/// A number that nobody meant.
fn absurd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(1_000_000_000_000_000_000_u64)),
        Just(json!(u64::MAX)),
        Just(json!(u32::MAX)),
        Just(json!([])),
        Just(json!([1, 0])),
        Just(json!({})),
        Just(json!("8")),
        Just(json!(true)),
        (0_u32..100_000).prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Two fields of a real configuration become nonsense: it is read or refused, and what is read can be laid out.
    #[test]
    fn no_configuration_panics(
        which in 0_usize..1000,
        fields in prop::collection::vec((0_usize..40, absurd()), 1..3),
        tokens in prop_oneof![0_u32..4096, Just(u32::MAX)],
    ) {
        let all = configurations();
        let mut config = all[which % all.len()].clone();
        let names: Vec<String> = config.as_object().expect("an object").keys().cloned().collect();
        for (field, value) in fields {
            config[&names[field % names.len()]] = value;
        }
        match Model::from_hugging_face(&config) {
            Ok(model) => {
                let profile = model.profile(tokens);
                prop_assert_eq!(profile.parameters(), model.parameters());
                prop_assert!(profile.forward_flops().is_finite());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
