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
}

impl Keyed for Class {
    type Key = ClassName;

    fn key(&self) -> ClassName {
        self.name.clone()
    }
}
