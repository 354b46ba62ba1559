//! How much a job needs: model shape to parameters, FLOPs, memory, step time and a menu of candidates.
//!
//! Everything here is a pure function of its arguments: the same job, classes and evidence give the same [`Menu`], byte
//! for byte. [`menu()`] ranks the ways to run a job; [`estimate()`] explains one of them, part by part; [`learned`] holds
//! what running jobs have taught and turns it into corrections; [`catalogue`] knows the products on sale.
//!
//! Conventions: memory in bytes (GiB is 2^30), rates in bytes or FLOP per second, one multiply-add is 2 FLOPs, peaks are
//! dense (no sparsity), links count one direction.

mod cache;
pub mod calibration;
pub mod catalogue;
mod class;
mod communication;
pub mod critical_batch;
pub mod economy;
mod estimate;
mod flops;
mod host_memory;
mod hugging_face;
mod job;
pub mod learned;
mod memory;
mod menu;
pub mod method;
mod model;
pub mod optimum;
mod pareto;
mod precision;
pub mod preset;
pub mod profile;
mod rank;
mod rejections;
mod search;
mod step_time;

pub use plimsoll_menu::{
    Batch, Candidate, ClassName, Fit, Layout, LoadLine, Menu, Offload, Prediction, Recompute, Rejection,
    RejectionReason, Schedule, Shape, Sharding,
};

pub use cache::Cache;
pub use class::{ClassSpec, PeakFlops};
pub use estimate::{Derivation, Estimate, estimate};
pub use flops::Flops;
pub use host_memory::{HostMemory, HostProgram};
pub use hugging_face::HuggingFaceError;
pub use job::{Accepts, Current, Declared, JobSpec, Mode};
pub use learned::Evidence;
pub use memory::{Adapters, Footprint, Memory, Tuning, Verdict};
pub use menu::menu;
pub use method::{Demand, Matrices, Method, Optimizer, Resident};
pub use model::{
    Attention, Biases, Cell, Convolution, Custom, EncoderDecoder, Experts, Grid, Head, Input, Interaction,
    LatentAttention, Layer, Model, Network, NetworkError, Norm, Pool, Positions, Recommender, Recurrent, ShapeError,
    Source, Table, Transformer, Window,
};
pub use precision::Precision;
pub use profile::Profile;
pub use step_time::{AttentionKernel, Prepared, Program, Run, StepTime, together};
