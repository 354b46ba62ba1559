//! Who runs where, now: from a [`Snapshot`] of the cluster to a [`Plan`].
//!
//! ```text
//! Snapshot ─▶ books: what is held, now and later
//!          ─▶ sizes: what each job should have, all of them together, once a round
//!          ─▶ moves within what jobs hold (shrinks, live changes): what they give back is promised below
//!          ─▶ turns, by fair share of the queues: starts; what is coming, taken back or predicted to end is kept
//!          ─▶ consolidation: scattered room becomes one piece for somebody who waits
//!          ─▶ moves anywhere, with what nobody waits for
//!          ─▶ one reason, with numbers, for everyone who waits ─▶ Plan
//! ```
//!
//! [`plan`] is pure: the same snapshot and time give the same plan, whatever the order of the snapshot's lists.
//! [`check`](check::check) proves a plan lawful with accounting of its own.

mod admits;
mod amounts;
mod backfill;
mod books;
pub mod check;
mod cluster;
mod consolidation;
mod cycle;
pub mod elastic;
mod estimate;
mod explain;
mod gain;
mod kinds;
mod moves;
mod namespace_quota;
mod options;
mod order;
mod placement;
mod plan;
mod preempt;
mod quota;
mod reason;
mod sizes;
mod snapshot;
mod start;
mod waiter;
mod words;

pub use cycle::plan;
pub use elastic::{JobHour, Objective};
pub use namespace_quota::over_counted;
pub use placement::consolidate::{Consolidation, Relocation, consolidate};
pub use placement::fragmentation;
pub use plan::{Action, Cause, Decision, Plan, Reservation, StartEstimate, WaitNumbers};
pub use quota::{QueueFault, queue_faults};
pub use reason::Reason;
pub use snapshot::{
    Allocation, Budget, BudgetUnit, Class, Counted, Elasticity, Event, Job, JobKey, Keyed, Mode, MoveRules,
    NamespaceQuota, Node, NodeExpression, PodNeeds, Preemption, Queue, QuotaLimit, Reclaims, Resources, Rules, Saved,
    Share, Size, Sizes, Snapshot, Standing, Table, Taint, Takes, Target, Toleration, TopologyAsk, Version, Worth,
};
