use std::sync::Arc;

use plimsoll_crds::training_queue::{Period, PeriodUsage, TrainingQueueStatus};
use serde_json::json;

use super::*;

const RATES: Rates = Rates { half_life_seconds: 3600.0, carbon_grams_per_kilowatt_hour: 500.0 };

fn at(text: &str) -> Timestamp {
    format!("2026-11-{text}Z").parse().unwrap()
}

fn queue(name: &str, parent: Option<&str>, status: Option<&TrainingQueueStatus>) -> Arc<TrainingQueue> {
    let budgets = json!([{"unit": "GpuHours", "limit": "10", "period": "Day"}]);
    let mut queue: TrainingQueue =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"budgets": budgets}})).unwrap();
    queue.spec.parent_name = parent.map(str::to_owned);
    queue.status = status.cloned();
    Arc::new(queue)
}

/// Eight devices of 360 W at 2 an hour each, held by a job of queue `team`.
fn held(revision: u32, since: Timestamp) -> BTreeMap<JobKey, Holding> {
    let key = JobKey { namespace: "nlp".into(), name: "llm".into() };
    let holding = Holding {
        queue: "team".into(),
        revision,
        class: "h100".into(),
        gpus: 8,
        since,
        watts: 8.0 * 360.0,
        price_per_hour: 16.0,
    };
    [(key, holding)].into()
}

fn written(accounts: &Accounts, queue: &TrainingQueue) -> TrainingQueueStatus {
    let mut status = TrainingQueueStatus::default();
    accounts.queues[&queue.name_any()].write(&queue.spec.budgets, &mut status);
    status
}

fn of(status: &TrainingQueueStatus, period: Period) -> &PeriodUsage {
    status.usage.iter().find(|usage| usage.period == period).unwrap()
}

#[test]
fn an_hour_of_eight_devices_is_counted_in_every_figure_and_in_the_parent_too() {
    let queues = [queue("team", Some("all"), None), queue("all", None, None)];
    let mut accounts = Accounts::default();
    for minute in 0..=60 {
        let now = at("25T12:00:00") + SignedDuration::from_mins(minute);
        accounts.count(&queues, held(1, at("25T12:00:00")), RATES, now);
    }
    let status = written(&accounts, &queues[0]);
    let today = of(&status, Period::Day);
    assert_eq!((today.gpu_seconds, today.energy_joules, today.carbon_grams), (28_800, 10_368_000, 1440));
    assert_eq!(today.cost.amount.0, "16");
    assert_eq!((status.days.len(), status.days[0].date.as_str()), (1, "2026-11-25"));
    assert_eq!((status.budgets[0].used.0.as_str(), status.budgets[0].used_percent), ("8", 80));
    // Integral of the decay over one half-life: 8 GPUs x 3600 s x (1 - 1/2) / ln 2.
    assert!((status.fair_share[0].gpu_seconds - 20_775).abs() <= 10, "{:?}", status.fair_share);
    let parent = written(&accounts, &queues[1]);
    assert_eq!(of(&parent, Period::Month).gpu_seconds, 28_800);
    assert_eq!(parent.fair_share, [], "past use is a queue's own: the planner adds it up");
}

#[test]
fn a_new_leader_goes_on_where_the_status_ends_and_counts_nothing_twice() {
    let (start, end) = (at("25T12:00:00"), at("25T12:10:00"));
    let mut first = Accounts::default();
    first.count(&[queue("team", None, None)], held(1, start), RATES, start);
    first.count(&[queue("team", None, None)], held(1, start), RATES, at("25T12:04:00"));
    let kept = written(&first, &queue("team", None, None));
    // The first leader counts on without writing; then another begins from what is written.
    first.count(&[queue("team", None, None)], held(1, start), RATES, end);
    let queues = [queue("team", None, Some(&kept))];
    let mut second = Accounts::default();
    second.count(&queues, held(1, start), RATES, end);
    assert_eq!(written(&second, &queues[0]), written(&first, &queues[0]));
    assert_eq!(of(&written(&second, &queues[0]), Period::Week).gpu_seconds, 8 * 600);
}

#[test]
fn use_over_midnight_is_of_both_days_and_a_new_period_begins_with_nothing() {
    let queues = [queue("team", None, None)];
    let mut accounts = Accounts::default();
    accounts.count(&queues, held(1, at("30T23:00:00")), RATES, at("30T23:00:00"));
    let after = "2026-12-01T00:30:00Z".parse().unwrap();
    accounts.count(&queues, held(1, at("30T23:00:00")), RATES, after);
    let status = written(&accounts, &queues[0]);
    let seconds: Vec<_> = status.days.iter().map(|day| (day.date.as_str(), day.gpu_seconds)).collect();
    assert_eq!(seconds, [("2026-12-01", 8 * 1800), ("2026-11-30", 8 * 3600)]);
    assert_eq!(of(&status, Period::Month).gpu_seconds, 8 * 1800);
    assert_eq!(of(&status, Period::Week).gpu_seconds, 8 * 5400, "the week began on Monday the 30th");
}

#[test]
fn a_revision_that_takes_another_s_place_is_not_counted_beside_it() {
    let queues = [queue("team", None, None)];
    let mut accounts = Accounts::default();
    accounts.count(&queues, held(1, at("25T12:00:00")), RATES, at("25T12:00:00"));
    accounts.count(&queues, held(2, at("25T12:00:04")), RATES, at("25T12:00:10"));
    accounts.count(&queues, BTreeMap::new(), RATES, at("25T12:00:20"));
    accounts.count(&queues, BTreeMap::new(), RATES, at("25T12:01:20"));
    assert_eq!(of(&written(&accounts, &queues[0]), Period::Day).gpu_seconds, 8 * 20);
}

#[test]
fn figures_are_written_when_there_is_news_and_at_most_every_half_minute() {
    let queues = [queue("team", None, None)];
    let (mut accounts, start) = (Accounts::default(), at("25T12:00:00"));
    let later = |seconds| start + SignedDuration::from_secs(seconds);
    accounts.count(&queues, BTreeMap::new(), RATES, start);
    assert!(accounts.news("team", start).is_some(), "its account begins");
    accounts.wrote("team", start);
    accounts.count(&queues, BTreeMap::new(), RATES, later(60));
    assert!(accounts.news("team", later(60)).is_none(), "nothing was used");
    accounts.count(&queues, held(1, later(60)), RATES, later(70));
    assert!(accounts.news("team", later(70)).is_some());
    accounts.wrote("team", later(70));
    accounts.count(&queues, held(1, later(60)), RATES, later(80));
    assert!(accounts.news("team", later(80)).is_none());
    assert!(accounts.news("team", later(100)).is_some());
}
