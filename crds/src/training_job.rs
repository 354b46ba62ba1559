//! TrainingJob: what to train. How much it needs, and where it runs, stands in its status.

mod accelerators;
mod checkpoint;
mod evidence;
mod method;
mod model;
mod optimality;
mod parallelism;
mod placing;
mod spec;
mod status;

pub use accelerators::{Accelerators, ResourcesPerGpu};
pub use checkpoint::{Checkpoint, Portable};
pub use evidence::{Evidence, MemoryEvidence, MemoryEvidenceKind, StepEvidence};
pub use method::{Algorithm, Clipping, Engine, Lora, Matrices, Method, MethodKind, Private, Reinforcement, Transfer};
pub use model::{
    Cell, Custom, EncoderDecoder, Experts, Head, HuggingFace, Interaction, LatentAttention, MixtureOfExperts, Model,
    Positions, Recommender, Recurrent, Spectrogram, Stack, Table, Transformer, Variant, Window,
};
pub use optimality::{ComputeOptimality, Inference, OptimalityVerdict};
pub use parallelism::{Declared, Degrees, Offload, Parallelism, ParallelismWord, Recompute, Schedule, Sharding};
pub use placing::{Objective, Topology};
pub use spec::{
    Batch, Data, Elasticity, FailurePolicy, GlobalBatch, Optimizer, Precision, Rightsizing, RightsizingMode,
    TrainingJob, TrainingJobSpec,
};
pub use status::{
    Allocation, Counters, FitsNow, HostMemory, Lifecycle, LifecycleState, Observed, Predicted, Progress, Rejected,
    StartEstimate, TrainingJobStatus, Waiting,
};
