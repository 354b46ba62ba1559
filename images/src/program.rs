//! The programs of this workspace that have an image.

use std::str::FromStr;

/// A program that has an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The operator.
    Operator,
    /// The agent.
    Agent,
    /// The training program of demos and tests.
    Trainer,
}

/// No program of this name has an image.
#[derive(Debug, thiserror::Error)]
#[error("failed to find an image called {0:?}: there are operator, agent and trainer")]
pub struct UnknownProgram(String);

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Agent, Self::Trainer];

    /// Its package, and so its file.
    pub fn package(self) -> &'static str {
        match self {
            Self::Operator => "plimsoll-operator",
            Self::Agent => "plimsoll-agent",
            Self::Trainer => "plimsoll-demo-trainer",
        }
    }

    /// Libraries that it does not name but opens or whose plugins it opens, by file name.
    pub(crate) fn libraries(self) -> &'static [&'static str] {
        match self {
            // The driver's library comes from the node and was linked against these, which are empty by now.
            Self::Agent => &["libdl.so.2", "libpthread.so.0", "librt.so.1"],
            Self::Operator | Self::Trainer => &[],
        }
    }
}

impl FromStr for Program {
    type Err = UnknownProgram;

    fn from_str(name: &str) -> Result<Self, UnknownProgram> {
        match name {
            "operator" => Ok(Self::Operator),
            "agent" => Ok(Self::Agent),
            "trainer" => Ok(Self::Trainer),
            other => Err(UnknownProgram(other.to_owned())),
        }
    }
}
