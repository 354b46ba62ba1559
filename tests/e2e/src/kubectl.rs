//! kubectl, as a user would type it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use plimsoll_test_cluster::Tools;
use tokio::process::Command;

/// Runs kubectl against one cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// For the cluster of `kubeconfig`.
    pub fn new(tools: &Tools, kubeconfig: PathBuf) -> Self {
        Self { program: tools.kubectl.clone(), kubeconfig }
    }

    /// Runs `kubectl ARGUMENTS` and gives its standard output.
    ///
    /// # Errors
    /// What kubectl said on standard error.
    pub async fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: I,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        let output = command.output().await.context("failed to run kubectl")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `kubectl apply -f FILE`.
    ///
    /// # Errors
    /// What kubectl said.
    pub async fn apply(&self, file: &Path) -> anyhow::Result<String> {
        self.run([std::ffi::OsStr::new("apply"), "-f".as_ref(), file.as_os_str()]).await
    }
}
