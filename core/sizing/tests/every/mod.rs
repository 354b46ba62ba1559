//! Every family, method, optimizer, precision and layout, for laws that hold of all of them.
#![allow(dead_code)]

use std::fmt;
use std::sync::LazyLock;

use plimsoll_sizing::method::reinforcement::{Algorithm, Engine, Reinforcement, Reward};
use plimsoll_sizing::preset::{preset, torchvision};
use plimsoll_sizing::{
    AttentionKernel, Batch, Cell, ClassSpec, Custom, Experts, JobSpec, Layout, Matrices, Method, Model, Offload,
    Optimizer, Precision, Prepared, Program, Recommender, Recompute, Recurrent, Run, Schedule, Shape, Sharding,
    StepTime, Transformer, Tuning, Window, calibration::Calibration,
};
use proptest::prelude::*;

use crate::common::{class, gpt, job, llama, resnet50};

/// A model of each family, and the tokens of a sample.
static FAMILIES: LazyLock<Vec<(Model, u32)>> = LazyLock::new(|| {
    let small = || llama(16, 2048, 32, 8, 8192, 128_256);
    let mixture = Experts { count: 8, top_k: 2, ffn: 2048, shared_ffn: 1024, first_dense: 1, ..Experts::default() };
    let preset = |name: &str| preset(name).expect("a preset").model;
    let image = |name: &str| Model::Network(torchvision(name, 224).expect("a network"));
    vec![
        (Model::Transformer(gpt(12, 768, 12, 50_304, 1024)), 1024),
        (Model::Transformer(small()), 4096),
        (Model::Transformer(Transformer { window: Some(Window { size: 512, global_every: 4 }), ..small() }), 4096),
        (Model::Transformer(Transformer { experts: Some(mixture), ..small() }), 2048),
        (preset("deepseek-v2-lite"), 2048),
        (preset("bert-base"), 512),
        (preset("t5-small"), 512),
        (preset("whisper-tiny"), 448),
        (image("resnet50"), 1),
        (image("vit_b_16"), 1),
        (preset("dit-s-2"), 1),
        (Model::Recurrent(lstm()), 35),
        (preset("dlrm-criteo-terabyte"), 1),
        (preset("ncf-movielens-20m"), 1),
        (Model::Recommender(Recommender::perceptron(784, vec![512, 512, 10])), 1),
        (resnet50(), 1),
        (
            Model::Custom(Custom {
                parameters: 1_000_000_000,
                flops_per_sample: 1e12,
                activation_bytes_per_sample: 1 << 28,
            }),
            1,
        ),
    ]
});

fn lstm() -> Recurrent {
    Recurrent {
        cell: Cell::Lstm,
        vocabulary: 33_278,
        inputs: 650,
        hidden: 650,
        layers: 2,
        bidirectional: false,
        projection: None,
        outputs: 33_278,
        tied: true,
        every_step: true,
    }
}

fn families() -> impl Strategy<Value = (Model, u32)> {
    (0..FAMILIES.len()).prop_map(|at| FAMILIES[at].clone())
}

/// Every method; adapters of some rank on some matrices.
pub fn methods() -> impl Strategy<Value = Method> {
    let matrices = prop::sample::select(vec![Matrices::QueryValue, Matrices::Attention, Matrices::AllLinear]);
    let plain = (matrices, 1_u32..=64, 0_usize..9).prop_map(|(matrices, rank, which)| match which {
        0 => Method::Pretrain,
        1 => Method::Finetune,
        2 => Method::Transfer { trained_units: rank },
        3 => Method::Lora { rank, matrices },
        4 => Method::Qlora { rank, matrices },
        5 => Method::Preference { adapters: None },
        6 => Method::Preference { adapters: Some((rank, matrices)) },
        _ => Method::Private { ghost: rank % 2 == 0 },
    });
    prop_oneof![3 => plain, 1 => reinforcements().prop_map(Method::Reinforcement)]
}

/// Every kind of reinforcement learning.
pub fn reinforcements() -> impl Strategy<Value = Reinforcement> {
    let reward =
        prop_oneof![Just(Reward::Rule), (1_u64 << 20..1 << 33).prop_map(|parameters| Reward::Model { parameters })];
    let engine = (0_u32..4, 1_u32..=512, any::<bool>()).prop_map(|(ranks, at_once, sleeps)| Engine {
        ranks: 1 << ranks,
        at_once,
        sleeps,
    });
    (any::<bool>(), 1_u32..2048, 1_u32..=4, reward, any::<bool>(), engine).prop_map(
        |(ppo, prompt_tokens, epochs, reward, reference, engine)| Reinforcement {
            algorithm: if ppo { Algorithm::Ppo } else { Algorithm::Grpo },
            prompt_tokens,
            epochs,
            reward,
            reference,
            engine,
        },
    )
}

/// Every optimizer.
pub fn optimizers() -> impl Strategy<Value = Optimizer> {
    prop::sample::select(vec![
        Optimizer::AdamW,
        Optimizer::AdamW8bit,
        Optimizer::Adafactor,
        Optimizer::Sgd,
        Optimizer::SgdMomentum,
        Optimizer::Lion,
        Optimizer::Muon,
        Optimizer::Shampoo,
        Optimizer::Adagrad,
    ])
}

/// Every precision that an H100 computes.
fn precisions() -> impl Strategy<Value = Precision> {
    prop::sample::select(vec![
        Precision::Fp32,
        Precision::Tf32,
        Precision::Fp16Mixed,
        Precision::Bf16Mixed,
        Precision::Bf16,
        Precision::Fp8Mixed,
    ])
}

/// Every layout: data ranks with every sharding and group, tensor ranks with and without sequence, stages with each
/// schedule, context and expert ranks, recomputation, offload.
pub fn layouts() -> impl Strategy<Value = Layout> {
    let degree = || prop::sample::select(vec![1_u32, 2, 4, 8]);
    let sharding = prop::sample::select(vec![Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full]);
    let recompute = prop::sample::select(vec![Recompute::None, Recompute::Selective, Recompute::Full]);
    let schedule = prop::sample::select(vec![Schedule::OneForwardOneBackward, Schedule::GPipe, Schedule::ZeroBubble]);
    let offload = prop::sample::select(vec![Offload::None, Offload::Optimizer, Offload::All]);
    let degrees = (degree(), degree(), degree(), degree(), 0_u32..3, 0_u32..3, 0_u32..3);
    (degrees, sharding, recompute, schedule, offload, any::<bool>()).prop_map(
        |(degrees, sharding, recompute, schedule, offload, sequence_parallel)| {
            let (data, tensor, pipeline, context, extra_stages, expert, group) = degrees;
            Layout {
                tensor,
                pipeline,
                context,
                expert: data.min(1 << expert),
                recompute,
                schedule,
                extra_stages,
                sequence_parallel,
                sharding,
                shard_group: if group == 0 { 0 } else { data.min(1 << group) },
                offload,
                ..Layout::data_parallel(data)
            }
        },
    )
}

/// Every program.
pub fn programs() -> impl Strategy<Value = (Program, Tuning)> {
    let attention =
        prop::sample::select(vec![AttentionKernel::Fused, AttentionKernel::Native, AttentionKernel::Stored]);
    let input = prop::option::weighted(0.2, 1.0_f64..1e4);
    (attention, any::<[bool; 7]>(), input).prop_map(|(attention, flags, input_samples_per_second)| {
        let [compiled, asynchronous_tensor, gathers_tensors, sums_halves, operators, fused_loss, keeps_gathered] =
            flags;
        let program = Program {
            attention,
            compiled,
            asynchronous_tensor,
            gathers_tensors,
            sums_halves,
            recomputes_operators: operators,
            input_samples_per_second,
        };
        (program, Tuning { fused_loss, keeps_gathered, ..Tuning::default() })
    })
}

/// One way to run a job, owned.
#[derive(Clone)]
pub struct Way {
    pub job: JobSpec,
    pub class: ClassSpec,
    pub shape: Shape,
    pub layout: Layout,
    pub batch: Batch,
    pub program: Program,
    pub tuning: Tuning,
}

/// Every way to run any job.
pub fn ways() -> impl Strategy<Value = Way> {
    let name = prop::sample::select(vec!["h100-sxm5-80gb", "l40s", "h200-sxm5-141gb"]);
    let what = (families(), methods(), optimizers(), precisions());
    (what, layouts(), programs(), name, 1_u32..=16, 1_u32..=8).prop_map(
        |((model, method, optimizer, precision), layout, (program, tuning), name, micro, accumulation)| {
            let class = class(name, 8, 1024);
            let (model, sequence) = model;
            let global = micro * accumulation * layout.data;
            Way {
                job: JobSpec { precision, method, optimizer, ..job(model, sequence, global) },
                shape: shape(&class, &layout),
                class,
                layout,
                batch: Batch { micro, accumulation, global },
                program,
                tuning,
            }
        },
    )
}

fn shape(class: &ClassSpec, layout: &Layout) -> Shape {
    let gpus = layout.devices();
    let per_pod = gpus.min(8);
    Shape { class: class.name.clone(), pods: gpus.div_ceil(per_pod), gpus_per_pod: per_pod }
}

impl fmt::Debug for Way {
    /// Without the layers of its model: a network has hundreds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, class, layout, batch, program, tuning, .. } = self;
        let JobSpec { precision, optimizer, method, sequence_length, .. } = job;
        write!(
            f,
            "{} parameters, {sequence_length} tokens, {precision:?} {optimizer:?} {method:?} ",
            job.model.parameters()
        )?;
        write!(f, "on {:?} {layout:?} {batch:?} {program:?} {tuning:?}", class.name)
    }
}

impl Way {
    /// Its step.
    pub fn step(&self) -> StepTime {
        let Self { job, class, shape, layout, batch, program, .. } = self;
        let run = Run { job, class, shape, layout, batch };
        Prepared::new(&job.model.profile(job.sequence_length), run, *program).step_time(&Calibration::published().time)
    }

    /// Seconds of its step.
    pub fn seconds(&self) -> f64 {
        self.step().total()
    }

    /// The same with another cut of a batch that follows.
    pub fn cut(&self, micro: u32, accumulation: u32) -> Self {
        let global = micro * accumulation * self.layout.data;
        let job = JobSpec { global_batch: global, ..self.job.clone() };
        Self { job, batch: Batch { micro, accumulation, global }, ..self.clone() }
    }

    /// The same on another layout of other devices.
    pub fn on(&self, layout: Layout) -> Self {
        Self { layout, shape: shape(&self.class, &layout), ..self.clone() }
    }
}
