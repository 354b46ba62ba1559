//! The name of a class of accelerator, and the line that says how full its devices should be.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of an AcceleratorClass, such as `h100-sxm5-80gb`.
///
/// A clone shares its text: a menu has hundreds of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ClassName(Arc<str>);

impl From<String> for ClassName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<ClassName> for String {
    fn from(name: ClassName) -> Self {
        name.as_str().to_owned()
    }
}

impl ClassName {
    /// Wraps a name; the API has checked its form already.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The load line of a class: how low SM activity may stay before a job counts as under-used, and how much of a
/// device's memory a job may be planned to fill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadLine {
    /// SM activity below which a job is under-used, as a share of 1.
    pub low_activity: f64,
    /// Share of the usable device memory that a plan may fill, as a share of 1.
    pub memory: f64,
}

impl LoadLine {
    /// The lowest activity (60 %) and the fullest memory (92 %) that Plimsoll plans for unless a class says otherwise.
    pub const DEFAULT: Self = Self { low_activity: 0.60, memory: 0.92 };
}

impl Default for LoadLine {
    fn default() -> Self {
        Self::DEFAULT
    }
}
