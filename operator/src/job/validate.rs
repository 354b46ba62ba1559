//! Step 2: from the specification to checked values, once. Pure.

use std::collections::BTreeSet;

use plimsoll_crds::TrainingJobSpec;
use plimsoll_crds::training_job::Topology;
use plimsoll_lifecycle::{Checkpoint, Policy};
use plimsoll_observe::size::{SpecError, job_spec};
use plimsoll_observe::{TemplateError, TemplateView};
use plimsoll_sizing::JobSpec;

use super::memory::natural;
use crate::config::{Config, Planner};

/// Why a job cannot be run, in one sentence that names the field.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// Its model, data, batch or limits make no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No pod can be built from its template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A level of the topology that the cluster does not have.
    #[error("spec.topology.{field} is {level}, which is no level of this cluster; it has {known}")]
    Topology {
        /// Which of the two.
        field: &'static str,
        /// What it says.
        level: String,
        /// What it may say.
        known: String,
    },
}

/// A specification, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// What sizing sees.
    pub spec: JobSpec,
    /// The pod template, read.
    pub template: TemplateView,
    /// How patient the job is.
    pub policy: Policy,
    /// Optimizer steps in all, as the specification has it.
    pub total_steps: Option<u64>,
}

/// Checks a specification.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(
    spec: &TrainingJobSpec,
    resources: &BTreeSet<String>,
    config: &Config,
) -> Result<Validated, ValidateError> {
    let template = TemplateView::parse(spec, resources)?;
    let sized = job_spec(spec)?;
    topology(spec, &config.planner)?;
    let grace = template.pod.termination_grace_period_seconds;
    Ok(Validated { spec: sized, policy: policy(spec, grace, config), total_steps: total_steps(spec), template })
}

/// Whether the cluster has the levels that a job asks for.
fn topology(spec: &TrainingJobSpec, planner: &Planner) -> Result<(), ValidateError> {
    let Some(Topology { required, preferred }) = &spec.topology else { return Ok(()) };
    for (field, level) in [("required", required), ("preferred", preferred)] {
        if let Some(level) = level.as_ref().filter(|level| !planner.knows_level(level)) {
            let known = planner.levels().collect::<Vec<_>>().join(", ");
            return Err(ValidateError::Topology { field, level: level.clone(), known });
        }
    }
    Ok(())
}

/// How patient a job is: the cluster's part and its own.
pub fn policy(spec: &TrainingJobSpec, template_grace: Option<i64>, config: &Config) -> Policy {
    let checkpoint = match &spec.checkpoint {
        Some(c) if c.on_request => Checkpoint::OnRequest { seconds: natural(c.seconds).into() },
        Some(c) if c.on_signal => Checkpoint::OnSignal { seconds: natural(c.seconds).into() },
        _ => Checkpoint::None,
    };
    Policy {
        max_failures: natural(spec.failure_policy.clone().unwrap_or_default().max_failures),
        checkpoint,
        template_grace_seconds: template_grace.and_then(|s| u64::try_from(s).ok()).unwrap_or(30),
        ..config.policy()
    }
}

/// Seconds that a restart costs: writing a checkpoint, starting again, and what is trained twice.
pub fn restart_seconds(spec: &TrainingJobSpec, config: &Config) -> f64 {
    let start = f64::from(config.moves.restart_seconds);
    match &spec.checkpoint {
        Some(c) if c.on_request || c.on_signal => start + f64::from(natural(c.seconds)),
        Some(c) => start + f64::from(natural(c.interval_seconds)) / 2.0,
        None => start,
    }
}

fn total_steps(spec: &TrainingJobSpec) -> Option<u64> {
    let samples = match (spec.data.samples, spec.data.tokens, spec.data.sequence_length) {
        (Some(samples), ..) => u64::try_from(samples).ok()?,
        (None, Some(tokens), Some(length)) => u64::try_from(tokens).ok()?.checked_div(u64::try_from(length).ok()?)?,
        _ => return None,
    };
    let epochs = u64::from(natural(spec.data.epochs));
    Some(samples.checked_mul(epochs)?.div_ceil(u64::from(natural(spec.batch.global.preferred).max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_the_cluster_does_not_have_is_named_with_those_that_it_has() {
        let mut spec = crate::fixtures::job(None).spec.clone();
        let asks = |level: &str| Some(Topology { required: Some(level.into()), preferred: None });
        spec.topology = asks("kubernetes.io/hostname");
        assert!(validate(&spec, &BTreeSet::new(), &Config::default()).is_ok());
        spec.topology = asks("rack");
        let error = validate(&spec, &BTreeSet::new(), &Config::default()).unwrap_err();
        let expected = "spec.topology.required is rack, which is no level of this cluster; it has \
            topology.kubernetes.io/zone, kubernetes.io/hostname";
        assert_eq!(error.to_string(), expected);
    }
}
