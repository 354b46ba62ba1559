//! The trace's files, plain or gzipped.

use std::path::Path;
use std::process::Command;

use plimsoll_simulator::openb::{Node, Pod, read_nodes, read_pods};

/// Columns that the resampled lists of pods leave out, and what stands in for them: any model, and times and classes of service
/// that placement does not read.
const LEFT_OUT: (&str, &str) =
    (",gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time", ",,LS,Pending,0,0,");

/// Nodes with GPUs.
pub(super) fn nodes(folder: &Path) -> Result<Vec<Node>, String> {
    let name = "openb_node_list_gpu_node.csv";
    read_nodes(name, &text(folder, name)?).map_err(|error| error.to_string())
}

/// The pods of a list, such as `default`.
pub(super) fn pods(folder: &Path, list: &str) -> Result<Vec<Pod>, String> {
    let name = format!("openb_pod_list_{list}.csv");
    let mut text = text(folder, &name)?;
    if text.lines().next().is_some_and(|header| !header.contains("gpu_spec")) {
        let mut lines = text.lines();
        let header = lines.next().map(|header| format!("{header}{}\n", LEFT_OUT.0)).unwrap_or_default();
        text = header + &lines.map(|line| format!("{line}{}\n", LEFT_OUT.1)).collect::<String>();
    }
    read_pods(&name, &text).map_err(|error| error.to_string())
}

/// A file of the folder, of its folder `alibaba-openb`, or its gzipped form there.
fn text(folder: &Path, name: &str) -> Result<String, String> {
    let places = [folder.join(name), folder.join("alibaba-openb").join(name)];
    if let Some(plain) = places.iter().find(|path| path.exists()) {
        return std::fs::read_to_string(plain).map_err(|error| format!("failed to read {}: {error}", plain.display()));
    }
    let gzipped = places.iter().map(|path| path.with_extension("csv.gz")).find(|path| path.exists());
    let Some(gzipped) = gzipped else {
        return Err(format!("failed to find {name} or {name}.gz in {}", folder.display()));
    };
    let fail = |why: String| format!("failed to unpack {}: {why}", gzipped.display());
    let output = Command::new("gzip").arg("-dc").arg(&gzipped).output().map_err(|error| fail(error.to_string()))?;
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| fail(error.to_string()))
}
