//! How a trainer container ended.

use plimsoll_protocol::TerminationMessage;

/// How a trainer container ended, worst first: when pods of one revision end differently, the smallest is the cause and
/// the rest are its echo. Memory comes first, because ranks that lose a peer fail with an ordinary error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A device ran out of memory.
    DeviceOutOfMemory {
        /// The peak that the program reported, in bytes.
        peak_bytes: Option<u64>,
    },
    /// The container ran out of host memory.
    HostOutOfMemory,
    /// The node refused the pod before any of its containers ran.
    RefusedByNode {
        /// The kubelet's word and sentence, shortened.
        message: String,
    },
    /// The cluster took the pod away.
    Disrupted,
    /// An init container failed, so that the trainer never ran.
    InitFailed {
        /// Which one, its exit code and its last words.
        message: String,
    },
    /// The program failed.
    Failed {
        /// Its exit code.
        exit_code: i32,
        /// What it left behind, shortened.
        message: String,
    },
    /// The program ended well.
    Succeeded,
}

/// What Kubernetes says about a container that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerEnd<'a> {
    /// `terminated.exitCode`.
    pub exit_code: i32,
    /// `terminated.reason`, such as `OOMKilled` or `Error`.
    pub reason: &'a str,
    /// `terminated.message`: the termination message, or the end of the log.
    pub message: &'a str,
    /// The cluster was taking the pod away when it ended.
    pub disrupted: bool,
}

/// Longest message that is kept, in bytes.
const LONGEST_MESSAGE: usize = 512;

/// Texts by which frameworks say that a device ran out of memory.
const DEVICE_TEXTS: [&str; 4] =
    ["CUDA out of memory", "torch.OutOfMemoryError", "CUBLAS_STATUS_ALLOC_FAILED", "RESOURCE_EXHAUSTED: Out of memory"];

/// Text by which PyTorch says that the *host* ran out of memory.
const HOST_TEXT: &str = "DefaultCPUAllocator: ";

impl Outcome {
    /// Reads the end of a trainer container.
    ///
    /// The exit code goes first: a program that ended well had enough of everything. But one that was told to end may
    /// exit with 0 once it has saved, and is not done. Then the kernel's word (`OOMKilled`, host memory), which is surer
    /// than any text; then what the program says; then the cluster's word, since a program that is being evicted ends
    /// badly for no fault of its own.
    pub fn of(end: &ContainerEnd<'_>) -> Self {
        let ContainerEnd { exit_code, reason, message, disrupted } = *end;
        if exit_code == 0 {
            return if disrupted { Self::Disrupted } else { Self::Succeeded };
        }
        if reason == "OOMKilled" {
            return Self::HostOutOfMemory;
        }
        if let Some(outcome) = said_by_program(message) {
            return outcome;
        }
        if disrupted {
            return Self::Disrupted;
        }
        let message = if message.trim().is_empty() { reason } else { message };
        Self::Failed { exit_code, message: last_words(message) }
    }
}

impl Outcome {
    /// The end of a pod that its node refused, with the kubelet's word and sentence.
    pub fn refused_by_node(reason: &str, message: &str) -> Self {
        let message = if message.trim().is_empty() { reason.to_owned() } else { format!("{reason}: {message}") };
        Self::RefusedByNode { message: last_words(&message) }
    }

    /// The end of a pod whose init container failed.
    pub fn init_failed(container: &str, end: &ContainerEnd<'_>) -> Self {
        let words = if end.message.trim().is_empty() { end.reason } else { end.message };
        let message = format!("init container {container} failed with exit code {}", end.exit_code);
        let message = if words.is_empty() { message } else { format!("{message}: {}", last_words(words)) };
        Self::InitFailed { message }
    }

    /// Memory of either kind ran out.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::DeviceOutOfMemory { .. } | Self::HostOutOfMemory)
    }
}

/// What the program itself says about memory: the JSON of the protocol on a line of its own, or a framework's text.
fn said_by_program(message: &str) -> Option<Outcome> {
    if let Some(TerminationMessage { reason, peak_memory_bytes: peak_bytes }) =
        message.lines().rev().find_map(TerminationMessage::parse)
    {
        let device = reason == TerminationMessage::OUT_OF_MEMORY;
        return device.then_some(Outcome::DeviceOutOfMemory { peak_bytes });
    }
    if DEVICE_TEXTS.iter().any(|text| message.contains(text)) {
        return Some(Outcome::DeviceOutOfMemory { peak_bytes: None });
    }
    message.contains(HOST_TEXT).then_some(Outcome::HostOutOfMemory)
}

/// The end of a text, because programs say last what went wrong.
fn last_words(text: &str) -> String {
    let text = text.trim();
    let mut start = text.len().saturating_sub(LONGEST_MESSAGE);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end<'a>(exit_code: i32, reason: &'a str, message: &'a str) -> ContainerEnd<'a> {
        ContainerEnd { exit_code, reason, message, disrupted: false }
    }

    #[test]
    fn oom_killed_is_host_memory_whatever_the_log_says() {
        assert_eq!(Outcome::of(&end(137, "OOMKilled", "CUDA out of memory")), Outcome::HostOutOfMemory);
    }

    #[test]
    fn the_protocols_message_is_device_memory_with_its_peak() {
        let message = r#"{"reason":"OutOfMemory","peakMemoryBytes":42}"#;
        assert_eq!(Outcome::of(&end(1, "Error", message)), Outcome::DeviceOutOfMemory { peak_bytes: Some(42) });
        let after_a_log = format!("Traceback ...\n{message}\n");
        assert_eq!(Outcome::of(&end(1, "Error", &after_a_log)), Outcome::DeviceOutOfMemory { peak_bytes: Some(42) });
    }

    #[test]
    fn the_texts_of_the_frameworks_are_device_memory() {
        for text in DEVICE_TEXTS {
            let log = format!("step 12\n{text} while trying to allocate");
            assert_eq!(Outcome::of(&end(1, "Error", &log)), Outcome::DeviceOutOfMemory { peak_bytes: None }, "{text}");
        }
    }

    #[test]
    fn the_cpu_allocator_is_host_memory() {
        let log = "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes";
        assert_eq!(Outcome::of(&end(1, "Error", log)), Outcome::HostOutOfMemory);
    }

    #[test]
    fn a_program_that_ended_well_had_enough() {
        assert_eq!(Outcome::of(&end(0, "Completed", "recovered from CUDA out of memory")), Outcome::Succeeded);
    }

    #[test]
    fn a_program_that_saved_because_it_was_told_to_end_is_not_done() {
        let told = ContainerEnd { disrupted: true, ..end(0, "Completed", "") };
        assert_eq!(Outcome::of(&told), Outcome::Disrupted);
    }

    #[test]
    fn an_init_container_that_fails_is_named_with_its_exit_and_its_last_words() {
        let failed = Outcome::init_failed("fetch", &end(2, "Error", "no such bucket\n"));
        let message = "init container fetch failed with exit code 2: no such bucket".to_owned();
        assert_eq!(failed, Outcome::InitFailed { message });
        assert!(failed < Outcome::of(&end(1, "Error", "rendezvous timed out")) && failed > Outcome::Disrupted);
        let silent = Outcome::init_failed("fetch", &end(137, "OOMKilled", ""));
        assert_eq!(
            silent,
            Outcome::InitFailed { message: "init container fetch failed with exit code 137: OOMKilled".into() }
        );
    }

    #[test]
    fn an_evicted_program_did_not_fail() {
        let evicted = ContainerEnd { exit_code: 143, reason: "Error", message: "", disrupted: true };
        assert_eq!(Outcome::of(&evicted), Outcome::Disrupted);
        let out_of_memory = ContainerEnd { message: "CUDA out of memory", ..evicted };
        assert_eq!(Outcome::of(&out_of_memory), Outcome::DeviceOutOfMemory { peak_bytes: None });
    }

    #[test]
    fn a_refusal_of_the_node_is_worse_than_the_failures_that_follow_from_it() {
        let refused = Outcome::refused_by_node("UnexpectedAdmissionError", "no device");
        assert_eq!(refused, Outcome::RefusedByNode { message: "UnexpectedAdmissionError: no device".into() });
        assert!(refused < Outcome::of(&end(1, "Error", "rendezvous timed out")) && refused < Outcome::Disrupted);
        assert_eq!(Outcome::refused_by_node("Evicted", ""), Outcome::RefusedByNode { message: "Evicted".into() });
    }

    #[test]
    fn an_ordinary_failure_keeps_its_last_words() {
        let log = format!("{}é the end", "x".repeat(2000));
        let Outcome::Failed { exit_code: 3, message } = Outcome::of(&end(3, "Error", &log)) else { unreachable!() };
        assert!(message.ends_with("é the end") && message.len() <= LONGEST_MESSAGE, "{message}");
        let silent = Outcome::of(&end(2, "ContainerCannotRun", " "));
        assert_eq!(silent, Outcome::Failed { exit_code: 2, message: "ContainerCannotRun".into() });
    }
}
