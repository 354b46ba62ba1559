//! What queues use: GPU-seconds, energy, carbon and money, counted from cycle to cycle and kept in their status. Pure.
//!
//! The status is the ledger. It says until when use is counted in it, and whoever leads next goes on from there with what jobs
//! hold then: nothing is counted twice, and what is lost is the use of jobs that ended between the last write and the
//! change of leader.

mod account;
mod holding;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use plimsoll_crds::TrainingQueue;
use plimsoll_scheduling::JobKey;

pub(crate) use self::account::Account;
pub(crate) use self::holding::{Holding, holdings};

/// Least time between two writes of figures that only grow.
const FLUSH: SignedDuration = SignedDuration::from_secs(30);

/// By what use is turned into its figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// Seconds after which past use counts half; 0 keeps none.
    pub(crate) half_life_seconds: f64,
    /// Grams of CO2 equivalent for each kWh.
    pub(crate) carbon_grams_per_kilowatt_hour: f64,
}

/// The accounts of all queues.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    queues: BTreeMap<String, Account>,
    held: BTreeMap<JobKey, Holding>,
    written: BTreeMap<String, Timestamp>,
}

impl Accounts {
    /// Counts until `now`. What was held at the last look was held until now, whatever has happened to it since; what is new
    /// is held since it was committed.
    pub(crate) fn count(
        &mut self,
        queues: &[std::sync::Arc<TrainingQueue>],
        holdings: BTreeMap<JobKey, Holding>,
        rates: Rates,
        now: Timestamp,
    ) {
        let names: BTreeSet<String> = queues.iter().map(|queue| queue.name_any()).collect();
        self.queues.retain(|name, _| names.contains(name));
        self.written.retain(|name, _| names.contains(name));
        for queue in queues {
            self.queues.entry(queue.name_any()).or_insert_with(|| Account::of(queue, now));
        }
        let parents: BTreeMap<String, String> =
            queues.iter().filter_map(|queue| Some((queue.name_any(), queue.spec.parent_name.clone()?))).collect();
        let before = std::mem::take(&mut self.held);
        for (key, held) in &before {
            match holdings.get(key) {
                Some(new) if new.revision == held.revision => {}
                new => self.charge(held, &parents, rates, (new.map_or(now, |new| new.since.min(now)), now)),
            }
        }
        for held in holdings.values() {
            self.charge(held, &parents, rates, (now, now));
        }
        for account in self.queues.values_mut() {
            account.close(rates, now);
        }
        self.held = holdings;
    }

    /// Charges a queue and all that it is part of.
    fn charge(
        &mut self,
        held: &Holding,
        parents: &BTreeMap<String, String>,
        rates: Rates,
        until: (Timestamp, Timestamp),
    ) {
        let mut charged: BTreeSet<&str> = BTreeSet::new();
        let mut next = Some(held.queue.as_str());
        // A queue that is part of itself is charged once.
        while let Some(name) = next.filter(|name| charged.insert(name)) {
            if let Some(account) = self.queues.get_mut(name) {
                account.charge(held, name == held.queue, rates, until);
            }
            next = parents.get(name).map(String::as_str);
        }
    }

    /// The account of a queue, where it has something to say and may say it.
    pub(crate) fn news(&self, queue: &str, now: Timestamp) -> Option<&Account> {
        let is_due = self.written.get(queue).is_none_or(|at| now.duration_since(*at) >= FLUSH);
        self.queues.get(queue).filter(|account| account.has_news && is_due)
    }

    /// Notes that the account of a queue was written.
    pub(crate) fn wrote(&mut self, queue: &str, now: Timestamp) {
        self.written.insert(queue.to_owned(), now);
        if let Some(account) = self.queues.get_mut(queue) {
            account.has_news = false;
        }
    }
}

#[cfg(test)]
mod tests;
