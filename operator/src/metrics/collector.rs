//! Metrics of the last view. A `GaugeVec` would keep a job's series for ever; this shows what there is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use plimsoll_scheduling::JobKey;
use plimsoll_telemetry::prometheus::core::{Collector, Desc};
use plimsoll_telemetry::prometheus::proto::{MetricFamily, MetricType};
use plimsoll_telemetry::prometheus::{self, Opts, core::Describer as _, proto};

use super::gpu_states::GpuState;
use super::view::View;

/// The last view, and what adds up from view to view.
#[derive(Debug, Default)]
pub struct Shown {
    view: View,
    since: Option<Instant>,
    gpu_seconds: BTreeMap<(String, GpuState), f64>,
    resizes: BTreeMap<(JobKey, &'static str), u64>,
}

impl Shown {
    /// Shows `view` from `now` on. Until now devices did what the view before it said.
    pub fn show(&mut self, view: View, now: Instant) {
        if let Some(since) = self.since {
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            for (series, gpus) in &self.view.gpus {
                *self.gpu_seconds.entry(series.clone()).or_default() += seconds * f64::from(*gpus);
            }
        }
        self.resizes.retain(|(job, _), _| view.jobs.contains_key(job));
        self.since = Some(now);
        self.view = view;
    }

    /// Counts a move to another size.
    pub fn resized(&mut self, job: &JobKey, direction: &'static str) {
        *self.resizes.entry((job.clone(), direction)).or_default() += 1;
    }
}

/// Values by label values.
type Series = Vec<(Vec<String>, f64)>;

/// One family of series.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: MetricType,
    series: fn(&Shown) -> Series,
}

const JOB: &[&str] = &["namespace", "job_name"];
const QUEUE: &[&str] = &["queue", "class"];

/// All families.
const FAMILIES: &[Family] = &[
    Family {
        name: "plimsoll_gpus",
        help: "Devices by class and state; every device is in exactly one.",
        labels: &["class", "state"],
        kind: MetricType::GAUGE,
        series: |shown| shown.view.gpus.iter().map(|((class, state), n)| (gpu(class, *state), f64::from(*n))).collect(),
    },
    Family {
        name: "plimsoll_gpu_seconds_total",
        help: "Device-seconds by class and state; every device-second is in exactly one.",
        labels: &["class", "state"],
        kind: MetricType::COUNTER,
        series: |shown| shown.gpu_seconds.iter().map(|((class, state), n)| (gpu(class, *state), *n)).collect(),
    },
    Family {
        name: "plimsoll_pending_jobs",
        help: "Jobs that hold nothing, by the reason why.",
        labels: &["queue", "reason"],
        kind: MetricType::GAUGE,
        series: |shown| {
            shown.view.pending.iter().map(|((queue, why), n)| (vec![queue.clone(), why.clone()], *n as f64)).collect()
        },
    },
    Family {
        name: "plimsoll_job_gpus",
        help: "Devices that a job holds.",
        labels: &["namespace", "job_name", "queue"],
        kind: MetricType::GAUGE,
        series: |shown| {
            let jobs = shown.view.jobs.iter();
            jobs.map(|(key, job)| ([names(key), vec![job.queue.clone()]].concat(), f64::from(job.gpus))).collect()
        },
    },
    Family {
        name: "plimsoll_job_state",
        help: "1 for the state that a job is in.",
        labels: &["namespace", "job_name", "state"],
        kind: MetricType::GAUGE,
        series: |shown| {
            shown.view.jobs.iter().map(|(key, job)| ([names(key), vec![job.state.into()]].concat(), 1.0)).collect()
        },
    },
    Family {
        name: "plimsoll_job_step_seconds",
        help: "Wall time of an optimizer step, as the program reports it.",
        labels: JOB,
        kind: MetricType::GAUGE,
        series: |shown| per_job(shown, |job| job.step_seconds),
    },
    Family {
        name: "plimsoll_job_utilization_ratio",
        help: "SM activity over the last whole window, mean over the devices of a job.",
        labels: JOB,
        kind: MetricType::GAUGE,
        series: |shown| per_job(shown, |job| job.utilization),
    },
    Family {
        name: "plimsoll_job_utilization_target_low_ratio",
        help: "SM activity below which a job counts as under-used.",
        labels: JOB,
        kind: MetricType::GAUGE,
        series: |shown| per_job(shown, |job| job.low),
    },
    Family {
        name: "plimsoll_job_memory_headroom_ratio",
        help: "Share of the memory line that the reported peak leaves free; negative past the line.",
        labels: JOB,
        kind: MetricType::GAUGE,
        series: |shown| per_job(shown, |job| job.headroom),
    },
    Family {
        name: "plimsoll_job_last_report_timestamp_seconds",
        help: "When a job's program last reported.",
        labels: JOB,
        kind: MetricType::GAUGE,
        series: |shown| per_job(shown, |job| job.reported_at.map(|at| at as f64)),
    },
    Family {
        name: "plimsoll_job_resizes_total",
        help: "Moves of a job to another allocation, by whether it has more or fewer devices afterwards.",
        labels: &["namespace", "job_name", "direction"],
        kind: MetricType::COUNTER,
        series: |shown| {
            let all = shown.resizes.iter();
            all.map(|((key, direction), n)| ([names(key), vec![(*direction).into()]].concat(), *n as f64)).collect()
        },
    },
    Family {
        name: "plimsoll_cycle_gap_ratio",
        help: "How much better the sizes of the last plan could be at most, as a share of the bound.",
        labels: &[],
        kind: MetricType::GAUGE,
        series: |shown| shown.view.gap.map(|gap| (Vec::new(), gap)).into_iter().collect(),
    },
    Family {
        name: "plimsoll_queue_nominal_gpus",
        help: "Devices that are a queue's own, by class.",
        labels: QUEUE,
        kind: MetricType::GAUGE,
        series: |shown| per_queue(shown, |queue| queue.nominal),
    },
    Family {
        name: "plimsoll_queue_held_gpus",
        help: "Devices that the jobs of a queue hold, by class.",
        labels: QUEUE,
        kind: MetricType::GAUGE,
        series: |shown| per_queue(shown, |queue| Some(queue.held)),
    },
    Family {
        name: "plimsoll_queue_borrowed_gpus",
        help: "Devices that the jobs of a queue hold beyond its own, by class.",
        labels: QUEUE,
        kind: MetricType::GAUGE,
        series: |shown| per_queue(shown, |queue| Some(queue.borrowed())),
    },
    Family {
        name: "plimsoll_queue_waiting_gpus",
        help: "Devices that the waiting jobs of a queue ask for, by the class that each prefers.",
        labels: QUEUE,
        kind: MetricType::GAUGE,
        series: |shown| per_queue(shown, |queue| Some(queue.waiting)),
    },
    Family {
        name: "plimsoll_queue_budget_used_ratio",
        help: "The spent share of a budget in its current period; from 1 on nothing starts.",
        labels: &["queue", "unit", "period"],
        kind: MetricType::GAUGE,
        series: |shown| shown.view.budgets.clone(),
    },
];

fn per_queue(shown: &Shown, value: impl Fn(&super::QueueView) -> Option<u32>) -> Series {
    let all = shown.view.queues.iter();
    all.filter_map(|((queue, class), view)| Some((vec![queue.clone(), class.clone()], value(view)?.into()))).collect()
}

fn gpu(class: &str, state: GpuState) -> Vec<String> {
    vec![class.to_owned(), state.as_str().to_owned()]
}

fn names(key: &JobKey) -> Vec<String> {
    vec![key.namespace.clone(), key.name.clone()]
}

fn per_job(shown: &Shown, value: impl Fn(&super::JobView) -> Option<f64>) -> Series {
    shown.view.jobs.iter().filter_map(|(key, job)| Some((names(key), value(job)?))).collect()
}

/// The collector.
pub struct Views {
    shown: Arc<Mutex<Shown>>,
    descriptions: Vec<Desc>,
}

impl Views {
    /// Collects from `shown`.
    ///
    /// # Errors
    /// When a name is malformed.
    pub fn new(shown: Arc<Mutex<Shown>>) -> prometheus::Result<Self> {
        let describe = |family: &Family| {
            let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
            Opts::new(family.name, family.help).variable_labels(labels).describe()
        };
        Ok(Self { shown, descriptions: FAMILIES.iter().map(describe).collect::<Result<_, _>>()? })
    }
}

impl Collector for Views {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        FAMILIES.iter().filter_map(|family| encode(family, &shown)).collect()
    }
}

fn encode(family: &Family, shown: &Shown) -> Option<MetricFamily> {
    let series = (family.series)(shown);
    if series.is_empty() {
        return None;
    }
    let metrics = series.into_iter().map(|(values, value)| {
        let mut metric = proto::Metric::default();
        let labels = family.labels.iter().zip(values).map(|(name, value)| {
            let mut label = proto::LabelPair::default();
            label.set_name((*name).into());
            label.set_value(value);
            label
        });
        metric.set_label(labels.collect());
        if family.kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    let mut encoded = MetricFamily::default();
    encoded.set_name(family.name.into());
    encoded.set_help(family.help.into());
    encoded.set_field_type(family.kind);
    encoded.set_metric(metrics.collect());
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::queues::QueueView;
    use super::super::view::JobView;
    use super::*;

    fn view(job: &str, free: u32) -> View {
        let key = JobKey { namespace: "nlp".into(), name: job.into() };
        View {
            gpus: [(("h100".to_owned(), GpuState::Free), free)].into(),
            jobs: [(key, JobView { gpus: 8, state: "Running", ..JobView::default() })].into(),
            ..View::default()
        }
    }

    fn text(shown: &Arc<Mutex<Shown>>) -> String {
        let families = Views::new(shown.clone()).unwrap().collect();
        prometheus::TextEncoder::new().encode_to_string(&families).unwrap()
    }

    #[test]
    fn series_of_a_job_vanish_with_it() {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let now = Instant::now();
        shown.lock().unwrap().show(view("a", 1), now);
        shown.lock().unwrap().resized(&JobKey { namespace: "nlp".into(), name: "a".into() }, "down");
        assert!(
            text(&shown).contains(r#"plimsoll_job_gpus{namespace="nlp",job_name="a",queue=""} 8"#),
            "{}",
            text(&shown)
        );
        assert!(text(&shown).contains(r#"direction="down""#));
        shown.lock().unwrap().show(view("b", 1), now);
        assert!(!text(&shown).contains(r#"job_name="a""#));
        assert!(text(&shown).contains(r#"job_name="b""#));
    }

    #[test]
    fn queues_budgets_and_the_gap_are_shown() {
        let shown = Arc::new(Mutex::new(Shown::default()));
        assert!(!text(&shown).contains("plimsoll_cycle_gap_ratio"), "no plan has said");
        let queue = QueueView { nominal: Some(8), held: 12, waiting: 4 };
        let view = View {
            queues: [(("nlp".to_owned(), "h100".to_owned()), queue)].into(),
            budgets: vec![(["nlp", "GpuHours", "Month"].map(str::to_owned).to_vec(), 0.5)],
            gap: Some(0.003),
            ..View::default()
        };
        shown.lock().unwrap().show(view, Instant::now());
        for line in [
            "plimsoll_cycle_gap_ratio 0.003",
            r#"plimsoll_queue_nominal_gpus{queue="nlp",class="h100"} 8"#,
            r#"plimsoll_queue_held_gpus{queue="nlp",class="h100"} 12"#,
            r#"plimsoll_queue_borrowed_gpus{queue="nlp",class="h100"} 4"#,
            r#"plimsoll_queue_waiting_gpus{queue="nlp",class="h100"} 4"#,
            r#"plimsoll_queue_budget_used_ratio{queue="nlp",unit="GpuHours",period="Month"} 0.5"#,
        ] {
            assert!(text(&shown).contains(line), "{line} is not in\n{}", text(&shown));
        }
    }

    #[test]
    fn device_seconds_add_up_by_what_was_seen_before() {
        let shown = Arc::new(Mutex::new(Shown::default()));
        let now = Instant::now();
        shown.lock().unwrap().show(view("a", 4), now);
        shown.lock().unwrap().show(view("a", 1), now + Duration::from_secs(10));
        shown.lock().unwrap().show(view("a", 1), now + Duration::from_secs(12));
        assert!(
            text(&shown).contains(r#"plimsoll_gpu_seconds_total{class="h100",state="free"} 42"#),
            "{}",
            text(&shown)
        );
    }
}
