//! `cargo xtask test`.

mod gate;

use std::time::Instant;

use anyhow::bail;

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
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let gates: Vec<_> =
            gate::all().into_iter().filter(|g| self.only.as_ref().is_none_or(|o| g.name.contains(o))).collect();
        if self.list {
            for gate in &gates {
                println!("{:<12} {}", gate.name, gate.shown());
            }
            return Ok(());
        }
        let started = Instant::now();
        let mut failed = Vec::new();
        for gate in &gates {
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
}
