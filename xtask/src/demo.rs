//! `cargo xtask demo`.

mod live;
mod preflight;
mod summary;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use plimsoll_e2e::binaries::Binaries;
use plimsoll_e2e::fleet::FleetState;
use plimsoll_e2e::stage::{Stage, StageSpec, demo_values};
use plimsoll_e2e::story::{expectations, refused};
use plimsoll_test_cluster::Release;

/// Run the whole story on a real Kubernetes: from kubectl apply to corrected allocations
///
/// Brings up a control plane with fake GPU nodes, installs the chart with helm, runs the operator and an agent per node as
/// the chart says, applies the jobs of examples/ with kubectl, and shows what happens to them until all have ended.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End with an error unless everything holds that must hold of the story
    #[arg(long)]
    check: bool,
    /// Leave everything running at the end; `cargo xtask down` stops it
    #[arg(long)]
    keep: bool,
    /// Kill the leading operator in the middle of the story
    #[arg(long)]
    kill_leader: bool,
    /// Seed of the ground truth: what the jobs really need
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Another ground truth [default: tests/fleet/truth/default.yaml]
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Another cluster [default: tests/cluster/clusters/demo.yaml]
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    /// No real node, even where this machine could run one: operator and agents run as processes, and (f) is left out
    #[arg(long)]
    fake_only: bool,
    /// Release of Kubernetes: 1.37, or 1.34, the oldest that Plimsoll is made for
    #[arg(long, value_name = "RELEASE", default_value_t = Release::Current)]
    kubernetes: Release,
    /// Name of the cluster, so that several can stand side by side
    #[arg(long, default_value = "demo")]
    name: String,
    /// How much faster than real time training goes
    #[arg(long, default_value_t = 60.0)]
    time_scale: f64,
    /// Minutes after which the story is given up
    #[arg(long, default_value_t = 12)]
    minutes: u64,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let started = Instant::now();
        let progress = |line: &str| println!("{line}");
        preflight::say_what_is_missing()?;
        let binaries = Binaries::build(&progress).await?;
        let spec = StageSpec {
            name: self.name.clone(),
            cluster: self.cluster.clone(),
            truth: self.truth.clone(),
            seed: self.seed,
            time_scale: self.time_scale,
            fake_only: self.fake_only,
            kubernetes: self.kubernetes,
            values: Vec::new(),
        };
        let stage = Stage::set(&spec, &binaries, &progress).await?;
        println!("\nThe chart was installed with these values ({}):", demo_values().display());
        println!("{}", indent(&std::fs::read_to_string(demo_values())?));
        println!("The story:");
        for act in stage.acts() {
            println!("  ({}) {:<16} {}", act.letter, act.job, act.about);
        }
        println!();

        let bound = Duration::from_secs(60 * self.minutes);
        let told = live::tell(&stage, bound, self.kill_leader).await;
        let result = match &told {
            Ok(told) => self.conclude(&stage, told).await,
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        println!("\nthe story took {:.0} s in all", started.elapsed().as_secs_f64());
        if self.keep {
            println!("left running: export KUBECONFIG={}", stage.cluster.kubeconfig().display());
            println!("stop: cargo xtask down --name {}", self.name);
            stage.cluster.detach();
        } else {
            stage.cluster.down().await?;
        }
        result
    }

    async fn conclude(&self, stage: &Stage, told: &live::Told) -> anyhow::Result<()> {
        let fleet = FleetState::read(&stage.fleet_folder())?;
        summary::print(stage, told, &stage.system_pods().await?);
        let mut findings = expectations(&told.record, &stage.acts());
        findings.push(refused(&stage.cluster.audit_log())?);
        println!("\nWhat must hold:");
        for finding in &findings {
            println!("  {} {:<48} {}", if finding.holds { "ok  " } else { "FAIL" }, finding.expected, finding.seen);
        }
        let broken = findings.iter().filter(|f| !f.holds).count();
        if fleet.overcommitted > 0 {
            bail!("{} pods asked for devices that their node had not", fleet.overcommitted);
        }
        if broken > 0 && self.check {
            bail!("{broken} of {} expectations do not hold", findings.len());
        }
        Ok(())
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
