//! The laws of the state machine, over random sequences of events in a small world of pods.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use plimsoll_lifecycle::{Checkpoint, Event, FailureReason, Intent, Ledger, Outcome, Phase, Policy, State, step};
use proptest::prelude::*;

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::DeviceOutOfMemory { peak_bytes: Some(7) }),
        Just(Outcome::HostOutOfMemory),
        Just(Outcome::Disrupted),
        Just(Outcome::RefusedByNode { message: "OutOfnvidia.com/gpu".into() }),
        Just(Outcome::InitFailed { message: "init container fetch failed with exit code 2".into() }),
        Just(Outcome::Failed { exit_code: 1, message: "boom".into() }),
        Just(Outcome::Succeeded),
    ]
}

/// Events; what is about a revision is about the live one, or one before or after it.
fn events() -> impl Strategy<Value = (Event, u32, u64)> {
    let event = prop_oneof![
        3 => Just(Event::StartDecided),
        1 => Just(Event::MoveDecided { message: "why".into() }),
        1 => Just(Event::PreemptDecided { message: "for ns/other".into() }),
        1 => Just(Event::SuspendAsked),
        1 => Just(Event::ResumeAsked),
        3 => Just(Event::Tick { held_up: None }),
        2 => Just(Event::AllPodsBound { revision: 0 }),
        3 => Just(Event::AllPodsRunning { revision: 0 }),
        1 => Just(Event::CheckpointWritten { revision: 0 }),
        1 => Just(Event::PodsRejected { revision: 0, message: "no".into() }),
        1 => Just(Event::NodeTaken { revision: 0, message: "n1 is held by a/b".into() }),
        1 => Just(Event::NodeCordoned { revision: 0, message: "n1 is cordoned".into() }),
        3 => Just(Event::PodsGone { revision: 0 }),
        3 => prop::collection::vec(outcomes(), 0..3)
            .prop_map(|outcomes| Event::TrainersEnded { revision: 0, pods: 2, outcomes }),
    ];
    let gave_up = Event::GiveUp { reason: FailureReason::NoFeasibleSize, message: "none left".into() };
    let event = prop_oneof![40 => event, 1 => Just(gave_up)];
    (event, prop_oneof![8 => Just(1_u32), 1 => Just(0), 1 => Just(2)], prop_oneof![0_u64..30, Just(400), Just(5000)])
}

fn policies() -> impl Strategy<Value = Policy> {
    let checkpoint = prop_oneof![
        Just(Checkpoint::None),
        Just(Checkpoint::OnSignal { seconds: 5 }),
        Just(Checkpoint::OnRequest { seconds: 5 })
    ];
    (0_u32..4, checkpoint).prop_map(|(max_failures, checkpoint)| Policy {
        max_failures,
        checkpoint,
        ..Policy::default()
    })
}

fn about(event: Event, live: u32, offset: u32) -> Event {
    let revision = (live + offset).saturating_sub(1);
    match event {
        Event::AllPodsBound { .. } => Event::AllPodsBound { revision },
        Event::AllPodsRunning { .. } => Event::AllPodsRunning { revision },
        Event::CheckpointWritten { .. } => Event::CheckpointWritten { revision },
        Event::PodsRejected { message, .. } => Event::PodsRejected { revision, message },
        Event::NodeTaken { message, .. } => Event::NodeTaken { revision, message },
        Event::NodeCordoned { message, .. } => Event::NodeCordoned { revision, message },
        Event::PodsGone { .. } => Event::PodsGone { revision },
        Event::TrainersEnded { pods, outcomes, .. } => Event::TrainersEnded { revision, pods, outcomes },
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold(policy in policies(), events in prop::collection::vec(events(), 1..60)) {
        let mut state = State::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut alive: BTreeSet<u32> = BTreeSet::new();
        let mut created: BTreeSet<u32> = BTreeSet::new();
        let mut told: BTreeSet<(u32, Ledger)> = BTreeSet::new();
        for (event, offset, seconds) in events {
            now += SignedDuration::from_secs(seconds.cast_signed());
            let event = about(event, state.revision, offset);
            if let Event::PodsGone { revision } = &event {
                alive.remove(revision);
            }
            let before = state.clone();
            let (next, intents) = step(state, event.clone(), &policy, now);

            // Final states are final, and stale news is no news.
            let stale = event.revision().is_some_and(|revision| revision != before.revision);
            if before.phase.is_final() || stale {
                prop_assert_eq!(&before, &next);
                prop_assert!(intents.is_empty());
            }
            // Revisions grow by one, and only by a commit.
            prop_assert!(next.revision == before.revision || next.revision == before.revision + 1);
            if next.revision > before.revision {
                let committed = matches!(next.phase, Phase::Committed { .. });
                prop_assert!(committed, "a revision that is not committed");
                prop_assert!(!intents.is_empty());
            }
            for intent in &intents {
                match intent {
                    Intent::CreatePods { revision } => {
                        prop_assert!(alive.iter().all(|other| other == revision), "two live revisions: {alive:?}");
                        prop_assert!(created.last().is_none_or(|last| last <= revision));
                        prop_assert_eq!(*revision, next.revision);
                        alive.insert(*revision);
                        created.insert(*revision);
                    }
                    Intent::DeletePods { revision, .. } | Intent::AskCheckpoint { revision } => {
                        prop_assert_eq!(*revision, next.revision);
                    }
                    Intent::RecordMemoryEvidence { revision, ledger, .. } => {
                        let Event::TrainersEnded { outcomes, .. } = &event else {
                            return Err(TestCaseError::fail("evidence without an end"));
                        };
                        let seen = outcomes.iter().any(|outcome| match ledger {
                            Ledger::Device => matches!(outcome, Outcome::DeviceOutOfMemory { .. }),
                            Ledger::Host => *outcome == Outcome::HostOutOfMemory,
                        });
                        prop_assert!(seen, "{ledger:?} evidence from {outcomes:?}");
                        prop_assert!(told.insert((*revision, *ledger)), "said twice");
                    }
                    Intent::ReportEvent { .. } => {}
                }
            }
            // Who holds no devices has no pods; who fails did so within its rights.
            if !next.phase.holds_devices() {
                prop_assert!(alive.is_empty(), "{:?} with pods of {alive:?}", next.phase);
            }
            // What the cluster did is no failure of the program.
            let innocent = match &event {
                Event::NodeTaken { .. } | Event::NodeCordoned { .. } => true,
                Event::TrainersEnded { outcomes, .. } => {
                    outcomes.iter().min().is_some_and(|worst| matches!(worst, Outcome::RefusedByNode { .. }))
                }
                _ => false,
            };
            prop_assert!(!innocent || next.failures <= before.failures, "{event:?} counted as a failure");
            if let Phase::Failed { reason: FailureReason::TooManyFailures, .. } = next.phase {
                prop_assert!(next.failures > policy.max_failures);
            }
            // Saying it again changes nothing, except that a tick repeats what a crash could have lost.
            let (again, repeated) = step(next.clone(), event.clone(), &policy, now);
            if matches!(event, Event::AllPodsBound { .. } | Event::AllPodsRunning { .. } | Event::TrainersEnded { .. }) {
                prop_assert_eq!(&again, &next);
                prop_assert!(repeated.is_empty());
            }
            state = next;
        }
    }
}
