//! What the jobs of a queue may spend.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the jobs of a queue may spend in a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueBudget {
    /// What is counted.
    pub unit: BudgetUnit,
    /// How much of it may be spent in a period.
    #[x_kube(validation = Rule::new("!quantity(string(self)).isLessThan(quantity('0'))").message("budgets[].limit must not be below 0"))]
    pub limit: Quantity,
    /// The period, which begins at midnight UTC: every day, on Mondays, or on the first of the month.
    pub period: Period,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BudgetUnit {
    /// Hours of one accelerator.
    GpuHours,
    /// Money, by pricePerHour of the classes.
    Money,
    /// Energy of the accelerators, in kWh: as measured by the agents, by watts of the class where they are silent.
    KilowattHours,
    /// Greenhouse gas of that energy, in kg of CO2 equivalent, by the cluster's carbonGramsPerKilowattHour.
    KilogramsCo2,
}

impl BudgetUnit {
    /// The word as it stands in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GpuHours => "GpuHours",
            Self::Money => "Money",
            Self::KilowattHours => "KilowattHours",
            Self::KilogramsCo2 => "KilogramsCo2",
        }
    }
}

/// A period of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to that of the next.
    Month,
}

impl Period {
    /// All periods.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// The word as it stands in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
        }
    }
}
