//! `cargo xtask test`.

mod figures;
mod gate;
mod long;
mod machine;
mod measured;
mod results;
mod running;
mod sources;

use std::time::Instant;

use anyhow::bail;

use self::gate::Gate;
use self::long::Run;

/// Run every test: format, lints, licences, unit and property tests, generated files, the chart, the story
///
/// Each gate is a command that can be run alone; its name and time are printed. The first that fails does not stop the
/// others, so that one run tells all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the gates whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// List the gates and end
    #[arg(long)]
    list: bool,
    /// After the ordinary gates run the slower proofs: other seeds, another truth, benches, images made twice, the oldest
    /// Kubernetes
    ///
    /// Results and logs are kept in target/long: an interrupted run goes on with the gates that have not passed at this
    /// commit. In a checkout with changes every run begins anew. Once all gates have passed, docs/measured.md is written.
    #[arg(long)]
    long: bool,
    /// Begin a long run anew, whatever has passed already
    #[arg(long, requires = "long")]
    from_scratch: bool,
    /// Print what docs/measured.md would say of the results of a long run so far, and end
    #[arg(long, requires = "long", conflicts_with_all = ["from_scratch", "list", "only"])]
    measured: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut all = gate::ordinary();
        if self.long {
            all.extend(gate::slower());
        }
        let chosen: Vec<_> =
            all.iter().filter(|g| self.only.as_ref().is_none_or(|o| g.name.contains(o))).cloned().collect();
        if self.list {
            for gate in &chosen {
                println!("{:<12} {}", gate.name, gate.shown());
            }
            return Ok(());
        }
        if !self.long {
            return run(&chosen).await;
        }
        let mut long = if self.from_scratch { Run::from_scratch().await? } else { Run::resumed().await? };
        if self.measured {
            print!("{}", long.page(&all));
            return Ok(());
        }
        long.go(&chosen, &all).await
    }
}

async fn run(gates: &[Gate]) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut failed = Vec::new();
    for gate in gates {
        println!("=== {}: {}", gate.name, gate.shown());
        let began = Instant::now();
        let passed = gate.run().await?;
        println!(
            "=== {} {} after {:.0} s",
            gate.name,
            if passed { "passed" } else { "FAILED" },
            began.elapsed().as_secs_f64()
        );
        if !passed {
            failed.push(gate.name);
        }
    }
    println!(
        "{} of {} gates passed in {:.0} s",
        gates.len() - failed.len(),
        gates.len(),
        started.elapsed().as_secs_f64()
    );
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
