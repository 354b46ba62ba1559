//! Alibaba's openb pods as jobs.

use super::{Fate, Submission, by_gpu_time, from_the_first};
use crate::openb::{self, Phase, WHOLE_GPU_MILLI};
use crate::table::ReadError;

/// Reads the pods of Alibaba's openb trace as jobs: those that were placed on GPUs, by their creation, from the first one on. Each runs
/// the application for its GPU-time as [`super::read_philly`] has it, on whole GPUs: what a job does on a share of one is not in its
/// profile. [`openb`] has the pods as they are, for placement.
///
/// # Errors
///
/// As [`openb::read_pods`], and when a pod is gone before it was placed, or none was placed on GPUs.
pub fn read_pods(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let mut jobs = Vec::new();
    for (at, pod) in openb::read_pods(what, text)?.iter().enumerate().filter(|(_, pod)| pod.gpus > 0) {
        let Some(scheduled) = pod.scheduled else { continue };
        let seconds = pod.deleted.checked_sub(scheduled).ok_or_else(|| ReadError::Job {
            what: what.to_owned(),
            job: pod.name.clone(),
            error: format!("it is gone at {} s, before it was placed at {scheduled} s", pod.deleted),
        })?;
        let gpus = f64::from(pod.total_gpu_milli()) / f64::from(WHOLE_GPU_MILLI);
        let job = by_gpu_time(at, pod.created as f64, pod.gpus, gpus * seconds as f64 / 3600.0);
        let fate = if pod.phase == Phase::Failed { Fate::Failed } else { Fate::Completed };
        jobs.push(Submission { fate, ..job });
    }
    if jobs.is_empty() {
        let error =
            "no pod of it was placed on GPUs, so nobody knows how long one runs; give a list with scheduled_time"
                .to_owned();
        return Err(ReadError::Line { what: what.to_owned(), line: 1, error });
    }
    Ok(from_the_first(jobs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";

    #[test]
    fn pods_that_held_gpus_become_jobs_of_their_gpu_time() {
        let text = format!(
            "{HEADER}a,1,1,1,500,,LS,Running,100,14500,100\nb,1,1,0,0,,LS,Running,50,90,50\nc,1,1,8,1000,,BE,Failed,40,400,60\n\
             d,1,1,1,1000,,BE,Pending,10,400,\n"
        );
        let jobs = read_pods("pods", &text).unwrap();
        let seen: Vec<_> =
            jobs.iter().map(|job| (job.application.as_str(), job.gpus, job.at_seconds, job.fate)).collect();
        assert_eq!(seen, [("cifar10", 8, 0.0, Fate::Failed), ("deepspeech2", 1, 60.0, Fate::Completed)]);
    }

    #[test]
    fn a_pod_that_goes_before_it_came_is_named() {
        let error = read_pods("pods.csv", &format!("{HEADER}a,1,1,1,500,,LS,Running,0,5,9\n")).unwrap_err().to_string();
        assert_eq!(error, "failed to read pods.csv, job a: it is gone at 5 s, before it was placed at 9 s");
    }
}
