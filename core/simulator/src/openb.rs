//! Alibaba's openb trace: nodes with GPUs, and pods that take shares of them.
//!
//! The cluster of the FGD paper (Weng et al., ATC 2023): what its pods ask for and where they may stand. It says nothing of how fast
//! they run, so it is a workload for placement, not for a simulation of training.

use crate::table::{ReadError, Table};

/// Thousandths of a GPU in a whole one.
pub const WHOLE_GPU_MILLI: u32 = 1000;

/// The most GPUs of a node or pod in the trace.
const MOST_GPUS: u32 = 8;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its serial number, unique in the list.
    pub name: String,
    /// CPU, in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// GPUs, 0 to 8.
    pub gpus: u32,
    /// Model of its GPUs, as the trace calls it (`G1` to `G3` are undisclosed); empty where it has none.
    pub model: String,
}

/// How a pod ended, or where it stood when the trace was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was never placed.
    Pending,
    /// It ran.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
}

/// A pod's class of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// `LS`: latency-sensitive.
    LatencySensitive,
    /// `Guaranteed`.
    Guaranteed,
    /// `Burstable`.
    Burstable,
    /// `BE`: best effort.
    BestEffort,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name, unique in the list.
    pub name: String,
    /// CPU, in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// GPUs that it stands on, 0 to 8, all on one node.
    pub gpus: u32,
    /// Of each of them, in thousandths: 1 to 1000 on one GPU, 1000 on several, 0 on none.
    pub gpu_milli: u32,
    /// Models that it accepts; empty for any.
    pub models: Vec<String>,
    /// Its class of service.
    pub qos: Qos,
    /// How it ended.
    pub phase: Phase,
    /// When it was created, in seconds of the trace.
    pub created: u64,
    /// When it was gone, in seconds of the trace.
    pub deleted: u64,
    /// When it was placed, in seconds of the trace; `None` for one that never was.
    pub scheduled: Option<u64>,
}

impl Pod {
    /// Thousandths of GPUs that it takes, over all of them.
    pub fn total_gpu_milli(&self) -> u32 {
        self.gpus * self.gpu_milli
    }

    /// Whether it accepts GPUs of a model.
    pub fn accepts(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|known| known == model)
    }
}

/// Reads a list of nodes, `sn,cpu_milli,memory_mib,gpu,model` in any order of columns. Nodes come back in the order of the text.
///
/// # Errors
///
/// When a column is missing, a value is no whole number, or a node has GPUs without a model.
pub fn read_nodes(what: &str, text: &str) -> Result<Vec<Node>, ReadError> {
    let table = Table::read(what, text)?;
    let [name, model] = [table.column("sn")?, table.column("model")?];
    let [cpu, memory, gpus] = [table.column("cpu_milli")?, table.column("memory_mib")?, table.column("gpu")?];
    let read = |row| {
        let node = Node {
            name: table.text(row, name).to_owned(),
            cpu_milli: table.whole(row, cpu)?,
            memory_mib: table.whole(row, memory)?,
            gpus: few(&table, row, gpus)?,
            model: table.text(row, model).to_owned(),
        };
        if node.gpus > 0 && node.model.is_empty() {
            return Err(table.wrong(row, model, "a model of GPU, which a node with GPUs needs"));
        }
        Ok(node)
    };
    (0..table.len()).map(read).collect()
}

/// Reads a list of pods, `name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,
/// scheduled_time` in any order of columns. Pods come back in the order of the text. The
/// resampled mixes have requests alone, up to `gpu_milli`: their pods are pending, best effort, and come at 0.
///
/// # Errors
///
/// When a column is missing, a value is not what its column holds, or a share of a GPU does not go with the count of GPUs.
pub fn read_pods(what: &str, text: &str) -> Result<Vec<Pod>, ReadError> {
    let table = Table::read(what, text)?;
    let [name, cpu, memory] = [table.column("name")?, table.column("cpu_milli")?, table.column("memory_mib")?];
    let [gpus, milli] = [table.column("num_gpu")?, table.column("gpu_milli")?];
    // The resampled mixes have the requests alone.
    let (models, requests_alone) = (table.find("gpu_spec"), table.find("qos").is_none());
    let column = |name: &str| if requests_alone { Ok(None) } else { table.column(name).map(Some) };
    let (qos, phase) = (column("qos")?, column("pod_phase")?);
    let (created, deleted) = (column("creation_time")?, column("deletion_time")?);
    let scheduled = column("scheduled_time")?;
    let seconds = |row, column: Option<usize>| column.map_or(Ok(0), |column| table.whole(row, column));
    let read = |row| {
        let pod = Pod {
            name: table.text(row, name).to_owned(),
            cpu_milli: table.whole(row, cpu)?,
            memory_mib: table.whole(row, memory)?,
            gpus: few(&table, row, gpus)?,
            gpu_milli: table.whole(row, milli)?,
            models: models
                .map(|models| table.text(row, models).split('|').filter(|model| !model.is_empty()))
                .map(|models| models.map(str::to_owned).collect())
                .unwrap_or_default(),
            qos: match qos.map(|qos| (qos, table.text(row, qos))) {
                None | Some((_, "BE")) => Qos::BestEffort,
                Some((_, "LS")) => Qos::LatencySensitive,
                Some((_, "Guaranteed")) => Qos::Guaranteed,
                Some((_, "Burstable")) => Qos::Burstable,
                Some((qos, _)) => return Err(table.wrong(row, qos, "LS, Guaranteed, Burstable or BE")),
            },
            phase: match phase.map(|phase| (phase, table.text(row, phase))) {
                None | Some((_, "Pending")) => Phase::Pending,
                Some((_, "Running")) => Phase::Running,
                Some((_, "Succeeded")) => Phase::Succeeded,
                Some((_, "Failed")) => Phase::Failed,
                Some((phase, _)) => return Err(table.wrong(row, phase, "Pending, Running, Succeeded or Failed")),
            },
            created: seconds(row, created)?,
            deleted: seconds(row, deleted)?,
            scheduled: match scheduled.filter(|scheduled| !table.text(row, *scheduled).is_empty()) {
                None => None,
                scheduled => Some(seconds(row, scheduled)?),
            },
        };
        match (pod.gpus, pod.gpu_milli) {
            (0, 0) | (1, 1..=WHOLE_GPU_MILLI) | (2.., WHOLE_GPU_MILLI) => Ok(pod),
            (0, _) => Err(table.wrong(row, milli, "0, as it must be without a GPU")),
            (1, _) => Err(table.wrong(row, milli, "a share of one GPU, 1 to 1000")),
            _ => Err(table.wrong(row, milli, "1000, as it must be on several GPUs")),
        }
    };
    (0..table.len()).map(read).collect()
}

fn few(table: &Table<'_>, row: usize, column: usize) -> Result<u32, ReadError> {
    let gpus = table.whole(row, column)?;
    if gpus <= MOST_GPUS { Ok(gpus) } else { Err(table.wrong(row, column, "a count of GPUs, 0 to 8")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";

    fn refused(line: &str) -> String {
        read_pods("pods.csv", &format!("{PODS}{line}\n")).unwrap_err().to_string()
    }

    #[test]
    fn nodes_come_with_their_gpus_and_a_node_without_gpus_has_no_model() {
        let text = "sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,P100\nn1,32000,131072,0,\n";
        let nodes = read_nodes("nodes.csv", text).unwrap();
        let node = |name: &str, cpu_milli, memory_mib, gpus, model: &str| Node {
            name: name.to_owned(),
            cpu_milli,
            memory_mib,
            gpus,
            model: model.to_owned(),
        };
        assert_eq!(nodes, [node("n0", 64000, 262_144, 2, "P100"), node("n1", 32000, 131_072, 0, "")]);
    }

    #[test]
    fn pods_come_with_their_shares_models_and_times() {
        let text =
            format!("{PODS}a,6000,12288,1,460,,LS,Running,10,90,10\nb,8000,4096,8,1000,G2|T4,BE,Pending,20,30,\n");
        let pods = read_pods("pods.csv", &text).unwrap();
        assert_eq!((pods[0].total_gpu_milli(), pods[0].scheduled, pods[0].qos), (460, Some(10), Qos::LatencySensitive));
        assert_eq!((pods[1].total_gpu_milli(), pods[1].scheduled, pods[1].phase), (8000, None, Phase::Pending));
        let requests = read_pods("pods.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,1,500\n").unwrap();
        assert_eq!((requests[0].phase, requests[0].scheduled, requests[0].gpu_milli), (Phase::Pending, None, 500));
        assert!(pods[0].accepts("T4") && pods[1].accepts("T4") && !pods[1].accepts("P100"));
    }

    #[test]
    fn a_wrong_line_is_named_with_what_should_stand_there() {
        assert_eq!(
            refused("a,1,1,2,500,,LS,Running,0,1,0"),
            "failed to read pods.csv, line 2: `500` in column `gpu_milli` is not 1000, as it must be on several GPUs"
        );
        assert_eq!(
            refused("a,1,1,9,1000,,LS,Running,0,1,0"),
            "failed to read pods.csv, line 2: `9` in column `num_gpu` is not a count of GPUs, 0 to 8"
        );
        assert_eq!(
            refused("a,1,1,1,500,,LS,Lost,0,1,0"),
            "failed to read pods.csv, line 2: `Lost` in column `pod_phase` is not Pending, Running, Succeeded or Failed"
        );
        let error = read_nodes("nodes.csv", "sn,cpu_milli,memory_mib,gpu,model\nn0,1,1,2,\n").unwrap_err().to_string();
        assert!(error.contains("line 2: `` in column `model` is not a model of GPU"), "{error}");
    }
}
