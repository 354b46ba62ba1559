//! The state machine of one job: state and event to the next state and intents.
//!
//! ```text
//!              StartDecided            AllPodsBound           AllPodsRunning
//!   Waiting ────────────────▶ Committed ─────────▶ Starting ─────────────────▶ Running
//!    ▲   ▲                      ▲  │                  │                          │
//!    │   │ ResumeAsked          │  │ BindTimeout      │ StartTimeout             │ MoveDecided, PreemptDecided,
//!    │   │                      │  │ PodsRejected,    │ NodeTaken,               │ SuspendAsked, NodeCordoned,
//!    │   │                      │  │ NodeTaken,       │ NodeCordoned             │ TrainersEnded
//!    │  Suspended ◀──┐          │  ▼ NodeCordoned     ▼                          ▼
//!    │               └──────────┼──────────────── Stopping ◀─────────────────────┘
//!    │                 suspend  │ move (next         │
//!    └──────────────────────────┴── revision) ───────┤ PodsGone
//!      failure, disruption, cordon, preemption       ├──▶ Complete
//!                                                    └──▶ Failed
//! ```
//!
//! Laws, kept by the property tests:
//! * A revision ends whole, and no other one starts before its last pod is gone: at most one revision can write.
//! * Revisions only grow. What is said about an older one is ignored.
//! * `Complete` and `Failed` are final, and a job in them holds no devices.
//! * Evidence of device memory and of host memory never cross.
//! * Intents are idempotent, and [`Event::Tick`] repeats those that a crash could have lost. Evidence and reports are
//!   said once: carry them out before (or together with) writing the new state.

mod event;
mod intent;
mod outcome;
mod policy;
mod state;
mod step;

pub use event::Event;
pub use intent::{EventReason, Intent, Ledger};
pub use outcome::{ContainerEnd, Outcome};
pub use policy::{Checkpoint, Policy};
pub use state::{FailureReason, Phase, State, StopCause};
pub use step::step;
