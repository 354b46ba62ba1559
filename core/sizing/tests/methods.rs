//! What methods and optimizers ask for.

mod common;

use common::{class, gpt, job, llama};
use plimsoll_sizing::method::federated::Federated;
use plimsoll_sizing::method::reinforcement::{Algorithm, Engine, Reinforcement, Reward, RoleKind};
use plimsoll_sizing::{
    Batch, Custom, Experts, Flops, JobSpec, Layout, Matrices, Memory, Method, Model, Optimizer, PeakFlops, Precision,
    Profile, Recompute, Shape, Sharding, StepTime, Transformer, Window, estimate,
};
use proptest::prelude::*;

const BF16: Precision = Precision::Bf16Mixed;

fn small() -> Profile {
    llama(4, 256, 8, 8, 1024, 1000).profile(128)
}

fn all_methods() -> impl Strategy<Value = Method> {
    let matrices = prop::sample::select(vec![Matrices::QueryValue, Matrices::Attention, Matrices::AllLinear]);
    (matrices, 1_u32..=64, 0_usize..8).prop_map(|(matrices, rank, which)| match which {
        0 => Method::Pretrain,
        1 => Method::Finetune,
        2 => Method::Transfer { trained_units: rank },
        3 => Method::Lora { rank, matrices },
        4 => Method::Qlora { rank, matrices },
        5 => Method::Preference { adapters: None },
        6 => Method::Preference { adapters: Some((rank, matrices)) },
        _ => Method::Private { ghost: rank % 2 == 0 },
    })
}

proptest! {
    #[test]
    fn demands_fit_their_profile(method in all_methods(), layers in 1_u32..=12) {
        let profile = llama(layers, 256, 8, 4, 1024, 1000).profile(64);
        let demand = method.demand(&profile, BF16);
        prop_assert_eq!(demand.passes.len(), profile.units.len());
        prop_assert_eq!(demand.trained.len(), profile.units.len());
        prop_assert!(demand.trained_parameters > 0 && demand.trained_parameters <= profile.parameters());
        prop_assert!(demand.flops(&profile) >= profile.forward_flops());
        prop_assert!(demand.trained.iter().all(|share| (0.0..=1.0).contains(share)));
    }

    #[test]
    fn more_trained_units_never_take_less(units in 1_u32..=13) {
        let profile = llama(12, 256, 8, 4, 1024, 1000).profile(64);
        let ask = |trained_units| Method::Transfer { trained_units }.demand(&profile, BF16);
        let (fewer, more) = (ask(units), ask(units + 1));
        prop_assert!(fewer.trained_parameters <= more.trained_parameters);
        prop_assert!(fewer.flops(&profile) <= more.flops(&profile));
    }
}

#[test]
fn transfer_trains_the_head_first() {
    let profile = gpt(4, 256, 8, 1000, 128).profile(128);
    let head = Method::Transfer { trained_units: 1 }.demand(&profile, BF16);
    assert_eq!(head.passes, [1.0, 1.0, 3.0]);
    let half = Method::Transfer { trained_units: 3 }.demand(&profile, BF16);
    assert_eq!(half.passes, [1.0, 2.0, 3.0]);
    assert_eq!(half.trained, [0.0, 0.5, 1.0]);
    let all = Method::Transfer { trained_units: 6 }.demand(&profile, BF16);
    assert_eq!(all.trained_parameters, profile.parameters());
    assert_eq!(all.flops(&profile), 3.0 * profile.forward_flops());
}

/// arXiv 2106.09685: `r·(d_in + d_out)` per matrix. litgpt's tables print 4,194,304 for Llama-2-7B at rank 8 on query and
/// value, and PEFT 39,976,960 at rank 16 on all linear layers.
#[test]
fn adapters_have_the_published_counts() {
    let profile = llama(32, 4096, 32, 32, 11_008, 32_000).profile(1);
    let count = |rank, matrices| Method::Lora { rank, matrices }.demand(&profile, BF16).trained_parameters;
    assert_eq!(count(8, Matrices::QueryValue), 4_194_304);
    assert_eq!(count(16, Matrices::AllLinear), 39_976_960);
    assert_eq!(count(8, Matrices::Attention), 2 * 4_194_304);
    let custom = Model::Custom(Custom { parameters: 1000, flops_per_sample: 1e6, activation_bytes_per_sample: 0 });
    assert_eq!(Method::lora(8).demand(&custom.profile(1), BF16).trained_parameters, 10);
}

/// Frozen base: 4N per token and 6N of the adapters.
#[test]
fn adapters_save_a_third_of_the_flops() {
    let model = Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256));
    let with = |method| Flops::of(&JobSpec { method, ..job(model.clone(), 2048, 8) }, Recompute::None);
    let (full, adapters) = (with(Method::Finetune), with(Method::lora(16)));
    assert_eq!(full.model, 3.0 * full.forward);
    assert!((adapters.model / full.forward - 2.0) < 0.02);
}

#[test]
fn preferences_need_a_reference_that_answers() {
    let profile = small();
    let full = Method::Preference { adapters: None }.demand(&profile, BF16);
    assert_eq!(full.flops(&profile), 4.0 * profile.forward_flops());
    assert_eq!(full.residents[0].weight_bytes, 2.0 * profile.parameters() as f64);
    // With adapters the base itself is the reference.
    let adapted = Method::Preference { adapters: Some((8, Matrices::QueryValue)) }.demand(&profile, BF16);
    assert_eq!(adapted.residents[0].weight_bytes, 0.0);
    assert!(adapted.flops(&profile) > 3.0 * profile.forward_flops());
}

/// arXiv 2205.10683: ghost clipping costs a second backward pass, 1.3 to 2 times the time; naive clipping a gradient per
/// sample.
#[test]
fn private_training_pays_in_time_or_in_memory() {
    let profile = small();
    let naive = Method::Private { ghost: false }.demand(&profile, BF16);
    assert_eq!(naive.bytes_per_sample, 4.0 * profile.parameters() as f64);
    let ghost = Method::Private { ghost: true }.demand(&profile, BF16);
    assert_eq!(ghost.bytes_per_sample, 0.0);
    let slowdown = ghost.flops(&profile) / (3.0 * profile.forward_flops());
    assert!((1.6..2.1).contains(&slowdown), "{slowdown}");
}

#[test]
fn federated_rounds_wait_for_their_quantile() {
    let federated = Federated {
        clients: 10,
        parameters: 1_000_000,
        download_bytes_each: 4.0,
        upload_bytes_each: 4.0,
        deadline_quantile: 0.9,
    };
    assert_eq!(federated.round_bytes(), 8e7);
    let seconds: Vec<f64> = (1..=10).rev().map(f64::from).collect();
    assert_eq!(federated.round_seconds(&seconds), Some(9.0));
    assert_eq!(federated.round_seconds(&[]), None);
    assert_eq!(federated.client_seconds(1.0, 4e6, 2e6), 1.0 + 1.0 + 2.0);
}

#[test]
fn roles_of_reinforcement_learning_follow_the_algorithm() {
    let profile = llama(32, 4096, 32, 8, 14_336, 128_256).profile(1024);
    let step = Reinforcement {
        algorithm: Algorithm::Ppo,
        prompt_tokens: 256,
        epochs: 1,
        reward: Reward::Model { parameters: 8_030_261_248 },
        reference: true,
        engine: Engine { ranks: 1, at_once: 64, sleeps: true },
    };
    let kinds = |step: Reinforcement| step.roles(&profile, BF16).iter().map(|role| role.kind).collect::<Vec<_>>();
    use RoleKind::{Actor, Critic, Reference, Reward as Judge, Rollout};
    assert_eq!(kinds(step), [Actor, Rollout, Reference, Judge, Critic]);
    let grpo = Reinforcement { algorithm: Algorithm::Grpo, reward: Reward::Rule, reference: false, ..step };
    assert_eq!(kinds(grpo), [Actor, Rollout]);
    let rollout = grpo.roles(&profile, BF16)[1];
    // 2·2·L·k·d_h bytes per token.
    assert_eq!(rollout.cache_bytes, 2.0 * 2.0 * 32.0 * 1024.0 * 1024.0);
    assert_eq!(grpo.refit_bytes(&profile, BF16), 2.0 * 8_030_261_248.0);
    assert_eq!(grpo.answer_tokens(1024), 768);
    // Per token: generation, old probabilities 2N each, training 6N; the reference another 2N; PPO trains and asks twice.
    let forwards = |step| Method::Reinforcement(step).demand(&profile, BF16).flops(&profile) / profile.forward_flops();
    assert_eq!(forwards(grpo), 1.0 + 1.0 + 3.0);
    assert_eq!(forwards(Reinforcement { reference: true, ..grpo }), 6.0);
    assert!((forwards(step) - 11.0_f64).abs() < 1e-6);
    assert_eq!(forwards(Reinforcement { epochs: 4, ..grpo }), 1.0 + 1.0 + 12.0);
}

/// Bytes of states beside the weights: 8 for AdamW, 2 in eight bits, 4 for one moment; Muon one moment in matrices and two
/// elsewhere; Shampoo `2·(m² + n²)` factors and roots per matrix and a moment.
#[test]
fn optimizer_states_follow_the_matrices() {
    let profile = llama(4, 1024, 8, 8, 4096, 1000).profile(1);
    let parameters = profile.parameters() as f64;
    let each = |optimizer: Optimizer| optimizer.state_bytes(&profile, BF16) / parameters;
    assert_eq!(each(Optimizer::AdamW), 8.0);
    assert_eq!(each(Optimizer::AdamW8bit), 2.0);
    assert_eq!(each(Optimizer::Lion), 4.0);
    assert_eq!(each(Optimizer::Sgd), 0.0);
    assert!(each(Optimizer::Adafactor) < 0.03);
    let outside = parameters - 4.0 * (4.0 * 1024.0 * 1024.0 + 3.0 * 1024.0 * 4096.0);
    assert_eq!(Optimizer::Muon.state_bytes(&profile, BF16), 4.0 * (parameters + outside));
    let squares = 4.0 * 4.0 * 2.0 * 1024.0_f64.powi(2);
    let long = 4.0 * 3.0 * (1024.0_f64.powi(2) + 4096.0_f64.powi(2));
    assert_eq!(Optimizer::Shampoo.state_bytes(&profile, BF16), 8.0 * (squares + long) + 4.0 * parameters);
    assert_eq!(Optimizer::AdamW.step_flops(&profile), 0.0);
    assert!(Optimizer::Muon.step_flops(&profile) > 0.0);
}

/// Muon keeps one moment in the matrices of a block and two in input and output side, wherever these stand; its products
/// take `5·(4·m²·n + 2·m³)` FLOPs a matrix.
#[test]
fn optimizer_states_stand_with_their_matrices() {
    let model = Model::Transformer(llama(8, 1024, 8, 8, 4096, 32_000));
    let job = JobSpec { optimizer: Optimizer::Muon, precision: Precision::Fp32, ..job(model, 128, 8) };
    let optimizer = |layout: Layout| Memory::of(&job, &layout, 1).optimizer as f64;
    let block = 4.0 * 1024.0 * 1024.0 + 3.0 * 1024.0 * 4096.0;
    let norms = 2.0 * 1024.0;
    let vocabulary = 32_000.0 * 1024.0;
    let alone = Layout::data_parallel(1);
    let expected = 4.0 * (8.0 * (block + 2.0 * norms) + 2.0 * (2.0 * vocabulary + 1024.0));
    assert!((optimizer(alone) / expected - 1.0).abs() < 1e-6);
    // The last of four stages has two blocks and the output side, the first as many blocks and the input side.
    let stage = 4.0 * (2.0 * (block + 2.0 * norms) + 2.0 * vocabulary);
    assert!((optimizer(Layout { pipeline: 4, ..alone }) / stage - 1.0).abs() < 1e-3);
    assert!((optimizer(Layout { tensor: 2, ..alone }) / (expected / 2.0) - 1.0).abs() < 1e-6);
    let shared = Layout { sharding: Sharding::Optimizer, ..Layout::data_parallel(4) };
    assert!((optimizer(shared) / (expected / 4.0) - 1.0).abs() < 1e-6);
    // Frozen blocks have no states: the head alone is trained, a matrix that Muon leaves to AdamW.
    let head = JobSpec { method: Method::Transfer { trained_units: 1 }, ..job.clone() };
    let states = Memory::of(&head, &alone, 1).optimizer as f64;
    assert!((states / (8.0 * (vocabulary + 1024.0)) - 1.0).abs() < 1e-6);
}

#[test]
fn experts_divide_their_states_and_matrices() {
    let experts = Experts { count: 8, top_k: 2, ffn: 2048, ..Experts::default() };
    let model = Model::Transformer(Transformer { experts: Some(experts), ..llama(4, 1024, 8, 8, 4096, 32_000) });
    for optimizer in [Optimizer::AdamW, Optimizer::Muon, Optimizer::Shampoo] {
        let job = JobSpec { optimizer, precision: Precision::Fp32, ..job(model.clone(), 128, 8) };
        let states = |expert| Memory::of(&job, &Layout { expert, ..Layout::data_parallel(8) }, 1).optimizer as f64;
        let routed = 4.0 * 8.0 * 3.0 * 1024.0 * 2048.0;
        let each = match optimizer {
            Optimizer::AdamW => 8.0 * routed,
            Optimizer::Muon => 4.0 * routed,
            _ => 4.0 * routed + 8.0 * (4.0 * 8.0 * 3.0) * (1024.0_f64.powi(2) + 2048.0_f64.powi(2)),
        };
        assert!(((states(1) - states(8)) / (each * 7.0 / 8.0) - 1.0).abs() < 1e-6, "{optimizer:?}");
    }
}

/// A step of Llama 3 8B on one H100 takes Muon's products as long as their FLOPs at the rate of products.
#[test]
fn products_of_the_optimizer_take_time() {
    let model = Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256));
    let seconds = |optimizer, layout: Layout| {
        let class = class("h100-sxm5-80gb", 8, 1);
        let gpus = layout.devices();
        let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: gpus };
        let batch = Batch { micro: 1, accumulation: 1, global: layout.data };
        StepTime::of(&JobSpec { optimizer, ..job(model.clone(), 1024, layout.data) }, &class, &shape, &layout, &batch)
            .optimizer
    };
    let alone = Layout::data_parallel(1);
    let flops = Optimizer::Muon.step_flops(&model.profile(1024));
    let products = seconds(Optimizer::Muon, alone) - seconds(Optimizer::Lion, alone);
    // Two moments of the vocabulary's matrices beside.
    assert!((flops / 989e12..1.6 * flops / 989e12).contains(&products), "{products} {flops}");
    // Ranks that share states out share the products.
    let shared = Layout { sharding: Sharding::Optimizer, ..Layout::data_parallel(8) };
    assert!(seconds(Optimizer::Muon, shared) < 0.2 * seconds(Optimizer::Muon, alone));
}

#[test]
fn a_reference_costs_a_forward_pass_of_every_kernel() {
    let model = Model::Transformer(gpt(12, 768, 12, 50_304, 1024));
    let class = class("a100-sxm4-80gb", 8, 1);
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 1 };
    let batch = Batch { micro: 8, accumulation: 2, global: 16 };
    let step = |method| {
        let job = JobSpec { method, ..job(model.clone(), 1024, 16) };
        StepTime::of(&job, &class, &shape, &Layout::data_parallel(1), &batch)
    };
    let (alone, with) = (step(Method::Finetune), step(Method::Preference { adapters: None }));
    assert_eq!((alone.scoring, alone.compute), (0.0, with.compute));
    // A third of a training pass, less what the loss's way back moves.
    assert!((0.25..0.36).contains(&(with.scoring / with.compute)), "{with:?}");
    // A small model is bound by pointwise kernels and launches: products alone would be far quicker.
    let profile = model.profile(1024);
    assert!(with.scoring > 1.5 * 16.0 * profile.forward_flops() / (0.8 * 312e12), "{with:?}");
    assert!((with.total() - alone.total() - with.scoring).abs() < 1e-9);
}

fn grpo(ranks: u32, at_once: u32) -> Reinforcement {
    Reinforcement {
        algorithm: Algorithm::Grpo,
        prompt_tokens: 256,
        epochs: 1,
        reward: Reward::Rule,
        reference: false,
        engine: Engine { ranks, at_once, sleeps: false },
    }
}

#[test]
fn colocated_roles_stand_beside_the_actor() {
    let model = Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256));
    let layout = Layout { sharding: Sharding::Full, ..Layout::data_parallel(8) };
    let of = |method| Memory::of(&JobSpec { method, ..job(model.clone(), 1024, 512) }, &layout, 1);
    let plain = of(Method::Finetune);
    let actor = of(Method::Reinforcement(grpo(1, 64)));
    // The engine: 16 bits a parameter, and 2·2·L·k·d_h bytes for each of 64 answers of 1,024 tokens.
    let engine = 2.0 * 8_030_261_248.0 + 64.0 * 1024.0 * 4.0 * 32.0 * 1024.0;
    assert!((actor.rollout as f64 / engine - 1.0).abs() < 1e-9, "{actor:?}");
    assert_eq!(actor.total() - actor.rollout, plain.total());
    // Over two devices each holds half of both, since as many copies as devices allow divide the answers.
    let halves = of(Method::Reinforcement(grpo(2, 64)));
    assert!((halves.rollout as f64 / (engine / 2.0) - 1.0).abs() < 1e-9, "{halves:?}");
    // An eighth of a reference in 16 bits; twice the states with a critic.
    let reference = of(Method::Reinforcement(Reinforcement { reference: true, ..grpo(1, 64) }));
    assert!(((reference.weights - actor.weights) as f64 / (8_030_261_248.0 / 4.0) - 1.0).abs() < 1e-6);
    let critic = of(Method::Reinforcement(Reinforcement { algorithm: Algorithm::Ppo, ..grpo(1, 64) }));
    assert_eq!(critic.optimizer, 2 * plain.optimizer);
    assert_eq!(critic.activations, plain.activations);
    let engine = Engine { sleeps: true, ..grpo(1, 64).engine };
    let asleep = of(Method::Reinforcement(Reinforcement { engine, ..grpo(1, 64) }));
    let room = asleep.activations + asleep.logits + asleep.workspace + asleep.buffers;
    assert!(asleep.rollout.abs_diff(actor.rollout.saturating_sub(room)) < 8, "{asleep:?}");
}

#[test]
fn a_window_keeps_its_last_keys_alone() {
    let whole = llama(8, 1024, 8, 8, 4096, 32_000);
    let near = Transformer { window: Some(Window { size: 1024, global_every: 4 }), ..whole.clone() };
    let cache = |model: &Transformer| grpo(1, 1).cache_bytes(&model.profile(8192), BF16);
    // Six blocks of eight keep an eighth.
    assert!((cache(&near) / cache(&whole) - (2.0 + 6.0 / 8.0) / 8.0).abs() < 1e-12);
}

/// Nobody knows the matrices of a model that is known by its totals: all of it counts as square ones.
#[test]
fn totals_alone_take_the_mean_of_an_optimizer() {
    let custom = Custom { parameters: 1_000_000, flops_per_sample: 1e9, activation_bytes_per_sample: 0 };
    let profile = Model::Custom(custom).profile(1);
    for optimizer in [Optimizer::AdamW, Optimizer::Adafactor, Optimizer::Muon, Optimizer::Shampoo, Optimizer::Adagrad] {
        let mean = optimizer.moment_bytes(BF16) * 1e6;
        assert!((optimizer.state_bytes(&profile, BF16) - mean).abs() < 1.0, "{optimizer:?}");
    }
}

#[test]
fn a_step_of_reinforcement_learning_generates_scores_and_trains() {
    let model = Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256));
    let class = class("h100-sxm5-80gb", 8, 1);
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 8 };
    let layout = Layout { sharding: Sharding::Full, ..Layout::data_parallel(8) };
    let batch = Batch { micro: 8, accumulation: 8, global: 512 };
    let step =
        |method| StepTime::of(&JobSpec { method, ..job(model.clone(), 1024, 512) }, &class, &shape, &layout, &batch);
    let plain = step(Method::Finetune);
    let one = step(Method::Reinforcement(grpo(1, 1)));
    // One answer at a time reads all weights for each of 768 tokens: 16 GB less the lookup at 3.35 TB/s and less.
    let tokens = 64.0 * 768.0 * 2.0 * (8_030_261_248.0 - 128_256.0 * 4096.0) / 3.35e12;
    assert!((tokens..1.7 * tokens).contains(&one.generation), "{one:?} {tokens}");
    let many = step(Method::Reinforcement(grpo(1, 64)));
    assert!(many.generation < 0.1 * one.generation, "{many:?}");
    // Probabilities before the update: a forward pass, its gathers included.
    assert!((0.25..0.36).contains(&(one.scoring / one.compute)), "{one:?}");
    assert_eq!(many.compute, plain.compute);
    let ppo = step(Method::Reinforcement(Reinforcement { algorithm: Algorithm::Ppo, epochs: 2, ..grpo(1, 64) }));
    assert!((ppo.compute / plain.compute - 4.0).abs() < 1e-9 && ppo.generation == many.generation);
    assert!((ppo.scoring / many.scoring - 2.0).abs() < 0.05, "{ppo:?} {many:?}");
    // Placed apart, devices stand as the times do.
    let ratio = Reinforcement::balanced_ratio(&many);
    assert!((ratio * (many.total() - many.generation) / many.generation - 1.0).abs() < 1e-12);
}

#[test]
fn fp8_computes_at_its_own_peak() {
    let peak = PeakFlops { fp8: Some(1979e12), bf16: Some(989e12), ..PeakFlops::default() };
    assert_eq!(peak.at(Precision::Fp8Mixed), Some(1979e12));
    assert_eq!((Precision::Fp8Mixed.working_bytes(), Precision::Fp8Mixed.product_bytes()), (2, 1));
    assert!(Precision::Fp8Mixed.is_mixed());
    assert_eq!(PeakFlops::default().at(Precision::Fp8Mixed), None);
}

/// Device memory and step time of Llama 3 8B on one H100 under each method, in the order that their demands imply.
#[test]
fn methods_order_memory_and_time_as_they_ask() {
    let model = Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256));
    let class = class("h100-sxm5-80gb", 8, 1);
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 1 };
    let batch = Batch::cut(8, 1, 2).expect("8 divides");
    let size = |method, optimizer, precision| {
        let job = JobSpec { method, optimizer, precision, ..job(model.clone(), 1024, 8) };
        let predicted = estimate(&job, &class, &shape, &Layout::data_parallel(1), &batch).predicted;
        (predicted.device_memory_bytes, predicted.step_seconds)
    };
    let of = |method| size(method, Optimizer::AdamW, BF16);
    let full = of(Method::Finetune);
    let lora = of(Method::lora(8));
    let qlora = of(Method::qlora(8));
    let head = of(Method::Transfer { trained_units: 1 });
    let preference = of(Method::Preference { adapters: None });
    let ghost = of(Method::Private { ghost: true });
    let naive = of(Method::Private { ghost: false });
    assert!(qlora.0 < lora.0 && lora.0 < full.0, "{qlora:?} {lora:?} {full:?}");
    assert!(lora.1 < full.1, "{lora:?} {full:?}");
    assert!(head.0 < full.0 && head.1 < full.1, "{head:?} {full:?}");
    // The reference's weights, 16 bits each, and its forward pass.
    assert!(
        preference.0 as f64 > full.0 as f64 + 1.9 * 8.03e9 && preference.1 > 1.1 * full.1,
        "{preference:?} {full:?}"
    );
    assert!(naive.0 as f64 > full.0 as f64 + 2.0 * 3.9 * 8.03e9, "{naive:?} {full:?}");
    assert!(ghost.0 < naive.0 && ghost.1 > 1.2 * full.1, "{ghost:?} {naive:?} {full:?}");
    let with = |optimizer| size(Method::Finetune, optimizer, BF16).0;
    assert!(with(Optimizer::Sgd) < with(Optimizer::Lion) && with(Optimizer::Lion) < with(Optimizer::AdamW));
    assert!(with(Optimizer::AdamW) < with(Optimizer::Shampoo));
    let fp8 = size(Method::Finetune, Optimizer::AdamW, Precision::Fp8Mixed);
    assert!(fp8.1 < full.1, "{fp8:?} {full:?}");
}
