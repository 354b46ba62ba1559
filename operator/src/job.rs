//! One job in one cycle: dereference, validate, size, standing; then, with the planner's decision, build, apply, update
//! status.
//!
//! [`Turn::think`] and [`Turn::decide`] are pure: they hold what the status is to become and what is to be done about it.
//! [`apply`] carries that out.

pub mod apply;
pub mod budget;
pub mod build;
pub mod dereference;
pub mod gang;
pub mod happened;
pub mod hosts;
pub mod memory;
mod outlook;
pub mod owned;
pub mod rendezvous;
pub mod size;
pub mod standing;
mod steps;
pub mod taken;
#[cfg(test)]
mod tests;
pub mod update_status;
pub mod validate;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_crds::TrainingJob;
use plimsoll_crds::training_job::{Allocation, TrainingJobStatus};
use plimsoll_lifecycle::{Event, FailureReason, Phase, Policy, State, StopCause};
use plimsoll_menu::Menu;
use plimsoll_observe::{Coverage, Planned};
use plimsoll_scheduling::{Action, Cause, JobKey, Reason, WaitNumbers};
use plimsoll_sizing::Cache;

use self::dereference::Dereferenced;
use self::gang::Gang;
use self::happened::{Seen, happened};
use self::hosts::Hosts;
use self::memory::natural;
use self::size::Sized;
use self::standing::Obstacle;
use self::validate::Validated;
use crate::config::Config;
use crate::learning::{self, Heard};
use crate::notes::Note;
use crate::world::World;

/// What the operator knows of a job besides the objects.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its last menu.
    pub sized: Option<Sized>,
    /// The newest report of its program.
    pub heard: Option<Heard>,
    /// What the agents saw of its revision.
    pub coverage: Coverage,
    /// A checkpoint that was asked for is complete.
    pub checkpoint_written: bool,
    /// Pods were created that the watch has not shown yet.
    pub unseen: bool,
    /// The apiserver refused a pod of this revision.
    pub pod_refused: Option<(u32, String)>,
    /// Somebody else holds devices that the plan gave it: where, and who.
    pub taken: Option<String>,
    /// The apiserver refused a trial of its first pod.
    pub trial_refused: Option<String>,
    /// Jobs that gave devices back lately, with the nodes.
    pub released: Arc<Vec<Release>>,
}

/// Devices that a job gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which job.
    pub job: JobKey,
    /// Where.
    pub nodes: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// How, in a few words.
    pub how: String,
}

/// One job in one cycle.
#[derive(Debug)]
pub struct Turn {
    /// The job as it was read.
    pub job: Arc<TrainingJob>,
    /// Which job it is.
    pub key: JobKey,
    /// Its UID.
    pub uid: String,
    /// Its pods.
    pub gang: Gang,
    /// The nodes of the revision that its status remembers.
    pub hosts: Hosts,
    /// Its specification, checked, or what is wrong with it.
    pub validated: Result<Validated, String>,
    /// How patient it is.
    pub policy: Policy,
    /// The state that its status remembers.
    pub was: State,
    /// The state that it has now.
    pub state: State,
    /// What its status is to become.
    pub status: TrainingJobStatus,
    /// What is to be done once that status is written.
    pub work: Work,
    /// What its user is to be told once that status is written.
    pub notes: Vec<Note>,
    /// Its menu.
    pub sized: Option<Sized>,
    /// Why it waits, by the planner.
    pub waiting: Option<(Reason, WaitNumbers, String)>,
    /// What it gives back for others, once that status is written.
    pub gives: Option<Gives>,
    /// What holds it back.
    pub obstacle: Obstacle,
    known: Known,
}

/// What is to be done about a job's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Create the pods of the revision.
    pub create: bool,
    /// Delete what has not ended, with this grace.
    pub delete: Option<u64>,
    /// A trial of this allocation's first pod comes before everything else.
    pub trial: Option<Box<Trial>>,
}

/// What a job gives back for the sake of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// All that it holds.
    Preempted,
    /// Some of what it holds.
    Reclaimed,
    /// Its nodes, for others.
    Consolidated,
}

impl Gives {
    fn by(cause: Cause) -> Option<Self> {
        match cause {
            Cause::Reclaimed => Some(Self::Reclaimed),
            Cause::Consolidated => Some(Self::Consolidated),
            Cause::UnderUsed | Cause::OverLoaded | Cause::Faster => None,
        }
    }

    /// The word as it stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preempted => "Preempted",
            Self::Reclaimed => "Reclaimed",
            Self::Consolidated => "Consolidated",
        }
    }
}

/// A size that a pod of was never shown to the apiserver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trial {
    /// Generation of the specification.
    pub generation: i64,
    /// Class.
    pub class: String,
    /// Devices in each pod.
    pub gpus_per_pod: i32,
    /// Whether there is more than one pod.
    pub gang: bool,
}

impl Turn {
    /// The first half: everything up to where the job stands.
    pub fn think(
        world: &World,
        from: Dereferenced<'_>,
        known: Known,
        (config, sizes): (&Config, &mut Cache),
        now: Timestamp,
    ) -> Self {
        let Dereferenced { job, key, uid, pods, nodes } = from;
        let status = job.status.clone().unwrap_or_default();
        let was = memory::recall(status.lifecycle.as_ref(), now);
        let validated =
            validate::validate(&job.spec, &world.resources, config).map_err(|error| crate::sentence::sentence(&error));
        let policy = match &validated {
            Ok(valid) => valid.policy.clone(),
            Err(_) => validate::policy(&job.spec, template_grace(&job), config),
        };
        let trainer = validated.as_ref().ok().map(|valid| valid.template.trainer_container.as_str());
        let gang = Gang::read(&pods, was.revision, trainer, nodes);
        let hosts = status.allocation.as_ref().map(|held| Hosts::of(world, &held.nodes)).unwrap_or_default();
        let obstacle = Obstacle {
            invalid: validated.as_ref().err().cloned(),
            rejected: known.trial_refused.clone(),
            suspended: job.spec.suspend,
        };
        let mut turn = Self {
            state: was.clone(),
            work: Work::default(),
            notes: Vec::new(),
            sized: None,
            waiting: None,
            gives: None,
            job,
            key,
            uid,
            gang,
            hosts,
            validated,
            policy,
            was,
            status,
            obstacle,
            known,
        };
        turn.learn();
        turn.hear_what_happened(now);
        turn.size(world, sizes, now);
        turn
    }

    /// Before anything else: what the program said last counts, also if it has ended since.
    fn learn(&mut self) {
        match self.was.phase {
            Phase::Running { .. } => {
                learning::learn(&mut self.status, self.known.heard.as_ref(), &self.known.coverage);
            }
            // A short program may have reported and ended before it was seen to run; the last checkpoint is reported
            // while it stops.
            Phase::Committed { .. } | Phase::Starting { .. } | Phase::Stopping { .. } => {
                learning::learn(&mut self.status, self.known.heard.as_ref(), &Coverage::default());
            }
            _ => {}
        }
    }

    fn hear_what_happened(&mut self, now: Timestamp) {
        let seen = Seen {
            state: &self.was,
            gang: &self.gang,
            pods: self.status.allocation.as_ref().map_or(0, |allocation| natural(allocation.pods)),
            unseen: self.known.unseen,
            suspend: self.job.spec.suspend,
            rejected: self.known.pod_refused.clone(),
            taken: self.known.taken.clone(),
            cordoned: self.hosts.cordoned(),
            checkpoint_written: self.known.checkpoint_written,
        };
        for event in happened(&seen) {
            self.step(event, now);
        }
    }

    fn size(&mut self, world: &World, sizes: &mut Cache, now: Timestamp) {
        let Ok(valid) = &self.validated else { return };
        let learned = self.status.evidence.clone().unwrap_or_default();
        let held = self.status.allocation.as_ref();
        let sized =
            size::size((&self.job.spec, &valid.spec), (&world.classes, sizes), &learned, held, self.known.sized.take());
        let exhausted = sized.menu.candidates.is_empty();
        let ran_out = matches!(&self.state.phase, Phase::Waiting { after: Some(StopCause::DeviceOutOfMemory), .. });
        self.sized = Some(sized);
        if exhausted && ran_out {
            let message = "no size is left that was not seen to run out of device memory".to_owned();
            self.step(Event::GiveUp { reason: FailureReason::NoFeasibleSize, message }, now);
        }
    }

    /// What the planner is to know of it; `None` when it has ended.
    pub fn planned(&self, config: &Config, now: Timestamp) -> Option<Planned> {
        Some(Planned {
            job: self.job.clone(),
            menu: self.reachable(),
            standing: standing::standing(&self.state, &self.status, &self.obstacle, &self.job.spec, now)?,
            restart_seconds: validate::restart_seconds(&self.job.spec, config),
            remaining_steps: self.remaining_steps(),
            waiting_since: self.waiting_since(now),
        })
    }

    /// Since when it has held nothing, where it held something before or its user had suspended it.
    fn waiting_since(&self, now: Timestamp) -> Option<Timestamp> {
        let suspended = self.status.conditions.iter().any(|c| c.type_ == plimsoll_crds::condition::job::SUSPENDED);
        let began = self.state.revision > 0 || suspended;
        (began && matches!(self.state.phase, Phase::Waiting { .. })).then(|| update_status::entered(self, now))
    }

    /// Where it can go: its menu, and while it holds devices what its checkpoint can be carried to.
    fn reachable(&self) -> Arc<Menu> {
        let menu = self.sized.as_ref().map(|sized| sized.menu.clone()).unwrap_or_default();
        let held = self.status.allocation.as_ref().and_then(plimsoll_observe::current);
        match (held, &self.job.spec.checkpoint) {
            (Some(held), Some(checkpoint)) => {
                Arc::new(plimsoll_observe::reachable(&menu, &held, &checkpoint.portable_across))
            }
            _ => menu,
        }
    }

    /// Its menu, once it is sized.
    pub fn menu(&self) -> Option<&Menu> {
        self.sized.as_ref().map(|sized| sized.menu.as_ref())
    }

    /// Optimizer steps in all: as the program says, else as the specification has it.
    pub fn total_steps(&self) -> Option<u64> {
        let said = self.status.progress.as_ref().and_then(|p| p.total_steps).and_then(|t| u64::try_from(t).ok());
        said.or_else(|| self.validated.as_ref().ok().and_then(|valid| valid.total_steps))
    }

    fn remaining_steps(&self) -> Option<u64> {
        let done = self.status.progress.as_ref().and_then(|p| p.step).and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
        self.total_steps().map(|total| total.saturating_sub(done))
    }

    /// The second half: what the planner decided, as far as the state machine agrees.
    pub fn decide(&mut self, action: Action, now: Timestamp) {
        match action {
            Action::Keep => {}
            Action::Wait { reason, numbers, message } => self.waiting = Some((reason, numbers, message)),
            Action::Start { candidate, nodes } => {
                let because = self.because(&candidate, &nodes);
                let next = steps::allocation(&candidate, nodes, self.state.revision + 1, because, now);
                self.work.trial = Some(Box::new(self.trial(&next)));
                self.status.next = Some(next);
                self.step(Event::StartDecided, now);
                if self.state.revision == self.was.revision {
                    self.status.next = None;
                    self.work.trial = None;
                }
            }
            // What runs is not stopped for pods that the apiserver refuses.
            Action::Move { .. } if self.obstacle.rejected.is_some() => {}
            Action::Move { candidate, nodes, cause, message } => {
                let next = steps::allocation(&candidate, nodes, self.state.revision + 1, message.clone(), now);
                let trial = Box::new(self.trial(&next));
                self.status.next = Some(next);
                self.step(Event::MoveDecided { message }, now);
                if matches!(self.state.phase, Phase::Stopping { why: StopCause::Move, .. }) {
                    self.work.trial = Some(trial);
                    self.gives = Gives::by(cause);
                    let counters = self.status.counters.get_or_insert_default();
                    counters.moves = counters.moves.saturating_add(1);
                    let hour_ago = now - jiff::SignedDuration::from_hours(1);
                    counters.recent_moves.retain(|time| time.0 > hour_ago);
                    counters.recent_moves.push(Time(now));
                } else {
                    self.status.next = None;
                }
            }
            Action::Preempt { for_job: _, message } => {
                self.step(Event::PreemptDecided { message }, now);
                let preempted = matches!(self.state.phase, Phase::Stopping { why: StopCause::Preempted { .. }, .. });
                self.gives = preempted.then_some(Gives::Preempted);
            }
            Action::LiveBatch { batch, candidate, message } => self.change_batch(batch, &candidate, message, now),
        }
    }

    /// Devices that this turn gives back, with the nodes that have more room afterwards.
    pub fn release(&self, now: Timestamp) -> Option<Release> {
        let before = self.job.status.as_ref()?.allocation.as_ref()?;
        let after = self.status.allocation.as_ref();
        if after.is_some_and(|after| after.revision == before.revision) {
            return None;
        }
        let kept = |node: &String| {
            after.filter(|a| a.class == before.class && a.nodes.contains(node)).map_or(0, |a| a.gpus_per_pod)
        };
        let nodes: Vec<String> = before.nodes.iter().filter(|node| kept(node) < before.gpus_per_pod).cloned().collect();
        let how = match after {
            Some(after) => {
                let (from, to) =
                    (format!("{} x {}", before.gpus, before.class), format!("{} x {}", after.gpus, after.class));
                format!("moved from {from} to {to}")
            }
            None if matches!(self.state.phase, Phase::Complete) => format!("completed and gave back {}", before.gpus),
            None => format!("gave back {}", before.gpus),
        };
        (!nodes.is_empty()).then(|| Release { job: self.key.clone(), nodes, at: now, how })
    }

    /// Lets it know who gave devices back.
    pub fn share_releases(&mut self, released: &Arc<Vec<Release>>) {
        self.known.released = released.clone();
    }

    /// Whether there is anything to be done about its pods.
    pub fn has_work(&self) -> bool {
        let kept = self.gang.all().any(|member| member.kept && member.is_final);
        self.work.create || self.work.delete.is_some() || self.work.trial.is_some() || kept
    }

    /// The class of the devices that pods are to be built for.
    pub fn class_in_question(&self) -> Option<&str> {
        self.status.next.as_ref().or(self.status.allocation.as_ref()).map(|allocation| allocation.class.as_str())
    }

    /// Takes everything back that was not written.
    pub fn undo(&mut self) {
        self.status = self.job.status.clone().unwrap_or_default();
        self.state = self.was.clone();
        self.work = Work::default();
        self.gives = None;
        self.notes.clear();
    }

    fn trial(&self, next: &Allocation) -> Trial {
        Trial {
            generation: self.job.metadata.generation.unwrap_or_default(),
            class: next.class.clone(),
            gpus_per_pod: next.gpus_per_pod,
            gang: next.pods > 1,
        }
    }
}

fn template_grace(job: &TrainingJob) -> Option<i64> {
    job.spec.template.pointer("/spec/terminationGracePeriodSeconds").and_then(serde_json::Value::as_i64)
}
