//! `cargo xtask bench`.

mod latency;
mod placement;
mod plan;
mod policy;
mod queues;
mod sizing;

/// Measure how long it takes from applying a job that fits until all its pods are bound; or, with `sizing`, how well sizing
/// predicts published measurements
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// How many jobs
    #[arg(long, default_value_t = 20)]
    jobs: usize,
    /// Name of the cluster
    #[arg(long, default_value = "bench")]
    name: String,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Compare what sizing predicts with published measurements, table by table
    Sizing(sizing::Args),
    /// Compare the planner with its peers' policies over traces
    Policy(policy::Args),
    /// Time whole plans, events and refusals at 64, 2,048 and 16,384 GPUs
    Plan(plan::Args),
    /// Fill a cluster with pods, and time placement
    Placement(placement::Args),
    /// Play Kueue's published scenarios through the planner
    Queues(queues::Args),
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            None => latency::run(self.jobs, &self.name).await,
            Some(What::Sizing(args)) => args.run(),
            Some(What::Plan(args)) => args.run(),
            Some(What::Placement(args)) => args.run(),
            Some(What::Policy(args)) => args.run(),
            Some(What::Queues(args)) => args.run(),
        }
    }
}
