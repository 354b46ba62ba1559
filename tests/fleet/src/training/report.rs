//! What a program says of itself. Pure.

use plimsoll_protocol::{CheckpointDone, Metric, Report, TrainerStatus, TrainingReport};

use super::simulation::Simulation;
use crate::truth::hash;

/// The report of a program as it stands.
pub(super) fn report(revision: u32, simulation: &Simulation, checkpoint: Option<&CheckpointDone>) -> Report {
    let (step, total) = (simulation.step(), simulation.total());
    let (run, outcome) = (simulation.run(), simulation.outcome());
    let samples = u64::from(run.micro_batch) * u64::from(run.accumulation) * u64::from(run.data);
    // What is measured wanders a little.
    let jitter = (hash(step, &["step"]) % 2001) as f64 / 1000.0 - 1.0;
    let loss = 1.5 + 4.0 * (step as f64 + 10.0).powf(-0.3) * (1.0 + 0.01 * jitter);
    Report {
        trainer_status: Some(TrainerStatus {
            progress_percentage: i32::try_from(step * 100 / total).ok(),
            estimated_remaining_seconds: Some(simulation.remaining_seconds() as i64),
            metrics: vec![Metric { name: "loss".to_owned(), value: format!("{loss:.4}") }],
            last_updated_time: None,
        }),
        plimsoll: Some(TrainingReport {
            version: 1,
            revision,
            step: Some(step),
            total_steps: Some(total),
            tokens: None,
            samples: Some(step * samples),
            step_seconds: (step > 0).then_some(outcome.step_seconds * (1.0 + 0.01 * jitter)),
            micro_batch: Some(run.micro_batch),
            accumulation: Some(run.accumulation),
            peak_memory_bytes: Some(outcome.allocated_bytes),
            loss: Some(loss),
            checkpoint: checkpoint.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::{Run, Truth};

    #[test]
    fn a_report_tells_the_true_time_of_a_step_and_the_peak_at_this_batch() {
        let truth = Truth::built_in(0).unwrap().job("live", "ns/a").unwrap();
        let run = Run {
            product: "NVIDIA-H100-80GB-HBM3".into(),
            gpus_per_pod: vec![4],
            micro_batch: 8,
            accumulation: 32,
            data: 4,
            tensor: 1,
            sharding: "None".into(),
            recompute: "None".into(),
        };
        let mut simulation = Simulation::new(truth, run, 60.0, 0, 100, false);
        simulation.advance(std::time::Duration::from_millis(500));
        let said = report(3, &simulation, None).plimsoll.unwrap();
        assert_eq!((said.revision, said.total_steps, said.micro_batch), (3, Some(100), Some(8)));
        let true_seconds = simulation.outcome().step_seconds;
        assert!((said.step_seconds.unwrap() / true_seconds - 1.0).abs() <= 0.01);
        assert_eq!(said.samples, said.step.map(|step| step * 1024));
        assert_eq!(said.peak_memory_bytes, Some(simulation.outcome().allocated_bytes));
    }
}
