//! The status of a TrainingQueue: what its jobs hold, and what they have used.

use k8s_openapi::apimachinery::pkg::{
    api::resource::Quantity,
    apis::meta::v1::{Condition, Time},
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{BudgetUnit, Period};

/// What a queue holds now, and what it has used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainingQueueStatus {
    /// Conditions: Ready.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Jobs that wait.
    #[serde(default)]
    pub waiting_jobs: i32,
    /// Jobs that hold accelerators.
    #[serde(default)]
    pub running_jobs: i32,
    /// Held of what it may hold, per class, such as `h100-sxm5-80gb 8/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// Accelerators of all classes that it holds beyond its own quota.
    #[serde(default)]
    pub borrowed_gpus: i32,
    /// What the queue holds of each class.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub held: Vec<HeldClass>,
    /// Until when use is counted in the figures below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounted_at: Option<Time>,
    /// What its jobs have used in the periods that run now; within a period it only grows.
    #[serde(default)]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["period"]))]
    pub usage: Vec<PeriodUsage>,
    /// What its jobs have used on each of the last 30 days, the newest first.
    #[serde(default)]
    #[schemars(length(max = 30), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["date"]))]
    pub days: Vec<DailyUsage>,
    /// Past use by which queues are put in order: what was used long ago counts less.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub fair_share: Vec<FairShare>,
    /// What is spent of each budget.
    #[serde(default)]
    #[schemars(length(max = 12), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["unit", "period"]))]
    pub budgets: Vec<BudgetUse>,
}

/// What a queue holds of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldClass {
    /// Name of the class.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Accelerators that its jobs hold.
    pub gpus: i32,
    /// Those of them that are beyond its own quota.
    #[serde(default)]
    pub borrowed: i32,
}

/// What the jobs of a queue have used in a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodUsage {
    /// The period.
    pub period: Period,
    /// When it began.
    pub began_at: Time,
    /// Seconds of one accelerator.
    pub gpu_seconds: i64,
    /// Energy of the accelerators, in joules.
    pub energy_joules: i64,
    /// Greenhouse gas of that energy, in grams of CO2 equivalent.
    pub carbon_grams: i64,
    /// What the accelerators cost.
    pub cost: Cost,
}

/// What the jobs of a queue have used on one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DailyUsage {
    /// The day in UTC, such as 2026-11-25.
    #[schemars(length(max = 10))]
    pub date: String,
    /// Seconds of one accelerator.
    pub gpu_seconds: i64,
    /// Energy of the accelerators, in joules.
    pub energy_joules: i64,
    /// Greenhouse gas of that energy, in grams of CO2 equivalent.
    pub carbon_grams: i64,
    /// What the accelerators cost.
    pub cost: Cost,
}

/// Money, in that of whoever runs the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// How much; accelerators of classes without a price add nothing.
    pub amount: Quantity,
}

/// Past use of one class, by which queues are put in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FairShare {
    /// Name of the class.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Seconds of one accelerator as of accountedAt, where each half-life halves what was used before it.
    pub gpu_seconds: i64,
}

/// What is spent of a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetUse {
    /// What is counted.
    pub unit: BudgetUnit,
    /// The period.
    pub period: Period,
    /// How much of it is spent.
    pub used: Quantity,
    /// The same in percent of the limit; 100 or more stops starts.
    pub used_percent: i32,
    /// When the next period begins.
    pub ends_at: Time,
}
