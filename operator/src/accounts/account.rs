//! What one queue has used.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time};
use plimsoll_crds::TrainingQueue;
use plimsoll_crds::training_queue::{
    BudgetUse, Cost, DailyUsage, FairShare, Period, PeriodUsage, QueueBudget, TrainingQueueStatus,
};
use plimsoll_observe::{period, quantity::Amount, spent};

use super::{Holding, Rates};

/// Days that a status keeps.
const DAYS: usize = 30;
/// Joules of a kilowatt-hour.
const JOULES: f64 = 3.6e6;

/// What one queue has used, with all that is part of it; and the past use of its own jobs alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    /// Until when use is counted.
    until: Timestamp,
    periods: BTreeMap<Period, (Timestamp, Used)>,
    days: BTreeMap<Date, Used>,
    /// GPU-seconds of each class, decayed until `until`.
    past: BTreeMap<String, f64>,
    /// What is to be added to that at the end of a count.
    fresh: BTreeMap<String, f64>,
    /// There is something that the status does not say.
    pub(super) has_news: bool,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Used {
    gpu_seconds: f64,
    energy_joules: f64,
    carbon_grams: f64,
    cost: f64,
}

impl Account {
    /// The account that a queue's status keeps; a queue without one begins now.
    pub(crate) fn of(queue: &TrainingQueue, now: Timestamp) -> Self {
        let status = queue.status.clone().unwrap_or_default();
        let used = |gpu_seconds: i64, energy_joules: i64, carbon_grams: i64, cost: &Cost| Used {
            gpu_seconds: gpu_seconds as f64,
            energy_joules: energy_joules as f64,
            carbon_grams: carbon_grams as f64,
            cost: Amount::try_from(&cost.amount).map_or(0.0, Amount::as_f64),
        };
        let of_period = |usage: &PeriodUsage| {
            let PeriodUsage { period, began_at, gpu_seconds, energy_joules, carbon_grams, cost } = usage;
            (*period, (began_at.0, used(*gpu_seconds, *energy_joules, *carbon_grams, cost)))
        };
        let of_day = |usage: &DailyUsage| {
            let DailyUsage { date, gpu_seconds, energy_joules, carbon_grams, cost } = usage;
            Some((date.parse().ok()?, used(*gpu_seconds, *energy_joules, *carbon_grams, cost)))
        };
        Self {
            // A clock that was ahead must not count what is still to come.
            until: status.accounted_at.as_ref().map_or(now, |at| at.0.min(now)),
            periods: status.usage.iter().map(of_period).collect(),
            days: status.days.iter().filter_map(of_day).collect(),
            past: status.fair_share.iter().map(|past| (past.class.clone(), past.gpu_seconds as f64)).collect(),
            fresh: BTreeMap::new(),
            has_news: status.accounted_at.is_none(),
        }
    }

    /// Counts what a job holds, from where the account ends or from when the job got it, until `to`. `own` is whether the job
    /// is the queue's own, and not that of one below it. [`close`](Self::close) at `now` follows.
    pub(crate) fn charge(&mut self, held: &Holding, own: bool, rates: Rates, (to, now): (Timestamp, Timestamp)) {
        let mut from = self.until.max(held.since);
        while from < to {
            let end = period::ends(Period::Day, from).min(to);
            let seconds = end.duration_since(from).as_secs_f64();
            let energy_joules = seconds * held.watts;
            let used = Used {
                gpu_seconds: seconds * f64::from(held.gpus),
                energy_joules,
                carbon_grams: energy_joules / JOULES * rates.carbon_grams_per_kilowatt_hour,
                cost: seconds / 3600.0 * held.price_per_hour,
            };
            self.days.entry(period::date(from)).or_default().add(used);
            for period in Period::ALL {
                self.of_period(period, from).add(used);
            }
            if own {
                let age = seconds / 2.0 + now.duration_since(end).as_secs_f64();
                let past = used.gpu_seconds * kept(rates.half_life_seconds, age);
                *self.fresh.entry(held.class.clone()).or_default() += past;
            }
            self.has_news = true;
            from = end;
        }
    }

    /// What is used of the period that an instant is in; a new one begins with nothing.
    fn of_period(&mut self, period: Period, at: Timestamp) -> &mut Used {
        let began = period::begins(period, at);
        let entry = self.periods.entry(period).or_insert((began, Used::default()));
        if entry.0 < began {
            *entry = (began, Used::default());
            self.has_news = true;
        }
        &mut entry.1
    }

    /// Ends a count at `now`.
    pub(crate) fn close(&mut self, rates: Rates, now: Timestamp) {
        let seconds = now.duration_since(self.until).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        for past in self.past.values_mut() {
            *past *= kept(rates.half_life_seconds, seconds);
        }
        for (class, fresh) in std::mem::take(&mut self.fresh) {
            *self.past.entry(class).or_default() += fresh;
        }
        self.past.retain(|_, past| *past >= 0.5);
        for period in Period::ALL {
            self.of_period(period, now);
        }
        while self.days.len() > DAYS {
            self.days.pop_first();
        }
        self.until = now;
    }

    /// Writes the account into a status.
    pub(crate) fn write(&self, budgets: &[QueueBudget], status: &mut TrainingQueueStatus) {
        status.accounted_at = Some(Time(self.until));
        status.usage = self.periods.iter().map(|(period, (began, used))| used.of_period(*period, *began)).collect();
        status.days = self.days.iter().rev().map(|(date, used)| used.of_day(*date)).collect();
        status.fair_share = self
            .past
            .iter()
            .map(|(class, past)| FairShare { class: class.clone(), gpu_seconds: past.round() as i64 })
            .collect();
        status.budgets = budgets.iter().map(|budget| self.budget(budget, &status.usage)).collect();
    }

    fn budget(&self, budget: &QueueBudget, usage: &[PeriodUsage]) -> BudgetUse {
        let current = usage.iter().find(|usage| usage.period == budget.period);
        let used = current.map_or(0.0, |usage| spent(budget.unit, usage));
        let limit = Amount::try_from(&budget.limit).map_or(0.0, Amount::as_f64);
        BudgetUse {
            unit: budget.unit,
            period: budget.period,
            used: quantity(used),
            // Rounded down: 100 is said when it is spent. Of nothing, all is spent.
            used_percent: if limit > 0.0 { (used / limit * 100.0).floor().min(1e6) as i32 } else { 100 },
            ends_at: Time(period::ends(budget.period, self.until)),
        }
    }
}

impl Used {
    fn add(&mut self, more: Self) {
        self.gpu_seconds += more.gpu_seconds;
        self.energy_joules += more.energy_joules;
        self.carbon_grams += more.carbon_grams;
        self.cost += more.cost;
    }

    // Rounded down, so that nothing that is written ever shrinks.
    fn of_period(&self, period: Period, began: Timestamp) -> PeriodUsage {
        PeriodUsage {
            period,
            began_at: Time(began),
            gpu_seconds: self.gpu_seconds.floor() as i64,
            energy_joules: self.energy_joules.floor() as i64,
            carbon_grams: self.carbon_grams.floor() as i64,
            cost: Cost { amount: quantity(self.cost) },
        }
    }

    fn of_day(&self, date: Date) -> DailyUsage {
        DailyUsage {
            date: date.to_string(),
            gpu_seconds: self.gpu_seconds.floor() as i64,
            energy_joules: self.energy_joules.floor() as i64,
            carbon_grams: self.carbon_grams.floor() as i64,
            cost: Cost { amount: quantity(self.cost) },
        }
    }
}

/// The share of past use that still counts after so many seconds.
fn kept(half_life_seconds: f64, seconds: f64) -> f64 {
    if half_life_seconds > 0.0 { (-seconds.max(0.0) / half_life_seconds).exp2() } else { 0.0 }
}

/// An amount to the thousandth, rounded down.
fn quantity(amount: f64) -> Quantity {
    let milli = (amount * 1000.0).floor().max(0.0) as u64;
    Quantity(if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") })
}
