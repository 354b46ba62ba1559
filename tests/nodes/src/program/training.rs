//! How far a training is, and what it does to its devices. Reads no clock and waits for nothing.

use std::time::Duration;

use plimsoll_protocol::{CheckpointDone, Report, TerminationMessage, TrainerStatus, TrainingReport};

use super::checkpoints::Checkpoint;
use super::settings::Settings;
use crate::node::Load;
use crate::truth::{self, JobTruth, Outcome, Run, Truth};

/// Device memory that a process needs before it computes anything.
const CONTEXT_BYTES: u64 = 500 << 20;

/// The load of a device whose program waits for something that is not a device.
pub(super) const WAITING: Load = Load { busy: 0.0, sm: 0.0, memory_bytes: CONTEXT_BYTES };

/// The load of a device whose program waits for ranks that are gone: the collective spins.
pub(super) const HANGING: Load = Load { busy: 1.0, sm: 0.02, memory_bytes: CONTEXT_BYTES };

/// A training program in its loop.
#[derive(Debug)]
pub(super) struct Training {
    pub settings: Settings,
    /// Product and device counts of its pods, and its job: what the truth depends on besides the settings.
    place: Place,
    outcome: Outcome,
    total_steps: u64,
    /// Steps done, with the part of the running one.
    steps: f64,
    samples: f64,
    pub newest: Option<CheckpointDone>,
}

/// Where a program runs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Namespace and name of its job.
    pub job: String,
    /// Product of its devices.
    pub product: String,
    /// Devices of each of its pods.
    pub gpus_per_pod: Vec<u32>,
}

impl Training {
    /// Begins at a checkpoint. None when the truth knows nothing of the profile.
    pub(super) fn begin(truth: &Truth, settings: Settings, place: Place, from: Checkpoint) -> Option<Self> {
        let job = truth.job(&settings.profile, &place.job)?;
        let outcome = run(&job, &settings, &place);
        let total_steps = job.total_steps();
        let (steps, samples) = (from.step as f64, from.samples as f64);
        Some(Self { settings, place, outcome, total_steps, steps, samples, newest: None })
    }

    /// Whether a device holds what the program needs.
    pub(super) fn fits(&self) -> bool {
        self.outcome.memory_bytes <= truth::usable_bytes(&self.place.product)
    }

    /// The last word of a program that does not fit.
    pub(super) fn out_of_memory(&self) -> String {
        let message = TerminationMessage {
            reason: TerminationMessage::OUT_OF_MEMORY.to_owned(),
            peak_memory_bytes: Some(self.outcome.memory_bytes.saturating_sub(self.outcome.context_bytes)),
        };
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// Trains for some time.
    pub(super) fn advance(&mut self, time: Duration, scale: f64) {
        let left = self.total_steps as f64 - self.steps;
        let steps = (time.as_secs_f64() * scale / self.outcome.step_seconds).min(left).max(0.0);
        self.steps += steps;
        self.samples += steps * f64::from(self.settings.global_batch);
    }

    /// How long it trains still.
    pub(super) fn left(&self, scale: f64) -> Duration {
        let steps = (self.total_steps as f64 - self.steps).max(0.0);
        Duration::try_from_secs_f64(steps * self.outcome.step_seconds / scale).unwrap_or(Duration::MAX)
    }

    pub(super) fn is_done(&self) -> bool {
        // The sum of many parts of steps may miss the whole by a hair.
        self.steps + 1e-6 >= self.total_steps as f64
    }

    /// Steps that are whole.
    pub(super) fn step(&self) -> u64 {
        (self.steps + 1e-6) as u64
    }

    /// Uses another batch from the next step on. Says whether it is another one.
    pub(super) fn change_batch(&mut self, truth: &Truth, micro_batch: u32, accumulation: u32) -> bool {
        let same = (self.settings.micro_batch, self.settings.accumulation) == (micro_batch, accumulation);
        if same || micro_batch == 0 || accumulation == 0 {
            return false;
        }
        self.settings.micro_batch = micro_batch;
        self.settings.accumulation = accumulation;
        if let Some(job) = truth.job(&self.settings.profile, &self.place.job) {
            self.outcome = run(&job, &self.settings, &self.place);
        }
        true
    }

    /// What a checkpoint that is written now holds: whole steps.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let part = (self.steps - self.step() as f64).max(0.0) * f64::from(self.settings.global_batch);
        Checkpoint { step: self.step(), samples: (self.samples - part) as u64 }
    }

    /// Whether there is a checkpoint of this very step.
    pub(super) fn is_saved(&self) -> bool {
        self.newest.as_ref().is_some_and(|done| done.step == self.step())
    }

    /// What its devices do while it computes.
    pub(super) fn load(&self) -> Load {
        let usable = truth::usable_bytes(&self.place.product);
        Load { busy: 0.99, sm: self.outcome.sm_activity, memory_bytes: self.outcome.memory_bytes.min(usable) }
    }

    /// What it reports.
    pub(super) fn report(&self) -> Report {
        let percent = (self.steps / self.total_steps.max(1) as f64 * 100.0) as i32;
        let report = TrainingReport {
            version: 1,
            revision: self.settings.revision,
            step: Some(self.step()),
            total_steps: Some(self.total_steps),
            samples: Some(self.samples as u64),
            step_seconds: Some(self.outcome.step_seconds),
            micro_batch: Some(self.settings.micro_batch),
            accumulation: Some(self.settings.accumulation),
            peak_memory_bytes: Some(self.outcome.memory_bytes.saturating_sub(self.outcome.context_bytes)),
            // A curve as one sees it: steep, then flat.
            loss: Some(1.5 + 9.0 * (1.0 + self.steps).powf(-0.35)),
            checkpoint: self.newest.clone(),
            ..TrainingReport::default()
        };
        let status = TrainerStatus {
            progress_percentage: Some(percent.clamp(0, 100)),
            estimated_remaining_seconds: i64::try_from(self.left(1.0).as_secs()).ok(),
            ..TrainerStatus::default()
        };
        Report { trainer_status: Some(status), plimsoll: Some(report) }
    }
}

fn run(job: &JobTruth<'_>, settings: &Settings, place: &Place) -> Outcome {
    job.run(&Run {
        product: place.product.clone(),
        gpus_per_pod: place.gpus_per_pod.clone(),
        micro_batch: settings.micro_batch,
        accumulation: settings.accumulation,
        data: settings.data,
        tensor: settings.tensor,
        sharding: settings.sharding.clone(),
        recompute: settings.recompute.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::settings::tests::pod;

    fn truth() -> Truth {
        Truth::load(&Truth::default_file(), 0).unwrap()
    }

    fn training(from: Checkpoint) -> Training {
        let place = Place { job: "n/a".into(), product: "Tesla-T4".into(), gpus_per_pod: vec![4, 4] };
        Training::begin(&truth(), Settings::of(&pod()).unwrap(), place, from).unwrap()
    }

    #[test]
    fn a_training_goes_on_from_its_checkpoint_to_its_end() {
        let mut training = training(Checkpoint { step: 100, samples: 25_600 });
        assert_eq!(training.step(), 100);
        let left = training.left(60.0);
        training.advance(left / 2, 60.0);
        assert!(!training.is_done() && training.step() > 100);
        let saved = training.checkpoint();
        assert_eq!(saved.samples.div_ceil(256), saved.step, "256 samples a step");
        training.advance(left, 60.0);
        assert!(training.is_done());
        assert_eq!(
            training.report().plimsoll.unwrap().step,
            Some(truth().job("cifar10", "n/a").unwrap().total_steps())
        );
    }

    #[test]
    fn another_batch_is_another_truth() {
        let mut training = training(Checkpoint::default());
        let before = training.report().plimsoll.unwrap();
        assert!(!training.change_batch(&truth(), 8, 4));
        assert!(training.change_batch(&truth(), 32, 1));
        let after = training.report().plimsoll.unwrap();
        assert!(after.peak_memory_bytes > before.peak_memory_bytes);
        assert_ne!(after.step_seconds, before.step_seconds);
        assert_eq!(after.micro_batch, Some(32));
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_wanted() {
        let mut training = training(Checkpoint::default());
        assert!(training.fits());
        training.change_batch(&truth(), 100_000, 1);
        assert!(!training.fits());
        let message = TerminationMessage::parse(&training.out_of_memory()).unwrap();
        assert!(message.peak_memory_bytes.unwrap() + (500 << 20) > truth::usable_bytes("Tesla-T4"));
    }
}
