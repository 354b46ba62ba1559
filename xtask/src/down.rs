//! `cargo xtask down`.

use std::time::Instant;

use plimsoll_test_cluster::Cluster;

/// Stop a cluster that `up` started, and remove what it wrote
///
/// Ends exactly the processes that belong to it, from any terminal.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the cluster
    #[arg(long, default_value = "demo")]
    name: String,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let started = Instant::now();
        Cluster::attach(&self.name, None)?.down().await?;
        println!("cluster {} is down after {:.1?}", self.name, started.elapsed());
        Ok(())
    }
}
