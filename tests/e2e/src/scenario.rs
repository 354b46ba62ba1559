//! A scenario: one job, what happens to it, and what must be seen of it.

mod play;
mod sight;

use serde_json::Value;

pub use play::Play;
pub use sight::Sight;

/// One job and what happens to it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, and that of its namespace and its job.
    pub name: &'static str,
    /// What is applied, in this order; the job among it.
    pub manifests: Vec<Value>,
    /// What is done and what must be seen, in order.
    pub steps: Vec<Step>,
}

/// One step of a scenario.
#[derive(Clone, Debug)]
pub enum Step {
    /// The job's status comes to say this.
    See(Sight),
    /// `kubectl ARGUMENTS` in the scenario's namespace, one argument per word.
    Kubectl(&'static str),
    /// `kubectl ARGUMENTS` prints something that this holds of.
    Prints(&'static str, fn(&str) -> bool),
    /// The kubelet of the real node is stopped. Its containers run on.
    StopKubelet,
    /// It is started again.
    StartKubelet,
}
