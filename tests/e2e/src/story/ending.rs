//! The acts of the story.

use std::path::PathBuf;

use crate::binaries::checkout;

/// One job of the story.
#[derive(Clone, Debug)]
pub struct Act {
    /// Its letter in the story.
    pub letter: char,
    /// Name of its TrainingJob.
    pub job: &'static str,
    /// Its manifest.
    pub file: PathBuf,
    /// What it shows, in one line.
    pub about: &'static str,
}

/// The acts, in the order in which their jobs are applied. The last one needs a real node.
pub fn acts(real_node: bool) -> Vec<Act> {
    let act = |letter, job, about| Act { letter, job, file: checkout().join(format!("examples/{job}.yaml")), about };
    let mut acts = vec![
        act('a', "llama3-8b-lora", "sized right at once, from its config.json"),
        act('b', "transformer-oom", "runs out of device memory once, then runs at a smaller micro-batch"),
        act('c', "resnet-elastic", "asks for 8 GPUs, keeps them under the line, is shrunk"),
        act('d', "gang-8x4", "8 pods of 4 GPUs that fit only once (c) has shrunk"),
        act('e', "live-batch", "leaves its GPUs nearly empty; its micro-batch grows while it runs"),
    ];
    if real_node {
        acts.push(act('f', "host-memory", "is ended by the kernel for its host memory once, then gets more of it"));
    }
    acts
}
