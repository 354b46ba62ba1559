//! The form of saved snapshots.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The form that is written and read.
const CURRENT: u32 = 2;

/// The form of a snapshot. Another one than this program's is refused when it is read, rather than misread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CURRENT.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = u32::deserialize(deserializer)?;
        if version == CURRENT {
            return Ok(Self);
        }
        Err(D::Error::custom(format_args!(
            "version: the snapshot was saved in form {version} and this program reads form {CURRENT}; use the release that saved it"
        )))
    }
}
