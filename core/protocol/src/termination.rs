//! The termination message: the last word of a container, at most 4 KiB, read from the pod's status.

use serde::{Deserialize, Serialize};

/// What a program may write to its termination log when it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    /// Why it ended: `OutOfMemory` means the memory of a device.
    pub reason: String,
    /// Peak of device memory before it failed, in bytes, where known: what was held plus what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl TerminationMessage {
    /// The reason of a program that ran out of device memory.
    pub const OUT_OF_MEMORY: &'static str = "OutOfMemory";

    /// Reads a message; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_is_no_message() {
        assert_eq!(TerminationMessage::parse("Traceback (most recent call last)"), None);
    }

    #[test]
    fn out_of_memory_carries_its_peak() {
        let message = TerminationMessage::parse(r#"{"reason":"OutOfMemory","peakMemoryBytes":42}"#).unwrap();
        assert_eq!(message.reason, TerminationMessage::OUT_OF_MEMORY);
        assert_eq!(message.peak_memory_bytes, Some(42));
    }
}
