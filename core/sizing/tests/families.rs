//! Recurrent networks, recommenders, two stacks and networks by layers.

mod common;

use common::{class, job};
use plimsoll_sizing::preset::{preset, torchvision};
use plimsoll_sizing::profile::{KernelKind, Role};
use plimsoll_sizing::{
    Batch, Cell, Convolution, Custom, Grid, Interaction, JobSpec, Layer, Layout, Memory, Model, Network, Optimizer,
    Precision, Recommender, Recurrent, Shape, Sharding, StepTime, Table, Transformer,
};
use proptest::prelude::*;

fn lstm() -> Recurrent {
    Recurrent {
        cell: Cell::Lstm,
        vocabulary: 0,
        inputs: 512,
        hidden: 1024,
        layers: 2,
        bidirectional: false,
        projection: None,
        outputs: 0,
        tied: false,
        every_step: true,
    }
}

#[test]
fn recurrent_layers_count_as_pytorch_counts_them() {
    // sum(p.numel()) of torch.nn.LSTM(512, 1024, 2): 4·(512·1024 + 1024² + 2·1024) + 4·(2·1024² + 2·1024).
    assert_eq!(lstm().parameters(), 14_696_448);
    // LSTM(512, 1024, 2, bidirectional): the second layer reads 2048 wide.
    let both = Recurrent { bidirectional: true, ..lstm() };
    assert_eq!(both.parameters(), 2 * (4 * (512 + 1024 + 2) * 1024 + 4 * (2048 + 1024 + 2) * 1024));
    // LSTM(512, 1024, 1, proj_size=256): 4·(512·1024 + 256·1024 + 2·1024) + 1024·256.
    let projected = Recurrent { layers: 1, projection: Some(256), ..lstm() };
    assert_eq!(projected.parameters(), 3_416_064);
    assert_eq!(Recurrent { cell: Cell::Gru, ..lstm() }.parameters() * 4, lstm().parameters() * 3);
    assert_eq!(Recurrent { cell: Cell::Rnn, ..lstm() }.parameters() * 4, lstm().parameters());
}

#[test]
fn a_recurrent_layer_runs_one_step_after_the_other() {
    let profile = Model::Recurrent(lstm()).profile(100);
    // 8·h·(i + h) FLOPs per token and layer.
    let closed = 100.0 * 8.0 * 1024.0 * ((512.0 + 1024.0) + (1024.0 + 1024.0));
    assert!((profile.forward_flops() / closed - 1.0).abs() < 1e-12);
    let steps: Vec<u32> = profile
        .units
        .iter()
        .flat_map(|unit| &unit.kernels)
        .filter(|kernel| kernel.kind == KernelKind::Recurrent)
        .map(|kernel| kernel.sequential_steps)
        .collect();
    assert_eq!(steps, [100, 100]);
}

#[test]
fn a_recommender_holds_tables_and_computes_little() {
    let dlrm = preset("dlrm-criteo-terabyte").expect("DLRM").model;
    let profile = dlrm.profile(1);
    let tables: u64 = profile.role(Role::Embedding).map(|unit| unit.all_parameters()).sum();
    assert!(tables as f64 > 0.99 * dlrm.parameters() as f64);
    assert!(profile.forward_flops() < 1e7);
    // 784·512 + 512 + 512·512 + 512 + 512·10 + 10.
    let perceptron = Model::Recommender(Recommender::perceptron(784, vec![512, 512, 10]));
    assert_eq!(perceptron.parameters(), 669_706);
}

/// MLPerf's DLRM: 26 tables of 187,767,399 rows, 128 wide: 24 B parameters, 96 GB in fp32.
#[test]
fn tables_are_held_once_and_their_gradients_are_of_the_rows_that_are_read() {
    let model = preset("dlrm-criteo-terabyte").expect("DLRM").model;
    let job = JobSpec { optimizer: Optimizer::Sgd, precision: Precision::Fp32, ..job(model, 1, 65_536) };
    let on = |job: &JobSpec, sharding, data| {
        Memory::of(job, &Layout { sharding, ..Layout::data_parallel(data) }, job.global_batch / data)
    };
    let alone = on(&job, Sharding::None, 1);
    let tables = 187_767_399.0 * 128.0 * 4.0;
    let close = |bytes: u64, expected: f64| (bytes as f64 / expected - 1.0).abs() < 0.001;
    // The layers have 2.4 M parameters.
    assert!(close(alone.weights, tables + 4.0 * 2_368_897.0), "{alone:?}");
    let read = 65_536.0 * 26.0 * (128.0 * 4.0 + 8.0);
    assert!(close(alone.gradients, read + 4.0 * 2_368_897.0), "{alone:?}");
    assert!((95e9..110e9).contains(&(alone.total() as f64)), "{alone:?}");
    // Eight ranks own an eighth of the rows each, and look up an eighth of the samples.
    let shared = on(&job, Sharding::Optimizer, 8);
    assert!(close(shared.weights, tables / 8.0 + 4.0 * 2_368_897.0), "{shared:?}");
    assert!(close(shared.gradients, read / 8.0 + 4.0 * 2_368_897.0), "{shared:?}");
    // Dense moments of AdamW; one number a row of Adagrad.
    let with = |optimizer| on(&JobSpec { optimizer, ..job.clone() }, Sharding::Optimizer, 8).optimizer;
    assert!(close(with(Optimizer::AdamW), 2.0 * (tables + 4.0 * 2_368_897.0) / 8.0));
    assert!(close(with(Optimizer::Adagrad), 4.0 * (187_767_399.0 + 2_368_897.0) / 8.0));
}

#[test]
fn ranks_that_own_rows_send_each_other_what_was_read() {
    let model = preset("dlrm-criteo-terabyte").expect("DLRM").model;
    let job = JobSpec { optimizer: Optimizer::Sgd, ..job(model, 1, 65_536) };
    let class = class("a100-sxm4-80gb", 8, 2);
    let step = |sharding, data: u32| {
        let layout = Layout { sharding, ..Layout::data_parallel(data) };
        let shape = Shape { class: class.name.clone(), pods: data.div_ceil(8), gpus_per_pod: data.min(8) };
        let batch = Batch { micro: job.global_batch / data, accumulation: 1, global: job.global_batch };
        StepTime::of(&job, &class, &shape, &layout, &batch)
    };
    let (replicated, owned) = (step(Sharding::None, 8), step(Sharding::Optimizer, 8));
    // A vector of 16 bits for each table, there and back, and places of 8 bytes, seven eighths of them over 300 GB/s.
    let bytes = 8192.0 * 26.0 * (2.0 * 128.0 * 2.0 + 8.0) * 7.0 / 8.0;
    assert!(owned.communication > bytes / 300e9, "{owned:?}");
    assert!(owned.communication < 3.0 * bytes / 300e9, "{owned:?}");
    // Copies send every rank all rows that were read, in 32 bits.
    assert!(replicated.communication > owned.communication, "{replicated:?} {owned:?}");
    // Nobody steps 24 B parameters: rows that were read are.
    assert!(owned.optimizer < 0.002, "{owned:?}");
    assert!(step(Sharding::Optimizer, 16).communication > owned.communication);
}

#[test]
fn decoders_see_the_past_alone_and_encoders_all() {
    let seen = |name: &str, tokens| {
        let profile = preset(name).expect(name).model.profile(tokens);
        let cores = profile.units.into_iter().flat_map(|unit| unit.kernels);
        let cores = cores.filter(|kernel| kernel.kind == KernelKind::Attention);
        cores.map(|kernel| kernel.seen).collect::<Vec<_>>()
    };
    // Encoder, decoder, and what the decoder reads of the encoder.
    assert_eq!(seen("t5-small", 512), [1.0, 0.5, 1.0]);
    assert_eq!(seen("whisper-tiny", 448), [1.0, 0.5, 1.0]);
    assert_eq!(seen("llama-3-8b", 4096), [0.5]);
    assert_eq!(seen("bert-base", 512), [1.0]);
    // 4096 keys of 16384: each query but the first ones sees as many.
    assert!(seen("mistral-7b", 16_384).iter().all(|seen| *seen == 1.0 - 4096.0 / (2.0 * 16_384.0) || *seen == 0.5));
}

#[test]
fn a_decoder_that_attends_to_an_encoder_has_a_second_attention() {
    let t5 = preset("t5-small").expect("T5").model;
    let profile = t5.profile(512);
    let attentions = profile
        .units
        .iter()
        .map(|unit| unit.repeats as usize * unit.kernels.iter().filter(|k| k.kind == KernelKind::Attention).count())
        .sum::<usize>();
    assert_eq!(attentions, 6 + 2 * 6);
    // A spectrogram's length is the encoder's own; the text's length moves the decoder alone.
    let whisper = preset("whisper-tiny").expect("Whisper").model;
    let (short, long) = (whisper.profile(1).forward_flops(), whisper.profile(448).forward_flops());
    assert!(short > 0.5 * long);
}

#[test]
fn a_convolution_keeps_each_tensor_once() {
    let block = |body: Vec<Layer>| Network::of_image(64, 56, body).try_profile().expect("it fits");
    let kept = |layers: Vec<Layer>| {
        let profile = block(layers);
        let all: f64 = profile.units.iter().flat_map(|unit| &unit.kernels).map(|kernel| kernel.saved_elements).sum();
        // The loss keeps what leaves the network.
        all - 64.0 * 56.0 * 56.0
    };
    let grid = 64.0 * 56.0 * 56.0;
    let convolution = || Layer::Convolution(Convolution::square(64, 3, 1));
    // Its input, what is normalised, and what the rectifier leaves, which the next convolution reads.
    assert_eq!(kept(vec![convolution(), Layer::Norm, Layer::Rectifier, convolution()]), 3.0 * grid);
    // SiLU keeps its input, so the next convolution's input is one more.
    assert_eq!(kept(vec![convolution(), Layer::Norm, Layer::Smooth, convolution()]), 4.0 * grid);
    // Both branches read one input.
    let two = Layer::Concatenate(vec![vec![convolution()], vec![convolution()]]);
    assert_eq!(kept(vec![two]) + grid, 3.0 * grid);
}

#[test]
fn a_network_is_cut_into_stem_blocks_and_head() {
    let units = |name| torchvision(name, 224).expect(name).try_profile().expect(name).units;
    let roles = |name| units(name).iter().map(|unit| (unit.role, unit.repeats)).collect::<Vec<_>>();
    // Twelve equal blocks between the patches and the classifier.
    assert_eq!(roles("vit_b_16"), [(Role::Embedding, 1), (Role::Body, 12), (Role::Head, 1)]);
    let blocks: u32 = units("resnet50").iter().filter(|unit| unit.role == Role::Body).map(|unit| unit.repeats).sum();
    assert_eq!(blocks, 16);
    // VGG has no stem: five stages and the classifier.
    assert_eq!(units("vgg16").iter().filter(|unit| unit.role == Role::Body).count(), 5);
    // A join of two branches is no unit of its own.
    let unet = preset("stable-diffusion-xl-unet").expect("a U-Net").model.profile(1);
    assert!(unet.units.iter().all(|unit| unit.parameters > 0));
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let message = |layers| {
        let model = Model::Network(Network::of_image(3, 8, layers));
        assert_eq!(model.profile(1).parameters(), 0);
        model.check().unwrap_err().to_string()
    };
    let wide = Convolution { padding: (0, 0), ..Convolution::square(8, 11, 1) };
    assert!(message(vec![Layer::Convolution(wide)]).contains("window of 11"));
    let grouped = Convolution { groups: 2, ..Convolution::square(8, 3, 1) };
    assert!(message(vec![Layer::Convolution(grouped)]).contains("2 groups"));
    let halved = vec![Layer::Convolution(Convolution::square(3, 3, 2))];
    assert!(message(vec![Layer::Residual { body: halved, shortcut: Vec::new() }]).contains("branches"));
    let huge = Grid { channels: u32::MAX, height: u32::MAX, width: u32::MAX };
    assert!(message(vec![Layer::View(huge), Layer::Norm]).contains("10^12"));
    let mut deep = vec![Layer::Norm];
    for _ in 0..100 {
        deep = vec![Layer::Block(deep)];
    }
    assert!(message(deep).contains("deep"));
    assert!(torchvision("resnet51", 224).is_none());
    assert!(torchvision("resnet50", 1).expect("a network").try_profile().is_ok());
    assert!(torchvision("inception_v3", 32).expect("a network").try_profile().is_err());
}

#[test]
fn shapes_that_cannot_be_are_refused_with_their_field() {
    let custom = |parameters, flops_per_sample| {
        Model::Custom(Custom { parameters, flops_per_sample, activation_bytes_per_sample: 1 })
    };
    let table = |rows| Table { rows, width: 64, lookups: 1 };
    let recommender = |rows| Recommender { tables: vec![table(rows)], ..Recommender::perceptron(8, vec![1]) };
    let transformer = Transformer {
        layers: 2,
        hidden: 64,
        heads: 4,
        kv_heads: 4,
        head_dim: 16,
        ffn: 256,
        vocabulary: 512,
        ..Transformer::default()
    };
    let cases = [
        (custom(0, 1.0), "parameters"),
        (custom(1_000_000_000_000_000_000, 1.0), "10^14"),
        (custom(1, f64::NAN), "forwardFlopsPerSample"),
        (custom(1, -1.0), "forwardFlopsPerSample"),
        (Model::Recurrent(Recurrent { hidden: 0, ..lstm() }), "hidden"),
        (Model::Recurrent(Recurrent { cell: Cell::Gru, projection: Some(8), ..lstm() }), "projection"),
        (Model::Recommender(recommender(0)), "table rows"),
        (Model::Recommender(recommender(u64::MAX)), "10^14"),
        (Model::Recommender(Recommender::perceptron(8, Vec::new())), "top"),
        (Model::Transformer(Transformer { layers: 0, ..transformer.clone() }), "layers"),
        (Model::Transformer(Transformer { kv_heads: 3, ..transformer.clone() }), "kvHeads"),
        (Model::Transformer(Transformer { vocabulary: 0, ..transformer.clone() }), "vocabulary"),
        (Model::Transformer(Transformer { hidden: u32::MAX, layers: 60_000, ..transformer.clone() }), "10^14"),
    ];
    for (model, named) in cases {
        let error = model.check().unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
    assert_eq!(Model::Transformer(transformer).check(), Ok(()));
}

/// Any size at all.
fn size() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..2048, Just(u32::MAX), Just(1 << 20)]
}

proptest! {
    #[test]
    fn profiles_of_recurrent_networks_hold_all_parameters(
        (vocabulary, inputs, hidden, outputs) in (size(), size(), size(), size()),
        layers in 0_u32..8,
        flags in any::<[bool; 3]>(),
        cell in prop::sample::select(vec![Cell::Rnn, Cell::Lstm, Cell::Gru]),
        steps in size(),
    ) {
        let [bidirectional, tied, every_step] = flags;
        let shape = Recurrent {
            cell, vocabulary, inputs, hidden, layers, bidirectional, projection: None, outputs, tied, every_step,
        };
        let model = Model::Recurrent(shape);
        let profile = model.profile(steps);
        if model.check().is_ok() {
            prop_assert_eq!(profile.parameters(), model.parameters());
        }
        prop_assert!(profile.forward_flops().is_finite());
    }

    #[test]
    fn profiles_of_recommenders_hold_all_parameters(
        dense in size(),
        bottom in prop::collection::vec(size(), 0..4),
        tables in prop::collection::vec((0_u64..1 << 40, size()), 0..4),
        top in prop::collection::vec(size(), 0..4),
        dot in any::<bool>(),
    ) {
        let model = Model::Recommender(Recommender {
            dense,
            bottom,
            tables: tables.into_iter().map(|(rows, width)| Table { rows, width, lookups: 1 }).collect(),
            interaction: if dot { Interaction::Dot } else { Interaction::Concatenate },
            factors: Vec::new(),
            top,
        });
        if model.check().is_ok() {
            prop_assert_eq!(model.profile(1).parameters(), model.parameters());
        }
        prop_assert!(model.profile(1).forward_flops().is_finite());
    }

    #[test]
    fn a_transformer_of_any_size_is_checked_without_a_panic(
        (layers, hidden, heads, kv_heads) in (size(), size(), size(), size()),
        (head_dim, ffn, vocabulary, tokens) in (size(), size(), size(), size()),
    ) {
        let shape = Transformer { layers, hidden, heads, kv_heads, head_dim, ffn, vocabulary, ..Transformer::default() };
        let model = Model::Transformer(shape);
        let profile = model.profile(tokens);
        prop_assert!(profile.forward_flops().is_finite());
        if model.check().is_ok() {
            prop_assert_eq!(profile.parameters(), model.parameters());
        }
    }
}
