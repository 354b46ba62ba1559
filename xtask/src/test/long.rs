//! A long run: one gate after the other, each result kept, until all have passed and the page is written.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use plimsoll_e2e::binaries::checkout;

use super::figures;
use super::gate::Gate;
use super::machine::Machine;
use super::measured;
use super::results::{GateResult, Results};
use super::running::Running;
use super::sources::Sources;

/// A run, with what earlier ones of the same sources gave.
#[derive(Debug)]
pub(super) struct Run {
    folder: PathBuf,
    results: Results,
}

impl Run {
    /// Takes up where the last run of these sources was left.
    pub(super) async fn resumed() -> anyhow::Result<Self> {
        let folder = folder()?;
        let results = Results::load(&folder.join(RESULTS))?.carried_over(&Sources::read().await?);
        Ok(Self { folder, results })
    }

    /// Begins with nothing.
    pub(super) async fn from_scratch() -> anyhow::Result<Self> {
        Ok(Self { folder: folder()?, results: Results::of(Sources::read().await?) })
    }

    /// The page about all gates, with the results so far.
    pub(super) fn page(&self, all: &[Gate]) -> String {
        measured::page(all, &self.results, &Machine::read(), Timestamp::now())
    }

    /// Runs those of the chosen gates that have not passed; writes the page once all gates there are have.
    pub(super) async fn go(&mut self, chosen: &[Gate], all: &[Gate]) -> anyhow::Result<()> {
        let remaining: Vec<_> = self.results.remaining(chosen).into_iter().cloned().collect();
        if remaining.len() < chosen.len() {
            println!("{} of {} gates have passed at this commit", chosen.len() - remaining.len(), chosen.len());
        }
        for gate in &remaining {
            self.pass(gate).await?;
        }
        let failed: Vec<_> = self.results.remaining(chosen).into_iter().map(|gate| gate.name).collect();
        println!("{} of {} gates passed", chosen.len() - failed.len(), chosen.len());
        if !failed.is_empty() {
            bail!("failed: {}; the next run goes on with these", failed.join(", "));
        }
        if self.results.remaining(all).is_empty() && !self.results.sources.changed {
            let page = checkout().join(measured::FILE);
            std::fs::write(&page, self.page(all)).with_context(|| format!("failed to write {}", page.display()))?;
            println!("wrote {}", measured::FILE);
        }
        Ok(())
    }

    async fn pass(&mut self, gate: &Gate) -> anyhow::Result<()> {
        println!("=== {}: {}", gate.name, gate.shown());
        let log = self.folder.join(format!("{}.log", gate.name));
        let command = gate.command().await?;
        let began = Instant::now();
        let passed = Running::start(command, &log)?.succeeded().await?;
        let seconds = began.elapsed().as_secs_f64();
        println!("=== {} {} after {seconds:.0} s", gate.name, if passed { "passed" } else { "FAILED" });
        let now = Sources::read().await?;
        ensure!(
            self.results.sources.changed || now == self.results.sources,
            "the checkout changed while {} ran, so its result is not kept; start again",
            gate.name
        );
        let output = std::fs::read(&log).with_context(|| format!("failed to read {}", log.display()))?;
        let figures = figures::read(&String::from_utf8_lossy(&output));
        self.results.gates.insert(gate.name.to_owned(), GateResult { passed, seconds, figures });
        self.results.save(&self.folder.join(RESULTS))
    }
}

const RESULTS: &str = "results.json";

/// Where results and logs are, which git ignores.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = checkout().join("target/long");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(folder)
}
