//! The online model of a job's step time, and what it makes of a batch whose noise scale is known (`critical_batch`).
//!
//! [`Throughput::fit`] starts from a [`Prior`] (the size model's compute, the bytes of the gradients, and what other jobs on
//! the class have in common) and refits from every [`Observation`]. After few observations it is mostly prior where nothing
//! was seen: only steps on one node seen, the network is what [`ClassHabits`] say; only two nodes seen, three and more take
//! what their ratio has been for others; one local batch seen, floor and slope keep their predicted ratio. Each
//! [`ExpectedStep`] says by its spread how much of that it rests on.

mod fit;
mod goodput;
mod parameters;
mod placement;
mod prior;
mod roughness;

pub use fit::{ExpectedStep, Observation, Throughput};
pub use goodput::{BatchLimits, Cut, efficiency};
pub use parameters::Parameters;
pub use placement::Placement;
pub use prior::{ClassHabits, PredictedCompute, Prior};
