//! Who runs where, now: from a [`Snapshot`] of the cluster to a [`Plan`].

mod plan;
mod reason;
mod snapshot;

pub use plan::{Action, Cause, Decision, Plan, WaitNumbers};
pub use reason::Reason;
pub use snapshot::{
    Allocation, Class, Elasticity, Job, JobKey, Mode, MoveRules, Node, NodeExpression, PodNeeds, Queue, Resources,
    Snapshot, Standing, Taint, Target, Toleration,
};
