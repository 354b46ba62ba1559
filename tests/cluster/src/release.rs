//! The releases of Kubernetes that a cluster can run.

use std::fmt;
use std::str::FromStr;

/// A release of Kubernetes, pinned to a version in `tools/`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Release {
    /// The newest one.
    #[default]
    Current,
    /// The oldest one that Plimsoll is made for; see `kubeVersion` of the chart.
    Oldest,
}

/// No such release is pinned.
#[derive(Debug, thiserror::Error)]
#[error("failed to find Kubernetes {0:?}: there are {current} and {oldest}", current = Release::Current, oldest = Release::Oldest)]
pub struct UnknownRelease(String);

impl Release {
    /// The module of the control plane's programs.
    pub(crate) fn control_plane(self) -> &'static str {
        match self {
            Self::Current => "kubernetes",
            Self::Oldest => "kubernetes-1.34",
        }
    }

    /// The module of a node's programs.
    pub(crate) fn node(self) -> &'static str {
        match self {
            Self::Current => "node",
            Self::Oldest => "node-1.34",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "1.37",
            Self::Oldest => "1.34",
        })
    }
}

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        let all = [Self::Current, Self::Oldest];
        all.into_iter().find(|release| release.to_string() == text).ok_or_else(|| UnknownRelease(text.to_owned()))
    }
}
