//! What a simulation takes as given.

use crate::world::World;

/// What a restart costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestartCost {
    /// What the application's table says (rule 9, Sia).
    ByApplication,
    /// The same seconds for all (rule 9, Pollux: 30).
    Flat(f64),
}

/// Which changes of an allocation are restarts (rule 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Another kind of GPU or other counts per node; the same counts on other nodes of the kind are free.
    FreeWithinKind,
    /// Any change.
    Paid,
}

/// Where an elastic job's beliefs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The truth, once the kind of GPU was tried.
    Oracle,
    /// Seven parameters, fitted to what it measured.
    Refit,
}

/// The rules of a simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What a restart costs.
    pub restart: RestartCost,
    /// Share of that cost that a change of a running job has to pay, 0 to 1; a first start always pays it in full.
    pub resize_share: f64,
    /// Which changes are restarts.
    pub moves: Moves,
    /// Whether steps are slower than profiled, by application (rule 4).
    pub slowdown: bool,
    /// Whether the local batch is bounded as in the Pollux simulator, which gives yolov3 half of what was profiled.
    pub pollux_memory: bool,
    /// Where beliefs come from.
    pub knowledge: Knowledge,
    /// What goes wrong.
    pub world: World,
    /// Event-driven where there is a number: arrivals and ends are seen so many seconds after they happen at most, and the policy
    /// is asked at once; without events it is still asked at its rounds. Above 0.
    pub events_seconds: Option<f64>,
}

impl Rules {
    /// As the simulator of the Sia paper has them.
    pub const SIA: Self = Self {
        restart: RestartCost::ByApplication,
        resize_share: 1.0,
        moves: Moves::FreeWithinKind,
        slowdown: true,
        pollux_memory: false,
        knowledge: Knowledge::Refit,
        world: World::CALM,
        events_seconds: None,
    };

    /// As the simulator of the Pollux paper has them.
    pub const POLLUX: Self = Self {
        restart: RestartCost::Flat(30.0),
        resize_share: 1.0,
        moves: Moves::Paid,
        slowdown: false,
        pollux_memory: true,
        knowledge: Knowledge::Refit,
        world: World::CALM,
        events_seconds: None,
    };

    /// A real cluster: profiles and restart costs as Sia has them, every move paid, and things go wrong by seed.
    pub const fn real(seed: u64) -> Self {
        Self { moves: Moves::Paid, world: World::real(seed), ..Self::SIA }
    }
}
