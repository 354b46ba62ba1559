//! TrainingJob: what to train. How much it needs, and where it runs, stands in its status.

mod accelerators;
mod checkpoint;
mod evidence;
mod model;
mod parallelism;
mod spec;
mod status;

pub use accelerators::{Accelerators, ResourcesPerGpu};
pub use checkpoint::{Checkpoint, Portable};
pub use evidence::{Evidence, MemoryEvidence, MemoryEvidenceKind, StepEvidence};
pub use model::{Custom, HuggingFace, Model, Transformer};
pub use parallelism::{Declared, Degrees, Offload, Parallelism, ParallelismWord, Recompute, Schedule, Sharding};
pub use spec::{
    Batch, Data, Elasticity, FailurePolicy, GlobalBatch, Lora, Method, MethodKind, Optimizer, Precision, Rightsizing,
    RightsizingMode, TrainingJob, TrainingJobSpec,
};
pub use status::{
    Allocation, Counters, HostMemory, Lifecycle, LifecycleState, Observed, Predicted, Progress, Rejected,
    TrainingJobStatus, Waiting,
};
