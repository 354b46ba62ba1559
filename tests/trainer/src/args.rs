//! What the program is told: arguments, and the environment of the training contract.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_protocol::env;

/// A training program without a framework: trains by waiting.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Seconds of training in all, those before a resumed checkpoint included
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// Seconds of one optimizer step
    #[arg(long, default_value_t = 0.5, value_parser = positive)]
    pub(crate) step_seconds: f64,
    /// MiB of host memory to hold while training
    #[arg(long, default_value_t = 0)]
    pub(crate) allocate_mib: usize,
    /// Revision of the allocation
    #[arg(long, env = env::REVISION, default_value_t = 1)]
    pub(crate) revision: u32,
    /// Samples that one data-parallel rank computes at once
    #[arg(long, env = env::MICRO_BATCH)]
    pub(crate) micro_batch: Option<u32>,
    /// Micro-batches whose gradients are summed
    #[arg(long, env = env::GRADIENT_ACCUMULATION_STEPS)]
    pub(crate) accumulation: Option<u32>,
    /// Folder for checkpoints; none are kept without it
    #[arg(long, env = env::CHECKPOINT_DIR, default_value = "")]
    checkpoint_dir: String,
    /// Folder to resume from
    #[arg(long, env = env::RESUME_DIR, default_value = "")]
    resume_dir: String,
    /// Where reports go; none are sent without it
    #[arg(long, env = env::SERVER_URL, default_value = "")]
    pub(crate) server_url: String,
    /// File with the token for reports
    #[arg(long, env = env::SERVER_TOKEN)]
    pub(crate) server_token: Option<PathBuf>,
    /// File with the certificate authority of the report endpoint
    #[arg(long, env = env::SERVER_CA_CERT)]
    pub(crate) server_ca_cert: Option<PathBuf>,
    /// Rank of this node; only rank 0 reports
    #[arg(long, env = "PET_NODE_RANK", default_value_t = 0)]
    pub(crate) node_rank: u32,
}

impl Args {
    /// The folder for checkpoints.
    pub(crate) fn checkpoint_dir(&self) -> Option<&Path> {
        given(&self.checkpoint_dir)
    }

    /// The folder to resume from.
    pub(crate) fn resume_dir(&self) -> Option<&Path> {
        given(&self.resume_dir)
    }

    /// How long one step takes.
    pub(crate) fn step(&self) -> Duration {
        Duration::from_secs_f64(self.step_seconds)
    }

    /// Steps in all.
    pub(crate) fn total_steps(&self) -> u64 {
        (self.seconds / self.step_seconds).ceil() as u64
    }
}

/// The contract has a folder that is not there as an empty text.
fn given(folder: &str) -> Option<&Path> {
    (!folder.is_empty()).then(|| Path::new(folder))
}

fn positive(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    // Three years; Duration and a count of steps hold it.
    if (0.001..=1e8).contains(&seconds) { Ok(seconds) } else { Err("from 0.001 to 100000000 seconds".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn an_empty_folder_is_none_and_steps_cover_the_time() {
        let args = Args::try_parse_from(["trainer", "--resume-dir", "", "--seconds", "1.2"]).unwrap();
        assert_eq!((args.resume_dir(), args.total_steps()), (None, 3));
        assert!(Args::try_parse_from(["trainer", "--seconds", "NaN"]).is_err());
    }
}
