//! Kubernetes objects to a scheduling Snapshot, without a client.
//!
//! Everything here is a pure function of the objects that it is given and of `now`: the operator, the command line and
//! the tests build the same [`Snapshot`](plimsoll_scheduling::Snapshot) from the same objects.
//!
//! - [`template`] reads a job's raw pod template once; [`needs`] says what such a pod asks of a node.
//! - [`nodes`] says which class each node is of, whether it is open, and what others hold of it.
//! - [`snapshot()`] puts classes, nodes, queues, ResourceQuotas and jobs together; a [`Follower`] keeps that up to date.
//! - [`window`] says how busy a job's devices were; [`evidence`] carries what was learned between the API and sizing.
//! - [`optimality`] says whether a job's parameters and data fit each other.
//! - [`quantity`] and [`requests`] count as the kube-scheduler counts.

mod allocation;
mod counted;
pub mod evidence;
mod follower;
pub mod host_memory;
mod namespace_quotas;
pub mod needs;
pub mod nodes;
pub mod optimality;
pub mod period;
mod portable;
pub mod quantity;
mod queues;
pub mod requests;
pub mod size;
mod snapshot;
pub mod template;
pub mod window;

pub use allocation::{current, degrees, pod_name, revision_name};
pub use follower::Follower;
pub use portable::reachable;
pub use queues::{admits_priority_class, spent};
pub use snapshot::{Objects, Planned, Settings, class_resources, snapshot};
pub use template::{TemplateError, TemplateView};
pub use window::{Coverage, WindowRules, coverage};
