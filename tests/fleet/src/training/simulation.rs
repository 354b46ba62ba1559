//! Training in sped-up time: steps, checkpoints, the end. Pure.

use std::time::Duration;

use crate::truth::{JobTruth, Outcome, Run};

/// What came to pass while time went by.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A checkpoint is complete.
    Saved {
        /// The optimizer step that it holds.
        step: u64,
        /// Seconds that it took, in the program's own time.
        seconds: f64,
        /// The program is to end now.
        then_stop: bool,
    },
    /// The last step is done.
    Finished,
}

/// One training program.
#[derive(Clone, Debug)]
pub struct Simulation {
    truth: JobTruth,
    run: Run,
    outcome: Outcome,
    scale: f64,
    total: u64,
    /// Optimizer steps done, the running one as a fraction.
    position: f64,
    /// Most that the allocator kept so far: it does not give back.
    kept_bytes: u64,
    checkpoints: Option<Checkpoints>,
}

#[derive(Clone, Copy, Debug)]
struct Checkpoints {
    interval: f64,
    seconds: f64,
    saved: u64,
    since: f64,
    /// A checkpoint that was asked for, and whether the program is to end then.
    wanted: Option<bool>,
    /// Seconds that the one which is written still takes, and whether the program is to end then.
    writing: Option<(f64, bool)>,
}

impl Simulation {
    /// A program that begins at `step` of `total`. `scale` is its own seconds per second of the world.
    pub fn new(truth: JobTruth, run: Run, scale: f64, step: u64, total: u64, has_folder: bool) -> Self {
        let habits = truth.habits();
        let checkpoints = has_folder.then_some(Checkpoints {
            interval: habits.checkpoint_interval_seconds,
            seconds: habits.checkpoint_seconds,
            saved: step,
            since: 0.0,
            wanted: None,
            writing: None,
        });
        let outcome = truth.run(&run);
        let kept_bytes = outcome.allocated_bytes;
        Self { truth, run, outcome, scale, total: total.max(1), position: step as f64, kept_bytes, checkpoints }
    }

    /// How it goes at its present batch.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// How it runs.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What is true of its job.
    pub fn truth(&self) -> &JobTruth {
        &self.truth
    }

    /// Steps that are done.
    pub fn step(&self) -> u64 {
        self.position as u64
    }

    /// Steps in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Device memory that the driver sees, in bytes: the allocator keeps what it had.
    pub fn device_bytes(&self) -> u64 {
        self.kept_bytes + self.outcome.context_bytes
    }

    /// Its own seconds until the last step is done, if nothing comes between.
    pub fn remaining_seconds(&self) -> f64 {
        (self.total as f64 - self.position).max(0.0) * self.outcome.step_seconds
    }

    /// Goes on with another batch.
    pub fn set_batch(&mut self, micro_batch: u32, accumulation: u32) {
        self.run.micro_batch = micro_batch.max(1);
        self.run.accumulation = accumulation.max(1);
        self.outcome = self.truth.run(&self.run);
        self.kept_bytes = self.kept_bytes.max(self.outcome.allocated_bytes);
    }

    /// Asks for a checkpoint once the running step ends. False where there is no folder for it.
    pub fn ask_checkpoint(&mut self, then_stop: bool) -> bool {
        let Some(checkpoints) = &mut self.checkpoints else { return false };
        match &mut checkpoints.writing {
            Some((_, stop)) if then_stop => *stop = true,
            _ => checkpoints.wanted = Some(checkpoints.wanted.unwrap_or(false) || then_stop),
        }
        true
    }

    /// Time of the world until something happens; never nothing, so that a fraction of a nanosecond is waited for too.
    pub fn next(&self) -> Duration {
        let wait = self.own_seconds_to_next() / self.scale;
        Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(3600)).max(Duration::from_millis(1))
    }

    fn own_seconds_to_next(&self) -> f64 {
        let Some(checkpoints) = &self.checkpoints else { return self.remaining_seconds() };
        if let Some((left, _)) = checkpoints.writing {
            return left;
        }
        let mut wait = self.remaining_seconds();
        if checkpoints.wanted.is_some() {
            // A checkpoint that is asked for holds more than the last one.
            let step = self.position.ceil().max(checkpoints.saved as f64 + 1.0);
            wait = wait.min((step - self.position) * self.outcome.step_seconds);
        }
        if checkpoints.interval > 0.0 {
            wait = wait.min((checkpoints.interval - checkpoints.since).max(0.0));
        }
        wait
    }

    /// Lets time of the world pass. Stops at an end.
    pub fn advance(&mut self, passed: Duration) -> Vec<Happening> {
        let mut happened = Vec::new();
        let mut left = passed.as_secs_f64() * self.scale;
        loop {
            let wait = self.own_seconds_to_next();
            let spent = wait.min(left);
            left -= spent;
            let reached = left > 0.0 || spent >= wait;
            if let Some(Checkpoints { writing: Some((rest, stop)), seconds, .. }) = self.checkpoints {
                let Some(checkpoints) = &mut self.checkpoints else { break };
                if !reached {
                    checkpoints.writing = Some((rest - spent, stop));
                    break;
                }
                let step = self.position as u64;
                *checkpoints = Checkpoints { writing: None, saved: step, since: 0.0, ..*checkpoints };
                happened.push(Happening::Saved { step, seconds, then_stop: stop });
                if stop {
                    break;
                }
                continue;
            }
            self.position += spent / self.outcome.step_seconds.max(f64::MIN_POSITIVE);
            if let Some(checkpoints) = &mut self.checkpoints {
                checkpoints.since += spent;
            }
            if !reached {
                break;
            }
            // Sums of fractions end a little beside a whole number.
            if (self.position - self.position.round()).abs() < 1e-6 {
                self.position = self.position.round();
            }
            if self.position >= self.total as f64 {
                self.position = self.total as f64;
                happened.push(Happening::Finished);
                break;
            }
            if let Some(checkpoints) = &mut self.checkpoints {
                let due = checkpoints.wanted.is_some_and(|_| self.position as u64 > checkpoints.saved)
                    || (checkpoints.interval > 0.0 && checkpoints.since + 1e-9 >= checkpoints.interval);
                if due {
                    checkpoints.writing = Some((checkpoints.seconds, checkpoints.wanted.take().unwrap_or(false)));
                    continue;
                }
            }
            if left <= 0.0 {
                break;
            }
        }
        happened
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::Truth;

    fn simulation(total: u64, has_folder: bool) -> Simulation {
        let truth = Truth::built_in(0).unwrap().job("cifar10", "ns/a").unwrap();
        let run = Run {
            product: "Tesla-T4".into(),
            gpus_per_pod: vec![4],
            micro_batch: 64,
            accumulation: 1,
            data: 4,
            tensor: 1,
            sharding: "None".into(),
            recompute: "None".into(),
        };
        Simulation::new(truth, run, 60.0, 0, total, has_folder)
    }

    #[test]
    fn time_goes_faster_but_steps_take_what_they_take() {
        let mut simulation = simulation(1_000_000, false);
        simulation.advance(Duration::from_secs(10));
        let expected = 600.0 / simulation.outcome().step_seconds;
        assert!((simulation.step() as f64 - expected).abs() <= 1.0, "{} {expected}", simulation.step());
    }

    #[test]
    fn it_finishes_when_its_next_event_says_so() {
        let mut simulation = simulation(1000, false);
        let next = simulation.next();
        assert_eq!(simulation.advance(next / 2), []);
        assert_eq!(simulation.advance(next), [Happening::Finished]);
        assert_eq!(simulation.step(), 1000);
    }

    #[test]
    fn checkpoints_come_by_themselves_and_no_step_is_done_meanwhile() {
        let mut simulation = simulation(1_000_000, true);
        let saved = simulation.advance(Duration::from_secs(11));
        let Happening::Saved { step, seconds, then_stop } = saved[0] else { panic!("{saved:?}") };
        assert_eq!((saved.len(), seconds, then_stop), (2, 2.0, false));
        assert!((step as f64 * simulation.outcome().step_seconds - 300.0).abs() < 1.0);
    }

    #[test]
    fn a_checkpoint_that_is_asked_for_holds_a_later_step_and_ends_the_program_if_wanted() {
        let mut simulation = simulation(1_000_000, true);
        simulation.advance(Duration::from_secs(1));
        let before = simulation.step();
        assert!(simulation.ask_checkpoint(false));
        assert!(simulation.ask_checkpoint(true), "who asks for the end is heard over who does not");
        let happened = simulation.advance(Duration::from_secs(1));
        let [Happening::Saved { step, then_stop: true, .. }] = happened[..] else { panic!("{happened:?}") };
        assert_eq!(step, before + 1);
        assert_eq!(simulation.step(), step);
    }

    #[test]
    fn without_a_folder_there_is_no_checkpoint() {
        assert!(!simulation(10, false).ask_checkpoint(true));
    }

    #[test]
    fn the_allocator_keeps_what_it_had() {
        let mut simulation = simulation(10, false);
        let small = simulation.device_bytes();
        simulation.set_batch(256, 1);
        let large = simulation.device_bytes();
        simulation.set_batch(64, 1);
        assert!(large > small);
        assert_eq!(simulation.device_bytes(), large);
        assert!(simulation.outcome().allocated_bytes < large);
    }
}
