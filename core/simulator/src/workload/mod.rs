//! What is submitted, and when.

pub mod acme;
mod csv;
pub mod gavel;
mod json_lines;
mod philly;
mod pods;

pub use csv::read_csv;
pub use json_lines::read_json_lines;
pub use philly::{read_philly, read_philly_log};
pub use pods::read_pods;

use crate::table::ReadError;

/// How a job of a trace ended, where the trace says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// By itself, or nobody knows.
    #[default]
    Completed,
    /// Its user ended it.
    Cancelled,
    /// It failed.
    Failed,
}

/// One job of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submission {
    /// Its name, unique in the workload.
    pub name: String,
    /// Seconds from the start of the trace.
    pub at_seconds: f64,
    /// What it runs: the name of a profile.
    pub application: String,
    /// GPUs that its user asks for, where GPUs are fixed.
    pub gpus: u32,
    /// Total batch that its user asks for.
    pub batch: u32,
    /// Steps after which it is done; `None` for a full run of its application. A job with steps has a fixed size: no policy resizes it.
    pub steps: Option<f64>,
    /// The queue or virtual cluster that it was submitted to; empty where the trace has none.
    pub queue: String,
    /// How it ended in the trace. It runs all its work here whatever that was: a trace's run times are those of jobs as they ended.
    pub fate: Fate,
}

/// Reads a workload in any of the forms known, told apart by how it begins:
///
/// - an object a line: our own JSON lines ([`read_json_lines`]);
/// - a JSON array: the full log of Philly ([`read_philly_log`]);
/// - `timestamp,...`: the condensed list of Philly ([`read_philly`]);
/// - `name,cpu_milli,...`: the pods of Alibaba's openb trace ([`read_pods`]);
/// - a line with tabs: a trace of Gavel ([`gavel::read`]), which needs Gavel's table of throughputs to run;
/// - else Pollux's and Sia's CSV ([`read_csv`]).
///
/// Acme's summary is no list of jobs, but jobs can be drawn from it: [`acme`].
///
/// # Errors
///
/// As the forms have them.
pub fn read(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let first = text.lines().next().unwrap_or("");
    if text.trim_start().starts_with('{') {
        read_json_lines(what, text)
    } else if text.trim_start().starts_with('[') {
        read_philly_log(what, text)
    } else if first.starts_with("timestamp,") {
        read_philly(what, text)
    } else if first.starts_with("name,cpu_milli,") {
        read_pods(what, text)
    } else if first.starts_with("sn,") {
        let error = "it lists nodes, and a workload is the list of pods beside it".to_owned();
        Err(ReadError::Line { what: what.to_owned(), line: 1, error })
    } else if first.contains('\t') {
        gavel::read(what, text)
    } else {
        read_csv(what, text)
    }
}

/// The application that Pollux's and Sia's workloads have for a job of so many GPU-hours: below 1 h cifar10, 10 h deepspeech2 or bert
/// in turn, 100 h yolov3, else imagenet (Pollux, Qiao et al., OSDI 2021, section 5.1).
fn application_of(gpu_hours: f64, turn: usize) -> &'static str {
    match gpu_hours {
        hours if hours < 1.0 => "cifar10",
        hours if hours < 10.0 => ["deepspeech2", "bert"][turn % 2],
        hours if hours < 100.0 => "yolov3",
        _ => "imagenet",
    }
}

/// The most GPUs of a job of Pollux's and Sia's workloads.
const MOST_GPUS: u32 = 16;

/// Samples for each GPU of a job whose batch nobody knows: as most applications have them at their first batch or a little above.
const SAMPLES_EACH: u32 = 128;

/// A job of which a trace tells its GPUs and how long it held them: the application of its GPU-time, at its GPUs up to 16.
fn by_gpu_time(at: usize, at_seconds: f64, gpus: u32, gpu_hours: f64) -> Submission {
    let application = application_of(gpu_hours, at);
    let gpus = gpus.clamp(1, MOST_GPUS);
    Submission {
        name: format!("{application}-{at}"),
        at_seconds,
        application: application.to_owned(),
        gpus,
        batch: SAMPLES_EACH * gpus,
        ..Submission::default()
    }
}

/// By submission, the first at 0.
fn from_the_first(mut jobs: Vec<Submission>) -> Vec<Submission> {
    jobs.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
    let first = jobs.first().map_or(0.0, |job| job.at_seconds);
    jobs.iter_mut().for_each(|job| job.at_seconds -= first);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart_by_how_they_begin() {
        let json = "{\"name\":\"a\",\"at_seconds\":5,\"application\":\"bert\",\"gpus\":2,\"batch\":24}\n";
        assert_eq!(read("jobs", json).unwrap()[0].gpus, 2);
        let philly = "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 00:00:30,9,1,9,x\n";
        assert_eq!(read("jobs", philly).unwrap()[0].queue, "x");
        let pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n\
            p,1,1,1,500,,LS,Failed,7,90,10\n";
        assert_eq!(read("jobs", pods).unwrap()[0].fate, Fate::Failed);
        let gavel = "A3C\tcommand\tfolder\t--steps\t0\t50\t1\t1\t-1.000000\t30\n";
        assert_eq!(read("jobs", gavel).unwrap()[0].steps, Some(50.0));
        let sia = "name,time,application,num_replicas,batch_size\na,0,bert,1,12\n";
        assert_eq!(read("jobs", sia).unwrap()[0].application, "bert");
    }
}
