//! TrainingJob: what to train. How much it needs, and where it runs, stands in its status.

mod evidence;
mod model;
mod spec;
mod status;

pub use evidence::{Evidence, MemoryEvidence, MemoryEvidenceKind, StepEvidence};
pub use model::{Custom, HuggingFace, Model, Transformer};
pub use spec::{
    Accelerators, Batch, Checkpoint, Data, Declared, Elasticity, FailurePolicy, GlobalBatch, Lora, Method, MethodKind,
    Optimizer, Parallelism, ParallelismWord, Portable, Precision, Recompute, ResourcesPerGpu, Rightsizing,
    RightsizingMode, Sharding, TrainingJob, TrainingJobSpec,
};
pub use status::{
    Allocation, Counters, Lifecycle, LifecycleState, Observed, Predicted, Progress, Rejected, TrainingJobStatus,
    Waiting,
};
