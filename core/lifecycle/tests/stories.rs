//! The life of a job, told in order.

use jiff::{SignedDuration, Timestamp};
use plimsoll_lifecycle::{
    Checkpoint, Event, EventReason, FailureReason, Intent, Ledger, Outcome, Phase, Policy, State, StopCause, step,
};

/// A job, its policy, and the time of its world.
struct Life {
    state: State,
    policy: Policy,
    now: Timestamp,
}

impl Life {
    fn new(policy: Policy) -> Self {
        Self { state: State::default(), policy, now: Timestamp::UNIX_EPOCH }
    }

    fn running(policy: Policy) -> Self {
        let mut life = Self::new(policy);
        life.start();
        life
    }

    /// What is done, without what is said.
    fn on(&mut self, event: Event) -> Vec<Intent> {
        let (state, mut intents) = step(self.state.clone(), event, &self.policy, self.now);
        self.state = state;
        intents.retain(|intent| !matches!(intent, Intent::ReportEvent { .. }));
        intents
    }

    fn start(&mut self) {
        self.on(Event::StartDecided);
        let revision = self.state.revision;
        self.on(Event::AllPodsBound { revision });
        self.on(Event::AllPodsRunning { revision });
        assert!(matches!(self.state.phase, Phase::Running { .. }), "{:?}", self.state);
    }

    fn end(&mut self, outcomes: Vec<Outcome>) -> Vec<Intent> {
        let revision = self.state.revision;
        self.on(Event::TrainersEnded { revision, pods: 2, outcomes })
    }

    fn gone(&mut self) -> Vec<Intent> {
        let revision = self.state.revision;
        self.on(Event::PodsGone { revision })
    }

    fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn backoff(&self) -> Option<i64> {
        match &self.state.phase {
            Phase::Waiting { not_before, .. } => not_before.map(|at| at.duration_since(self.now).as_secs()),
            other => unreachable!("not waiting: {other:?}"),
        }
    }
}

/// Time passes, and nothing is known to be held up.
const TICK: Event = Event::Tick { held_up: None };

fn failed() -> Outcome {
    Outcome::Failed { exit_code: 1, message: "NCCL error".into() }
}

fn device() -> Outcome {
    Outcome::DeviceOutOfMemory { peak_bytes: Some(80) }
}

fn delete(revision: u32) -> Intent {
    Intent::DeletePods { revision, grace_seconds: 30 }
}

#[test]
fn a_job_completes_when_its_trainer_ended_well_in_all_pods() {
    let mut life = Life::running(Policy::default());
    assert!(life.end(vec![Outcome::Succeeded]).is_empty());
    assert!(matches!(life.state.phase, Phase::Running { .. }));
    assert_eq!(life.end(vec![Outcome::Succeeded, Outcome::Succeeded]), [delete(1)]);
    assert!(life.gone().is_empty());
    assert_eq!(life.state.phase, Phase::Complete);
    assert!(life.on(Event::StartDecided).is_empty());
}

#[test]
fn the_first_device_out_of_memory_restarts_at_once_and_does_not_count() {
    let mut life = Life::running(Policy { max_failures: 0, ..Policy::default() });
    let evidence = Intent::RecordMemoryEvidence { revision: 1, ledger: Ledger::Device, peak_bytes: Some(80) };
    assert_eq!(life.end(vec![failed(), device()]), [evidence, delete(1)]);
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (0, None));
    life.start();
    life.end(vec![device()]);
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (0, Some(10)), "the second one in a row waits");
}

#[test]
fn an_echo_that_is_heard_first_does_not_hide_the_rank_that_ran_out_of_memory() {
    let mut life = Life::running(Policy { max_failures: 0, ..Policy::default() });
    assert_eq!(life.end(vec![failed()]), [delete(1)]);
    assert_eq!(life.state.failures, 1);
    let intents = life.end(vec![failed(), device()]);
    assert!(matches!(intents[0], Intent::RecordMemoryEvidence { ledger: Ledger::Device, .. }), "{intents:?}");
    assert!(life.end(vec![failed(), device()]).is_empty(), "said once");
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (0, None));
}

#[test]
fn host_memory_is_a_failure_with_evidence_of_its_own() {
    let mut life = Life::running(Policy::default());
    let evidence = Intent::RecordMemoryEvidence { revision: 1, ledger: Ledger::Host, peak_bytes: None };
    assert_eq!(life.end(vec![Outcome::HostOutOfMemory, failed()]), [evidence, delete(1)]);
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (1, Some(10)));
}

#[test]
fn failures_back_off_longer_each_time_and_then_fail_the_job() {
    let mut life = Life::new(Policy::default());
    for wait in [10, 20, 40] {
        life.start();
        life.end(vec![failed()]);
        life.gone();
        assert_eq!(life.backoff(), Some(wait));
        assert!(life.on(Event::StartDecided).is_empty(), "not before its backoff is over");
        life.wait(wait);
    }
    life.start();
    life.end(vec![failed()]);
    assert!(matches!(life.state.phase, Phase::Stopping { .. }), "it fails once its devices are free");
    life.gone();
    let Phase::Failed { reason: FailureReason::TooManyFailures, message } = &life.state.phase else {
        unreachable!("{:?}", life.state)
    };
    assert_eq!(message, "4 failures in a row where 3 are allowed: the program failed with exit code 1: NCCL error");
}

/// Its backoff after each of seven ends in a row that are no fault of the program.
fn backoffs(mut end: impl FnMut(&mut Life)) -> Vec<Option<i64>> {
    let mut life = Life::new(Policy { max_failures: 0, ..Policy::default() });
    (0..7)
        .map(|_| {
            life.on(Event::StartDecided);
            end(&mut life);
            assert!(matches!(life.state.phase, Phase::Stopping { .. }), "{:?}", life.state);
            life.gone();
            assert_eq!(life.state.failures, 0);
            let wait = life.backoff();
            life.wait(wait.expect("a setback waits"));
            wait
        })
        .collect()
}

#[test]
fn a_node_that_somebody_else_holds_and_one_that_refuses_a_pod_never_fail_the_job() {
    let bounded = [10, 20, 40, 80, 160, 320, 600].map(Some);
    let taken = |life: &mut Life| {
        let event = Event::NodeTaken { revision: life.state.revision, message: "n1 is held by kube-system/x".into() };
        assert_eq!(life.on(event.clone()), [delete(life.state.revision)], "whole, and at once");
        assert!(life.on(event).is_empty(), "said once");
    };
    assert_eq!(backoffs(taken), bounded);
    let refused = |life: &mut Life| {
        let revision = life.state.revision;
        life.on(Event::AllPodsBound { revision });
        life.end(vec![failed(), Outcome::refused_by_node("OutOfnvidia.com/gpu", "")]);
    };
    assert_eq!(backoffs(refused), bounded);
}

#[test]
fn a_revision_that_runs_has_its_devices() {
    let mut life = Life::running(Policy::default());
    assert!(life.on(Event::NodeTaken { revision: 1, message: "n1 is held by kube-system/x".into() }).is_empty());
    assert!(matches!(life.state.phase, Phase::Running { .. }));
}

#[test]
fn the_words_of_a_setback_say_who_and_why() {
    let taken = StopCause::NodeTaken { message: "t4-3 is held by kube-system/x".into() };
    assert_eq!(taken.sentence(), "t4-3 is held by kube-system/x");
    let refused = StopCause::RefusedByNode { message: "NodeAffinity: no match".into() };
    assert_eq!(refused.sentence(), "its node refused a pod: NodeAffinity: no match");
}

#[test]
fn a_steady_run_forgets_earlier_failures() {
    let mut life = Life::running(Policy::default());
    life.state.failures = 3;
    life.wait(3600);
    life.end(vec![failed()]);
    assert_eq!(life.state.failures, 1);
}

#[test]
fn a_disruption_restarts_without_counting_or_waiting() {
    let mut life = Life::running(Policy::default());
    assert_eq!(life.end(vec![failed(), Outcome::Disrupted]), [delete(1)]);
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (0, None));
    life.start();
    life.gone();
    assert_eq!(life.state.phase, Phase::Waiting { not_before: None, after: Some(StopCause::Disrupted) });
}

#[test]
fn a_move_asks_for_a_checkpoint_ends_the_revision_and_starts_the_next_at_once() {
    let checkpoint = Checkpoint::OnRequest { seconds: 5 };
    let mut life = Life::running(Policy { checkpoint, ..Policy::default() });
    let decided = Event::MoveDecided { message: "8 to 6".into() };
    assert_eq!(life.on(decided), [Intent::AskCheckpoint { revision: 1 }]);
    assert_eq!(life.on(TICK), [Intent::AskCheckpoint { revision: 1 }], "a crash loses nothing");
    assert!(life.on(Event::CheckpointWritten { revision: 0 }).is_empty(), "an older revision's word");
    let deletion = Intent::DeletePods { revision: 1, grace_seconds: 40 };
    assert_eq!(life.on(Event::CheckpointWritten { revision: 1 }), std::slice::from_ref(&deletion));
    assert!(life.end(vec![failed(), Outcome::Succeeded]).is_empty(), "answers to the signal");
    assert_eq!(life.on(TICK), [deletion]);
    assert_eq!(life.gone(), [Intent::CreatePods { revision: 2 }]);
    assert!(matches!(life.state.phase, Phase::Committed { .. }));
}

#[test]
fn a_checkpoint_that_does_not_come_is_not_waited_for_forever() {
    let checkpoint = Checkpoint::OnRequest { seconds: 5 };
    let mut life = Life::running(Policy { checkpoint, ..Policy::default() });
    life.on(Event::SuspendAsked);
    life.wait(40);
    assert_eq!(life.on(TICK), [Intent::DeletePods { revision: 1, grace_seconds: 40 }]);
    life.gone();
    assert_eq!(life.state.phase, Phase::Suspended);
    life.on(Event::ResumeAsked);
    life.start();
    assert_eq!(life.state.revision, 2);
}

#[test]
fn a_preempted_job_writes_a_checkpoint_and_waits_again_without_backoff() {
    let checkpoint = Checkpoint::OnRequest { seconds: 5 };
    let mut life = Life::running(Policy { checkpoint, ..Policy::default() });
    let decided = Event::PreemptDecided { message: "for ns/urgent".into() };
    assert_eq!(life.on(decided.clone()), [Intent::AskCheckpoint { revision: 1 }]);
    life.on(Event::CheckpointWritten { revision: 1 });
    life.gone();
    let after = StopCause::Preempted { message: "for ns/urgent".into() };
    assert_eq!(after.sentence(), "another job got its devices: for ns/urgent");
    assert_eq!(life.state.phase, Phase::Waiting { not_before: None, after: Some(after) });
    life.start();
    assert_eq!((life.state.revision, life.state.failures), (2, 0));
    life.on(decided);
    life.on(Event::SuspendAsked);
    life.gone();
    assert_eq!(life.state.phase, Phase::Suspended, "its user has the last word");
}

#[test]
fn a_suspension_overtakes_a_move() {
    let mut life = Life::running(Policy::default());
    life.on(Event::MoveDecided { message: String::new() });
    life.on(Event::SuspendAsked);
    assert!(life.gone().is_empty());
    assert_eq!(life.state.phase, Phase::Suspended);
}

#[test]
fn a_program_that_finishes_while_it_is_asked_for_a_checkpoint_completes() {
    let checkpoint = Checkpoint::OnRequest { seconds: 5 };
    let mut life = Life::running(Policy { checkpoint, ..Policy::default() });
    life.on(Event::MoveDecided { message: String::new() });
    life.end(vec![Outcome::Succeeded, Outcome::Succeeded]);
    life.gone();
    assert_eq!(life.state.phase, Phase::Complete);
}

#[test]
fn what_is_not_bound_in_time_is_taken_back_whole_without_counting() {
    let mut life = Life::new(Policy::default());
    life.on(Event::StartDecided);
    assert!(life.gone().is_empty(), "a revision that was just written has no pods yet");
    assert_eq!(life.on(TICK), [Intent::CreatePods { revision: 1 }], "a crash loses nothing");
    life.wait(300);
    assert_eq!(life.on(TICK), [delete(1)]);
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (0, Some(10)));
}

#[test]
fn refused_pods_say_so_while_the_job_waits() {
    let mut life = Life::new(Policy::default());
    life.on(Event::StartDecided);
    life.on(Event::PodsRejected { revision: 1, message: "exceeded quota".into() });
    life.gone();
    let Phase::Waiting { after: Some(after), .. } = &life.state.phase else { unreachable!() };
    assert_eq!(after.sentence(), "the apiserver refused a pod: exceeded quota");
}

#[test]
fn what_does_not_start_in_time_is_a_failure() {
    let mut life = Life::new(Policy::default());
    life.on(Event::StartDecided);
    life.on(Event::AllPodsBound { revision: 1 });
    life.wait(3599);
    assert!(life.on(TICK).is_empty(), "pulling an image takes its time");
    life.wait(1);
    assert_eq!(life.on(TICK), [delete(1)]);
    life.gone();
    assert_eq!((life.state.failures, life.backoff()), (1, Some(10)));
}

#[test]
fn an_exhausted_menu_fails_a_job_that_waits() {
    let mut life = Life::new(Policy::default());
    let (state, intents) = step(
        life.state.clone(),
        Event::GiveUp { reason: FailureReason::NoFeasibleSize, message: "no size fits 16 GiB".into() },
        &life.policy,
        life.now,
    );
    life.state = state;
    assert!(life.state.phase.is_final());
    assert_eq!(intents, [Intent::ReportEvent { reason: EventReason::Failed, message: "no size fits 16 GiB".into() }]);
}

#[test]
fn what_held_it_up_when_its_time_was_over_is_the_reason_of_its_end() {
    let mut life = Life::new(Policy { max_failures: 0, ..Policy::default() });
    life.on(Event::StartDecided);
    life.on(Event::AllPodsBound { revision: 1 });
    life.wait(3600);
    life.on(Event::Tick { held_up: Some("llm-r1-0: container train waits: ImagePullBackOff".into()) });
    life.gone();
    let Phase::Failed { reason: FailureReason::TooManyFailures, message } = &life.state.phase else {
        unreachable!("{:?}", life.state)
    };
    let end = "not all of its containers started in time: llm-r1-0: container train waits: ImagePullBackOff";
    assert!(message.ends_with(end), "{message}");
    let silent = StopCause::BindTimeout { message: String::new() };
    assert_eq!(silent.sentence(), "not all of its pods were bound in time");
}

#[test]
fn an_init_container_that_fails_is_a_failure_that_names_it() {
    let mut life = Life::new(Policy { max_failures: 0, ..Policy::default() });
    life.on(Event::StartDecided);
    life.on(Event::AllPodsBound { revision: 1 });
    let message = "init container fetch failed with exit code 2: no such bucket".to_owned();
    assert_eq!(life.end(vec![failed(), Outcome::InitFailed { message }]), [delete(1)]);
    life.gone();
    let Phase::Failed { message, .. } = &life.state.phase else { unreachable!("{:?}", life.state) };
    let end = "1 failures in a row where 0 are allowed: init container fetch failed with exit code 2: no such bucket";
    assert_eq!(message, end);
}

fn cordoned() -> Event {
    Event::NodeCordoned { revision: 1, message: "n1 is cordoned".into() }
}

#[test]
fn a_cordon_saves_the_state_and_lets_the_node_go_without_counting_or_waiting() {
    let checkpoint = Checkpoint::OnRequest { seconds: 5 };
    let mut life = Life::running(Policy { checkpoint, max_failures: 0, ..Policy::default() });
    assert_eq!(life.on(cordoned()), [Intent::AskCheckpoint { revision: 1 }]);
    assert!(life.on(cordoned()).is_empty(), "said once");
    let deletion = Intent::DeletePods { revision: 1, grace_seconds: 40 };
    assert_eq!(life.on(Event::CheckpointWritten { revision: 1 }), [deletion]);
    life.gone();
    assert_eq!((life.state.failures, life.state.setbacks, life.backoff()), (0, 0, None));
    life.start();
    assert_eq!(life.state.revision, 2);
}

#[test]
fn an_eviction_that_overtakes_the_checkpoint_is_the_same_departure() {
    let checkpoint = Checkpoint::OnRequest { seconds: 5 };
    let mut life = Life::running(Policy { checkpoint, ..Policy::default() });
    life.on(cordoned());
    life.end(vec![Outcome::Disrupted]);
    life.gone();
    let after = StopCause::NodeCordoned { message: "n1 is cordoned".into() };
    assert_eq!(life.state.phase, Phase::Waiting { not_before: None, after: Some(after) });
}

#[test]
fn a_revision_that_does_not_run_yet_leaves_a_cordoned_node_at_once() {
    let mut life = Life::new(Policy { checkpoint: Checkpoint::OnRequest { seconds: 5 }, ..Policy::default() });
    life.on(Event::StartDecided);
    assert_eq!(life.on(cordoned()), [Intent::DeletePods { revision: 1, grace_seconds: 40 }], "it has nothing to save");
    life.on(Event::SuspendAsked);
    life.gone();
    assert_eq!(life.state.phase, Phase::Suspended);
}
