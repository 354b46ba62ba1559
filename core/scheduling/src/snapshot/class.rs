//! Classes of accelerator.

use plimsoll_menu::{ClassName, LoadLine};
use serde::{Deserialize, Serialize};

use super::Keyed;

/// A class of accelerator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub name: ClassName,
    /// Extended resource that its devices are requested by, such as `nvidia.com/gpu`.
    pub resource: String,
    /// How full its devices should be.
    pub line: LoadLine,
    /// Money for an hour of one device, in the cluster's currency, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Electric power of one device that works, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<f64>,
}

impl Keyed for Class {
    type Key = ClassName;

    fn key(&self) -> ClassName {
        self.name.clone()
    }
}
