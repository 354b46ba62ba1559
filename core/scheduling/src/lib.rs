//! Who runs where, now: from a [`Snapshot`] of the cluster to a [`Plan`].
//!
//! ```text
//! Snapshot ─▶ books: what is held, now and later
//!          ─▶ moves within what jobs hold (shrinks, live changes): what they give back is promised below
//!          ─▶ starts, in turn: priority, arrival, UID; what a waiting job's wait ends with is kept for it
//!          ─▶ moves anywhere, with what nobody waits for
//!          ─▶ one reason, with numbers, for everyone who waits ─▶ Plan
//! ```
//!
//! [`plan`] is pure: the same snapshot and time give the same plan, whatever the order of the snapshot's lists.
//! [`check`](check::check) proves a plan lawful with accounting of its own.

mod admits;
mod amounts;
mod books;
pub mod check;
mod cluster;
mod cycle;
pub mod elastic;
mod gain;
mod moves;
mod namespace_quota;
mod options;
mod placement;
mod plan;
mod reason;
mod snapshot;
mod start;
mod words;

pub use cycle::plan;
pub use namespace_quota::over_counted;
pub use plan::{Action, Cause, Decision, Plan, Reservation, StartEstimate, WaitNumbers, Worth};
pub use reason::Reason;
pub use snapshot::{
    Allocation, Budget, BudgetUnit, Class, Counted, Elasticity, Event, Job, JobKey, Keyed, Mode, MoveRules,
    NamespaceQuota, Node, NodeExpression, Objective, PodNeeds, Preemption, Queue, QuotaLimit, Reclaims, Resources,
    Rules, Saved, Share, Snapshot, Standing, Table, Taint, Takes, Target, Toleration, TopologyAsk, Version,
};
