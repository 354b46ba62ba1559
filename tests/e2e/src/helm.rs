//! The chart, installed as a user would.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use plimsoll_test_cluster::Tools;
use tokio::process::Command;

use crate::binaries::checkout;

/// Namespace that the chart is installed into.
pub const NAMESPACE: &str = "plimsoll";
/// Name of the release.
pub const RELEASE: &str = "plimsoll";

/// Runs helm against one cluster.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Helm {
    /// For the cluster of `kubeconfig`; helm keeps its own files under `home`.
    pub fn new(tools: &Tools, kubeconfig: PathBuf, home: &Path) -> Self {
        Self { program: tools.helm.clone(), kubeconfig, home: home.join("helm") }
    }

    /// Installs the chart of this checkout with `values` files on top of its own.
    ///
    /// # Errors
    /// What helm said.
    pub async fn install(&self, values: &[PathBuf]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["install", RELEASE]).arg(checkout().join("charts/plimsoll"));
        command.args(["--namespace", NAMESPACE, "--create-namespace"]);
        for file in values {
            command.arg("--values").arg(file);
        }
        self.run(command).await.map(drop)
    }

    /// Runs the chart's own tests.
    ///
    /// # Errors
    /// What helm said.
    pub async fn test(&self) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["test", RELEASE, "--namespace", NAMESPACE, "--timeout", "120s", "--logs"]);
        self.run(command).await
    }

    /// Uninstalls the chart.
    ///
    /// # Errors
    /// What helm said.
    pub async fn uninstall(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"]);
        self.run(command).await.map(drop)
    }

    async fn run(&self, mut command: Command) -> anyhow::Result<String> {
        command.env("KUBECONFIG", &self.kubeconfig).env("HELM_CACHE_HOME", self.home.join("cache"));
        command.env("HELM_CONFIG_HOME", self.home.join("config")).env("HELM_DATA_HOME", self.home.join("data"));
        let output = command.output().await.context("failed to run helm")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("helm failed: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
