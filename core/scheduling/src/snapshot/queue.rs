//! Queues: what a team may hold, and of whom it may borrow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_menu::ClassName;
use serde::{Deserialize, Serialize};

use super::Keyed;

/// A queue and what it may hold. Queues form a tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The queue it is part of. One without a parent borrows of nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it may hold, per class; a class that is not named is not allowed. `None` means no limit of its own on any.
    pub classes: Option<BTreeMap<ClassName, Share>>,
    /// How much of what is lent it gets beside its siblings; above 0.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// Namespaces whose jobs may use it; `None` means all.
    pub namespaces: Option<Vec<String>>,
    /// Moves that one job may make in an hour; `None` means the cluster's limit alone.
    pub moves_per_job_hour: Option<u32>,
    /// Whose devices its waiting jobs may take.
    #[serde(default, skip_serializing_if = "is_default")]
    pub preemption: Preemption,
    /// What its jobs may spend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// GPU-seconds that its jobs have held, decayed with the half-life of the rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub usage: BTreeMap<ClassName, f64>,
    /// As of when `usage` is decayed; `None` without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_at: Option<Timestamp>,
}

impl Queue {
    /// A queue without limits or a parent.
    pub fn unlimited(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parent: None,
            classes: None,
            weight: 1.0,
            namespaces: None,
            moves_per_job_hour: None,
            preemption: Preemption::default(),
            budgets: Vec::new(),
            usage: BTreeMap::new(),
            usage_at: None,
        }
    }
}

impl Keyed for Queue {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

/// Devices of one class that a queue may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// What is its own.
    pub nominal: u32,
    /// What it may hold beyond that of what its siblings do not use; `None` means all that they lend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borrowing_limit: Option<u32>,
    /// What it lends of its own while it does not use it; `None` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lending_limit: Option<u32>,
}

impl Share {
    /// So many devices of its own, and whatever is lent.
    pub fn of(nominal: u32) -> Self {
        Self { nominal, borrowing_limit: None, lending_limit: None }
    }
}

/// Whose devices the waiting jobs of a queue may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preemption {
    /// Within the queue.
    pub within_queue: Takes,
    /// Of queues that hold more than is their own, up to what is its own.
    pub reclaim: Reclaims,
}

/// Whom a waiting job may take devices from, within its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Takes {
    /// Nobody.
    Never,
    /// Jobs of lower priority.
    #[default]
    LowerPriority,
}

/// Whom a waiting job may take devices from that its queue has lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reclaims {
    /// Nobody.
    Never,
    /// Jobs of lower priority.
    LowerPriority,
    /// Any job.
    #[default]
    Any,
}

/// What the jobs of a queue may spend in a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Of what.
    pub unit: BudgetUnit,
    /// How much in the period.
    pub limit: f64,
    /// How much of it is spent.
    pub used: f64,
    /// When the next period begins.
    pub period_ends: Timestamp,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BudgetUnit {
    /// Hours of one device.
    GpuHours,
    /// Money, in the cluster's currency.
    Money,
    /// Kilowatt-hours.
    KilowattHours,
    /// Kilograms of CO2 equivalent.
    KilogramsCo2,
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
