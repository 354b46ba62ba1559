//! What the process is told at its start: flags, or environment variables of the same meaning. Parsed once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

use crate::check::CheckArgs;

/// Rightsizes training jobs: reads TrainingJobs, plans the whole cluster, builds pods, learns.
#[derive(Clone, Debug, Parser)]
#[command(name = "plimsoll-operator", version, about)]
pub struct Args {
    /// What to do instead of leading or standing by.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Namespace of the operator: its Lease and its TLS Secret stand there.
    #[arg(long, env = "PLIMSOLL_NAMESPACE", default_value = "plimsoll-system")]
    pub namespace: String,
    /// Name of this replica, unique among replicas; its pod's name.
    #[arg(long, env = "PLIMSOLL_IDENTITY")]
    pub identity: Option<String>,
    /// Settings file (plimsoll.yaml). Read once; the ConfigMap, where there is one, goes over it.
    #[arg(long, env = "PLIMSOLL_CONFIG")]
    pub config: Option<PathBuf>,
    /// ConfigMap with the settings under the key plimsoll.yaml, as namespace/name. Watched: a change is in force within
    /// seconds.
    #[arg(long, env = "PLIMSOLL_CONFIG_MAP", value_parser = namespaced)]
    pub config_map: Option<(String, String)>,
    /// Name of the Lease that the replicas compete for.
    #[arg(long, env = "PLIMSOLL_LEASE_NAME", default_value = "plimsoll-operator")]
    pub lease_name: String,
    /// Seconds for which a lease holds after its last renewal.
    #[arg(long, env = "PLIMSOLL_LEASE_DURATION_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=300))]
    pub lease_duration_seconds: u64,
    /// Address of the admin server: /livez, /readyz, /metrics.
    #[arg(long, env = "PLIMSOLL_ADMIN_BIND", default_value = "0.0.0.0:8080")]
    pub admin_bind: SocketAddr,
    /// Address of the progress endpoint (HTTPS). Only the leader listens.
    #[arg(long, env = "PLIMSOLL_PROGRESS_BIND", default_value = "0.0.0.0:8443")]
    pub progress_bind: SocketAddr,
    /// Address of this replica's pod. The leader leads the progress Service to it; without one, or with a loopback address,
    /// nothing is written.
    #[arg(long, env = "PLIMSOLL_POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// Name of the Service, without selector, that leads to the progress endpoint.
    #[arg(long, env = "PLIMSOLL_PROGRESS_SERVICE")]
    pub progress_service: Option<String>,
    /// URL under which training pods reach the progress endpoint; goes over progress.url of the settings.
    #[arg(long, env = "PLIMSOLL_PROGRESS_URL")]
    pub progress_url: Option<String>,
    /// Folder for the snapshots of plans that break a law, three at most; without it none is kept.
    #[arg(long, env = "PLIMSOLL_SNAPSHOTS")]
    pub snapshots: Option<PathBuf>,
    /// Filter of log lines, such as `info,plimsoll_operator=debug`.
    #[arg(long, env = "PLIMSOLL_LOG", default_value = "info")]
    pub log: String,
    /// Form of log lines: text or json.
    #[arg(long, env = "PLIMSOLL_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub log_format: String,
}

/// What else the program does.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Check from inside the cluster that an installation answers
    Check(CheckArgs),
}

fn namespaced(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok((namespace.into(), name.into())),
        _ => Err(format!("{text:?} is not of the form namespace/name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn a_config_map_needs_a_namespace_and_a_name() {
        assert_eq!(namespaced("a/b"), Ok(("a".into(), "b".into())));
        assert!(namespaced("b").is_err());
        assert!(namespaced("/b").is_err());
    }
}
