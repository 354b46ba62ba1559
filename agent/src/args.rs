//! The settings, read once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use plimsoll_telemetry::logging::Format;

/// Reads the GPUs of a node through NVML, tells who holds them, and says so in metrics and in the node's
/// AcceleratorNode.
#[derive(Clone, Debug, Parser)]
#[command(name = "plimsoll-agent", version)]
pub struct Args {
    /// How the agent works.
    #[command(flatten)]
    pub settings: Settings,
    /// Form of the log lines: json or text.
    #[arg(long, env = "PLIMSOLL_LOG_FORMAT", default_value_t)]
    pub log_format: Format,
    /// Which log lines to write, as in info,kube=warn.
    #[arg(long, env = "PLIMSOLL_LOG", default_value = "info")]
    pub log: String,
}

/// How the agent works.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Name of the node.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// NVIDIA's management library: a path, or a name that the loader finds.
    #[arg(long, env = "PLIMSOLL_NVML_LIBRARY", default_value = "libnvidia-ml.so.1")]
    pub nvml_library: PathBuf,
    /// The kubelet's PodResources socket. Mount its folder, so that it survives a restart of the kubelet.
    #[arg(long, env = "PLIMSOLL_POD_RESOURCES_SOCKET", default_value = "/var/lib/kubelet/pod-resources/kubelet.sock")]
    pub pod_resources_socket: PathBuf,
    /// How often each device is read.
    #[arg(long, env = "PLIMSOLL_SAMPLE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub sample_interval: Duration,
    /// How much time a window covers.
    #[arg(long, env = "PLIMSOLL_WINDOW", default_value = "60s", value_parser = duration)]
    pub window: Duration,
    /// How often the status is written when there is no news.
    #[arg(long, env = "PLIMSOLL_STATUS_INTERVAL", default_value = "60s", value_parser = duration)]
    pub status_interval: Duration,
    /// How often the kubelet is asked who holds what.
    #[arg(long, env = "PLIMSOLL_ATTRIBUTION_INTERVAL", default_value = "10s", value_parser = duration)]
    pub attribution_interval: Duration,
    /// A device that gives no reading for so long is called unresponsive.
    #[arg(long, env = "PLIMSOLL_DRIVER_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub driver_timeout: Duration,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "PLIMSOLL_ADMIN_BIND", default_value = "0.0.0.0:8081")]
    pub admin_bind: SocketAddr,
}

/// Reads a duration such as 500ms, 10s or 2m; none of ours may be zero.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be longer than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["plimsoll-agent", "--node-name", "n", "--window", "2m"]).unwrap();
        assert_eq!(args.settings.window, Duration::from_secs(120));
        assert_eq!(args.settings.admin_bind.port(), 8081);
    }

    #[test]
    fn a_zero_duration_is_refused() {
        let refused = Args::try_parse_from(["plimsoll-agent", "--node-name", "n", "--sample-interval", "0s"]);
        assert!(refused.unwrap_err().to_string().contains("longer than zero"));
    }
}
