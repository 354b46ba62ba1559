//! The transitions.

use jiff::Timestamp;

use crate::policy::after;
use crate::{Event, EventReason, FailureReason, Intent, Ledger, Outcome, Phase, Policy, State, StopCause};

/// What follows from an event: the next state, and what is to be done. An event that does not apply changes nothing.
pub fn step(state: State, event: Event, policy: &Policy, now: Timestamp) -> (State, Vec<Intent>) {
    let stale = event.revision().is_some_and(|revision| revision != state.revision);
    if stale || state.phase.is_final() {
        return (state, Vec::new());
    }
    let mut turn = Turn { state, policy, now, intents: Vec::new() };
    match turn.state.phase.clone() {
        Phase::Waiting { not_before, .. } => turn.waiting(event, not_before),
        Phase::Suspended => turn.suspended(event),
        Phase::Committed { since } => turn.committed(event, since),
        Phase::Starting { since } => turn.starting(event, since),
        Phase::Running { .. } => turn.running(event),
        Phase::Stopping { why, since, checkpoint_until } => turn.stopping(event, why, since, checkpoint_until),
        Phase::Complete | Phase::Failed { .. } => {}
    }
    (turn.state, turn.intents)
}

/// One step in the making.
struct Turn<'a> {
    state: State,
    policy: &'a Policy,
    now: Timestamp,
    intents: Vec<Intent>,
}

/// One method per phase: which events it listens to.
impl Turn<'_> {
    fn waiting(&mut self, event: Event, not_before: Option<Timestamp>) {
        match event {
            Event::StartDecided if not_before.is_none_or(|at| at <= self.now) => self.commit(),
            Event::SuspendAsked => self.state.phase = Phase::Suspended,
            Event::GiveUp { reason, message } => self.fail(reason, message),
            _ => {}
        }
    }

    fn suspended(&mut self, event: Event) {
        match event {
            Event::ResumeAsked => {
                self.state.phase = Phase::default();
                self.report(EventReason::Resumed, "goes on after a suspension".into());
            }
            Event::GiveUp { reason, message } => self.fail(reason, message),
            _ => {}
        }
    }

    /// `PodsGone` is not listened to: a revision that was just written has no pods yet.
    fn committed(&mut self, event: Event, since: Timestamp) {
        match event {
            Event::Tick { held_up } if after(since, self.policy.bind_timeout_seconds) <= self.now => {
                self.end(StopCause::BindTimeout { message: held_up.unwrap_or_default() });
            }
            Event::Tick { .. } => self.create_pods(),
            Event::PodsRejected { message, .. } => self.end(StopCause::PodsRejected { message }),
            Event::NodeTaken { message, .. } => self.end(StopCause::NodeTaken { message }),
            Event::AllPodsBound { .. } => self.state.phase = Phase::Starting { since: self.now },
            Event::PodsGone { .. } => {}
            event => self.live(event),
        }
    }

    fn starting(&mut self, event: Event, since: Timestamp) {
        match event {
            Event::Tick { held_up } if after(since, self.policy.start_timeout_seconds) <= self.now => {
                self.end(StopCause::StartTimeout { message: held_up.unwrap_or_default() });
            }
            Event::NodeTaken { message, .. } => self.end(StopCause::NodeTaken { message }),
            event => self.live(event),
        }
    }

    fn running(&mut self, event: Event) {
        match event {
            Event::MoveDecided { message } => {
                self.report(EventReason::Moving, message);
                self.stop_with_checkpoint(StopCause::Move);
            }
            Event::PreemptDecided { message } => {
                self.report(EventReason::Preempted, message.clone());
                self.stop_with_checkpoint(StopCause::Preempted { message });
            }
            Event::SuspendAsked => {
                self.report(EventReason::Suspending, "is suspended by its user".into());
                self.stop_with_checkpoint(StopCause::Suspend);
            }
            Event::NodeCordoned { message, .. } => {
                self.report(EventReason::NodeCordoned, message.clone());
                self.stop_with_checkpoint(StopCause::NodeCordoned { message });
            }
            Event::AllPodsRunning { .. } => {}
            event => self.live(event),
        }
    }

    /// What every phase with live pods listens to.
    fn live(&mut self, event: Event) {
        match event {
            Event::AllPodsRunning { revision } => {
                self.state.phase = Phase::Running { since: self.now };
                self.report(EventReason::Running, format!("all pods of revision {revision} run"));
            }
            Event::SuspendAsked => {
                self.report(EventReason::Suspending, "is suspended by its user before it ran".into());
                self.delete_pods(StopCause::Suspend);
            }
            Event::NodeCordoned { message, .. } => {
                self.report(EventReason::NodeCordoned, message.clone());
                self.delete_pods(StopCause::NodeCordoned { message });
            }
            Event::GiveUp { reason, message } => self.delete_pods(StopCause::GiveUp { reason, message }),
            Event::TrainersEnded { pods, outcomes, .. } => {
                if let Some(why) = self.judge(pods, &outcomes) {
                    self.end(why);
                }
            }
            Event::PodsGone { .. } => {
                self.end(StopCause::Disrupted);
                self.settle(StopCause::Disrupted);
            }
            _ => {}
        }
    }

    /// Until its pods are deleted, the program may still end by itself, well or badly. Afterwards an exit code is an
    /// answer to our own signal and says nothing, except about memory.
    fn stopping(&mut self, event: Event, why: StopCause, since: Timestamp, checkpoint_until: Option<Timestamp>) {
        match event {
            Event::PodsGone { .. } => self.settle(why),
            Event::GiveUp { reason, message } if !matches!(why, StopCause::Succeeded | StopCause::GiveUp { .. }) => {
                self.delete_pods(StopCause::GiveUp { reason, message });
            }
            Event::SuspendAsked
                if matches!(why, StopCause::Move | StopCause::Preempted { .. } | StopCause::NodeCordoned { .. }) =>
            {
                self.state.phase = Phase::Stopping { why: StopCause::Suspend, since, checkpoint_until };
            }
            Event::CheckpointWritten { .. } if checkpoint_until.is_some() => self.delete_pods(why),
            Event::TrainersEnded { pods, outcomes, .. } if checkpoint_until.is_some() => {
                match self.judge(pods, &outcomes) {
                    // A job that its user suspended stays suspended, however its program took that.
                    Some(cause) if why == StopCause::Suspend && cause != StopCause::Succeeded => self.delete_pods(why),
                    // The eviction that the cordon had announced.
                    Some(StopCause::Disrupted) if matches!(why, StopCause::NodeCordoned { .. }) => {
                        self.delete_pods(why)
                    }
                    Some(cause) => self.end(cause),
                    None => {}
                }
            }
            // Ranks that lost a peer may be heard before the peer that ran out of memory.
            Event::TrainersEnded { pods, outcomes, .. }
                if matches!(why, StopCause::ProgramFailed { .. } | StopCause::Disrupted)
                    && outcomes.iter().any(Outcome::is_out_of_memory) =>
            {
                self.state.failures -= u32::from(why != StopCause::Disrupted).min(self.state.failures);
                if let Some(cause) = self.judge(pods, &outcomes) {
                    self.end(cause);
                }
            }
            Event::Tick { .. } => match checkpoint_until {
                Some(until) if self.now < until => {
                    self.intents.push(Intent::AskCheckpoint { revision: self.state.revision });
                }
                Some(_) => self.delete_pods(why),
                None => self.push_delete(),
            },
            _ => {}
        }
    }
}

/// What the phases have in common.
impl Turn<'_> {
    fn commit(&mut self) {
        self.state.revision += 1;
        self.state.phase = Phase::Committed { since: self.now };
        self.create_pods();
        self.report(EventReason::Committed, format!("revision {} is decided", self.state.revision));
    }

    /// Why the revision ends, if it does; remembers what was learned about memory.
    fn judge(&mut self, pods: u32, outcomes: &[Outcome]) -> Option<StopCause> {
        let revision = self.state.revision;
        let device = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::DeviceOutOfMemory { peak_bytes } => Some(*peak_bytes),
            _ => None,
        });
        if let Some(peak_bytes) = device.max() {
            self.intents.push(Intent::RecordMemoryEvidence { revision, ledger: Ledger::Device, peak_bytes });
        }
        if outcomes.contains(&Outcome::HostOutOfMemory) {
            let ledger = Ledger::Host;
            self.intents.push(Intent::RecordMemoryEvidence { revision, ledger, peak_bytes: None });
        }
        match outcomes.iter().min()?.clone() {
            Outcome::DeviceOutOfMemory { .. } => Some(StopCause::DeviceOutOfMemory),
            Outcome::HostOutOfMemory => Some(StopCause::HostOutOfMemory),
            Outcome::RefusedByNode { message } => Some(StopCause::RefusedByNode { message }),
            Outcome::Disrupted => Some(StopCause::Disrupted),
            Outcome::InitFailed { message } => Some(StopCause::InitFailed { message }),
            Outcome::Failed { exit_code, message } => Some(StopCause::ProgramFailed { exit_code, message }),
            Outcome::Succeeded if outcomes.len() >= pods as usize => Some(StopCause::Succeeded),
            Outcome::Succeeded => None,
        }
    }

    /// Ends the revision whole, for a reason of its own: counts it, reports it, deletes what is left.
    fn end(&mut self, why: StopCause) {
        self.forget_failures_after_a_steady_run();
        let (failures, setbacks, event) = match &why {
            StopCause::DeviceOutOfMemory => (0, 1, EventReason::OutOfMemory),
            StopCause::BindTimeout { .. } | StopCause::PodsRejected { .. } => (0, 1, EventReason::TakenBack),
            StopCause::NodeTaken { .. } => (0, 1, EventReason::NodeTaken),
            StopCause::RefusedByNode { .. } => (0, 1, EventReason::RefusedByNode),
            StopCause::HostOutOfMemory => (1, 0, EventReason::OutOfMemory),
            StopCause::StartTimeout { .. } | StopCause::InitFailed { .. } | StopCause::ProgramFailed { .. } => {
                (1, 0, EventReason::ProgramFailed)
            }
            StopCause::Disrupted => (0, 0, EventReason::Disrupted),
            // Reported where they begin, or where the job ends.
            StopCause::Move | StopCause::Preempted { .. } | StopCause::Suspend | StopCause::NodeCordoned { .. } => {
                return self.delete_pods(why);
            }
            StopCause::Succeeded | StopCause::GiveUp { .. } => return self.delete_pods(why),
        };
        self.state.failures = self.state.failures.saturating_add(failures);
        self.state.setbacks = self.state.setbacks.saturating_add(setbacks);
        let message = format!("revision {} ends: {}", self.state.revision, why.sentence());
        self.report(event, message);
        self.delete_pods(why);
    }

    /// What follows once the last pod is gone.
    fn settle(&mut self, why: StopCause) {
        let State { failures, setbacks, .. } = self.state;
        let wait = match &why {
            StopCause::Move => return self.commit(),
            StopCause::Suspend => {
                self.state.phase = Phase::Suspended;
                return;
            }
            StopCause::Succeeded => {
                self.state.phase = Phase::Complete;
                return self.report(EventReason::Completed, "the program ended well in all pods".into());
            }
            StopCause::GiveUp { reason, message } => return self.fail(*reason, message.clone()),
            StopCause::Disrupted | StopCause::Preempted { .. } | StopCause::NodeCordoned { .. } => 0,
            // The next size is another one, so the first time there is nothing to wait for.
            StopCause::DeviceOutOfMemory => self.policy.backoff_seconds(setbacks.saturating_sub(1)),
            StopCause::BindTimeout { .. }
            | StopCause::PodsRejected { .. }
            | StopCause::NodeTaken { .. }
            | StopCause::RefusedByNode { .. } => self.policy.backoff_seconds(setbacks),
            StopCause::HostOutOfMemory
            | StopCause::StartTimeout { .. }
            | StopCause::InitFailed { .. }
            | StopCause::ProgramFailed { .. } => {
                let most = self.policy.max_failures;
                if failures > most {
                    let message = format!("{failures} failures in a row where {most} are allowed: {}", why.sentence());
                    return self.fail(FailureReason::TooManyFailures, message);
                }
                self.policy.backoff_seconds(failures)
            }
        };
        let not_before = (wait > 0).then(|| after(self.now, wait));
        self.state.phase = Phase::Waiting { not_before, after: Some(why) };
    }

    fn stop_with_checkpoint(&mut self, why: StopCause) {
        self.forget_failures_after_a_steady_run();
        let Some(seconds) = self.policy.checkpoint_wait_seconds() else { return self.delete_pods(why) };
        let checkpoint_until = Some(after(self.now, seconds));
        self.state.phase = Phase::Stopping { why, since: self.now, checkpoint_until };
        self.intents.push(Intent::AskCheckpoint { revision: self.state.revision });
    }

    fn forget_failures_after_a_steady_run(&mut self) {
        if let Phase::Running { since } = self.state.phase
            && after(since, self.policy.steady_seconds) <= self.now
        {
            (self.state.failures, self.state.setbacks) = (0, 0);
        }
    }

    fn delete_pods(&mut self, why: StopCause) {
        let since = match self.state.phase {
            Phase::Stopping { since, .. } => since,
            _ => self.now,
        };
        self.state.phase = Phase::Stopping { why, since, checkpoint_until: None };
        self.push_delete();
    }

    fn fail(&mut self, reason: FailureReason, message: String) {
        self.report(EventReason::Failed, message.clone());
        self.state.phase = Phase::Failed { reason, message };
    }

    fn create_pods(&mut self) {
        self.intents.push(Intent::CreatePods { revision: self.state.revision });
    }

    fn push_delete(&mut self) {
        let (revision, grace_seconds) = (self.state.revision, self.policy.grace_seconds());
        self.intents.push(Intent::DeletePods { revision, grace_seconds });
    }

    fn report(&mut self, reason: EventReason, message: String) {
        self.intents.push(Intent::ReportEvent { reason, message });
    }
}
