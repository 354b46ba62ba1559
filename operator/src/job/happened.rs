//! What has happened to a job since its status was written, in the state machine's words. Pure.

use plimsoll_lifecycle::{Event, Phase, State, StopCause};

use super::gang::Gang;

/// What there is to see.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The state that its status remembers.
    pub state: &'a State,
    /// Its pods.
    pub gang: &'a Gang,
    /// How many pods its revision has.
    pub pods: u32,
    /// Pods were created that the watch has not shown yet.
    pub unseen: bool,
    /// Its user wants it suspended.
    pub suspend: bool,
    /// The apiserver refused a pod of this revision.
    pub rejected: Option<(u32, String)>,
    /// Somebody else holds devices of this revision.
    pub taken: Option<String>,
    /// A node of this revision is cordoned.
    pub cordoned: Option<String>,
    /// A checkpoint that was asked for is complete.
    pub checkpoint_written: bool,
}

/// What has happened, in the order in which the state machine is to hear it: how trainers ended comes before the word
/// that no pod is left, because afterwards nobody listens.
pub fn happened(seen: &Seen<'_>) -> Vec<Event> {
    let revision = seen.state.revision;
    let mut events = vec![if seen.suspend { Event::SuspendAsked } else { Event::ResumeAsked }];
    if let Some((revision, message)) = seen.rejected.clone() {
        events.push(Event::PodsRejected { revision, message });
    }
    if let Some(message) = seen.taken.clone() {
        events.push(Event::NodeTaken { revision, message });
    }
    if seen.checkpoint_written {
        events.push(Event::CheckpointWritten { revision });
    }
    if seen.gang.is_bound(seen.pods) {
        events.push(Event::AllPodsBound { revision });
    }
    if seen.gang.is_started(seen.pods) {
        events.push(Event::AllPodsRunning { revision });
    }
    let outcomes = seen.gang.outcomes(seen.pods, all_were_seen(seen));
    if !outcomes.is_empty() {
        events.push(Event::TrainersEnded { revision, pods: seen.pods, outcomes });
    }
    // After the ends: a program that has ended leaves its nodes anyway.
    if let Some(message) = seen.cordoned.clone() {
        events.push(Event::NodeCordoned { revision, message });
    }
    // Before PodsGone: a clock that has run out must not be heard after a revision that is new.
    let held_up = seen.gang.held_up().map(|(pod, hold_up)| format!("{pod}: {}", hold_up.message()));
    events.push(Event::Tick { held_up });
    if seen.gang.is_gone() && !seen.unseen {
        events.push(Event::PodsGone { revision });
    }
    events
}

/// Once all pods were bound, all of them were seen. A pod that is missing while we delete them is no disruption.
fn all_were_seen(seen: &Seen<'_>) -> bool {
    match &seen.state.phase {
        Phase::Starting { .. } | Phase::Running { .. } => true,
        Phase::Stopping { checkpoint_until, why, .. } => checkpoint_until.is_some() && *why != StopCause::Succeeded,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plimsoll_lifecycle::{Outcome, Policy, step};

    use super::super::gang::Member;
    use super::*;

    fn member(outcome: Option<Outcome>) -> Member {
        Member {
            name: "llm-r1-0".into(),
            uid: "1".into(),
            revision: 1,
            bound: true,
            started: true,
            hold_up: None,
            is_final: outcome.is_some(),
            outcome,
            deleting: false,
            kept: true,
        }
    }

    fn after(gang: &Gang, phase: Phase, unseen: bool) -> State {
        let state = State { revision: 1, phase, ..State::default() };
        let seen = Seen {
            state: &state,
            gang,
            pods: 1,
            unseen,
            suspend: false,
            rejected: None,
            taken: None,
            cordoned: None,
            checkpoint_written: false,
        };
        let (policy, now) = (Policy::default(), Timestamp::UNIX_EPOCH);
        happened(&seen).into_iter().fold(state.clone(), |state, event| step(state, event, &policy, now).0)
    }

    fn of(member: Member) -> Gang {
        Gang { members: [(0, member)].into(), leftovers: Vec::new() }
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_program_that_ended_well_completes_the_job_in_one_look() {
        let state = after(&of(member(Some(Outcome::Succeeded))), Phase::Running { since: NOW }, false);
        assert_eq!(state.phase, Phase::Complete);
    }

    #[test]
    fn a_short_program_may_be_seen_for_the_first_time_when_it_has_ended() {
        let state = after(&of(member(Some(Outcome::Succeeded))), Phase::Committed { since: NOW }, false);
        assert_eq!(state.phase, Phase::Complete);
    }

    #[test]
    fn a_pod_that_vanished_while_it_ran_is_a_disruption_and_the_job_waits_again() {
        let state = after(&Gang::default(), Phase::Running { since: NOW }, false);
        assert_eq!(state.phase, Phase::Waiting { not_before: None, after: Some(StopCause::Disrupted) });
    }

    #[test]
    fn pods_that_were_created_but_not_seen_yet_are_not_gone() {
        let stopping = Phase::Stopping { why: StopCause::Suspend, since: NOW, checkpoint_until: None };
        assert_eq!(after(&Gang::default(), stopping.clone(), true).phase, stopping);
        assert_ne!(after(&Gang::default(), stopping.clone(), false).phase, stopping);
    }

    #[test]
    fn exiting_well_while_it_is_stopped_is_no_completion() {
        let stopping = Phase::Stopping { why: StopCause::Suspend, since: NOW, checkpoint_until: None };
        assert_eq!(after(&of(member(Some(Outcome::Succeeded))), stopping, false).phase, Phase::Suspended);
    }

    #[test]
    fn a_committed_revision_without_pods_stays() {
        let committed = Phase::Committed { since: NOW };
        assert_eq!(after(&Gang::default(), committed.clone(), false).phase, committed);
    }
}
