//! Names of the environment variables that every training container gets.

/// Samples that one data-parallel rank computes at once.
pub const MICRO_BATCH: &str = "PLIMSOLL_MICRO_BATCH";
/// Micro-batches whose gradients are summed before an optimizer step.
pub const GRADIENT_ACCUMULATION_STEPS: &str = "PLIMSOLL_GRADIENT_ACCUMULATION_STEPS";
/// Samples in one optimizer step over all ranks.
pub const GLOBAL_BATCH: &str = "PLIMSOLL_GLOBAL_BATCH";
/// Data-parallel ranks.
pub const DP: &str = "PLIMSOLL_DP";
/// Tensor-parallel ranks.
pub const TP: &str = "PLIMSOLL_TP";
/// Pipeline stages.
pub const PP: &str = "PLIMSOLL_PP";
/// Context-parallel ranks.
pub const CP: &str = "PLIMSOLL_CP";
/// Expert-parallel ranks.
pub const EP: &str = "PLIMSOLL_EP";
/// What the data-parallel ranks share out: None, Optimizer, Gradients or Full.
pub const SHARDING: &str = "PLIMSOLL_SHARDING";
/// What is computed again in the backward pass: None, Selective or Full.
pub const RECOMPUTE: &str = "PLIMSOLL_RECOMPUTE";
/// Whether tensor-parallel ranks share out the sequence between their products too: true or false.
pub const SEQUENCE_PARALLEL: &str = "PLIMSOLL_SEQUENCE_PARALLEL";
/// The order of a pipeline's work: OneForwardOneBackward, GPipe or ZeroBubble.
pub const PIPELINE_SCHEDULE: &str = "PLIMSOLL_PIPELINE_SCHEDULE";
/// Pieces of the model on each pipeline stage.
pub const VIRTUAL_STAGES: &str = "PLIMSOLL_VIRTUAL_STAGES";
/// Data-parallel ranks that share states out among themselves; 1 where nothing is shared out.
pub const SHARD_GROUP: &str = "PLIMSOLL_SHARD_GROUP";
/// What waits in host memory: None, Optimizer or All.
pub const OFFLOAD: &str = "PLIMSOLL_OFFLOAD";
/// The revision of the allocation, from 1.
pub const REVISION: &str = "PLIMSOLL_REVISION";
/// Where this revision writes its checkpoints.
pub const CHECKPOINT_DIR: &str = "PLIMSOLL_CHECKPOINT_DIR";
/// The predecessor's checkpoint folder; empty at the first start.
pub const RESUME_DIR: &str = "PLIMSOLL_RESUME_DIR";
/// Where reports go; the same as [`SERVER_URL`].
pub const URL: &str = "PLIMSOLL_URL";
/// Where reports go (Kubeflow's name, which Hugging Face's callback reads).
pub const SERVER_URL: &str = "KUBEFLOW_TRAINER_SERVER_URL";
/// File with the bearer token for reports (Kubeflow's name).
pub const SERVER_TOKEN: &str = "KUBEFLOW_TRAINER_SERVER_TOKEN";
/// File with the certificate authority of the report endpoint (Kubeflow's name).
pub const SERVER_CA_CERT: &str = "KUBEFLOW_TRAINER_SERVER_CA_CERT";
