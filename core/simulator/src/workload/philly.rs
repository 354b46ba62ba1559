//! Jobs of Microsoft's Philly cluster (Jeon et al., ATC 2019).

use serde::Deserialize;

use super::{Fate, Submission, by_gpu_time, from_the_first};
use crate::table::{ReadError, Table};

/// How far the GPU-time of a row may be from its duration times its GPUs, as a share.
const ROUNDING: f64 = 1e-3;

/// Reads the condensed job list of Philly: `timestamp,duration,num_gpus,gpu_time,cluster`. Jobs come back by submission, from the
/// first one on; each runs the application that Pollux's and Sia's workloads have for its GPU-time (below 1 h cifar10, 10 h
/// deepspeech2 or bert in turn, 100 h yolov3, else imagenet), asking for its GPUs up to 16 and 128 times as many samples, in its
/// virtual cluster.
///
/// # Errors
///
/// When a column is missing, a value is neither a number nor a time, or the GPU-time is not the duration times the GPUs.
pub fn read_philly(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let table = Table::read(what, text)?;
    let [timestamp, duration] = [table.column("timestamp")?, table.column("duration")?];
    let [gpus, gpu_time, cluster] = [table.column("num_gpus")?, table.column("gpu_time")?, table.column("cluster")?];
    let mut jobs = Vec::new();
    for row in 0..table.len() {
        let at_seconds = seconds_of(table.text(row, timestamp))
            .ok_or_else(|| table.wrong(row, timestamp, "a time such as 2017-10-09 07:01:55"))?;
        let count: u32 = table.whole(row, gpus)?;
        let expected = table.number(row, duration)? * f64::from(count);
        let gpu_seconds = table.number(row, gpu_time)?;
        if (gpu_seconds - expected).abs() > ROUNDING * expected.max(1.0) {
            return Err(table.wrong(row, gpu_time, "the duration times the GPUs of its row"));
        }
        let job = by_gpu_time(row, at_seconds, count, gpu_seconds / 3600.0);
        jobs.push(Submission { queue: table.text(row, cluster).to_owned(), ..job });
    }
    Ok(from_the_first(jobs))
}

/// A job of the log.
#[derive(Deserialize)]
struct Logged {
    status: String,
    vc: String,
    jobid: String,
    attempts: Vec<Attempt>,
    submitted_time: String,
}

/// One of its attempts to run.
#[derive(Deserialize)]
struct Attempt {
    start_time: Option<String>,
    end_time: Option<String>,
    #[serde(default)]
    detail: Vec<Server>,
}

/// GPUs of an attempt on one server.
#[derive(Deserialize)]
struct Server {
    gpus: Vec<String>,
}

/// Reads the log that Microsoft published, `cluster_job_log`: an array of objects with `status` (`Pass`, `Killed` or `Failed`), `vc`,
/// `jobid`, `submitted_time` and `attempts`, each with `start_time`, `end_time` and the GPUs of each server in `detail`. Jobs come back
/// as [`read_philly`] has them, by the GPU-time of all their attempts and the most GPUs of one; who never ran is left out.
///
/// # Errors
///
/// When the text is no such array, a status is unknown, or a time is none.
pub fn read_philly_log(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let log: Vec<Logged> = serde_json::from_str(text).map_err(|error| ReadError::Line {
        what: what.to_owned(),
        line: error.line(),
        error: error.to_string(),
    })?;
    let mut jobs = Vec::new();
    for (at, job) in log.iter().enumerate() {
        let wrong = |error: String| ReadError::Job { what: what.to_owned(), job: job.jobid.clone(), error };
        let time = |field: &str, text: &str| {
            seconds_of(text)
                .ok_or_else(|| wrong(format!("`{text}` in `{field}` is not a time such as 2017-10-09 07:01:55")))
        };
        let fate = match job.status.as_str() {
            "Pass" => Fate::Completed,
            "Killed" => Fate::Cancelled,
            "Failed" => Fate::Failed,
            other => return Err(wrong(format!("`{other}` in `status` is not Pass, Killed or Failed"))),
        };
        let (mut most, mut gpu_seconds) = (0, 0.0_f64);
        for attempt in &job.attempts {
            let (Some(start), Some(end)) = (&attempt.start_time, &attempt.end_time) else { continue };
            let gpus: usize = attempt.detail.iter().map(|server| server.gpus.len()).sum();
            let seconds = time("end_time", end)? - time("start_time", start)?;
            if seconds < 0.0 {
                return Err(wrong(format!("an attempt ends at {end}, before it starts at {start}")));
            }
            most = most.max(gpus);
            gpu_seconds += gpus as f64 * seconds;
        }
        let at_seconds = time("submitted_time", &job.submitted_time)?;
        if most > 0 {
            let gpus = u32::try_from(most).unwrap_or(u32::MAX);
            let read = by_gpu_time(at, at_seconds, gpus, gpu_seconds / 3600.0);
            jobs.push(Submission { queue: job.vc.clone(), fate, ..read });
        }
    }
    Ok(from_the_first(jobs))
}

/// Seconds from a fixed day to a time like `2017-10-09 07:01:55`, by the proleptic Gregorian calendar (days from civil, Hinnant).
fn seconds_of(text: &str) -> Option<f64> {
    let (day, time) = text.split_once(' ')?;
    let numbers =
        |text: &str, between: char| -> Option<Vec<i64>> { text.split(between).map(|part| part.parse().ok()).collect() };
    let (day, time) = (numbers(day, '-')?, numbers(time, ':')?);
    let (&[year, month, day], &[hour, minute, second]) = (day.as_slice(), time.as_slice()) else { return None };
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year;
    Some(((days * 24 + hour) * 60 + minute) as f64 * 60.0 + second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "timestamp,duration,num_gpus,gpu_time,cluster\n";

    #[test]
    fn a_condensed_list_comes_by_submission_with_its_virtual_clusters() {
        let text = format!("{HEADER}2017-10-09 00:00:30,9,1,9,x\n2017-10-08 23:59:30,11250,8,9e4,y\n");
        let jobs = read_philly("jobs", &text).unwrap();
        assert_eq!((jobs[0].application.as_str(), jobs[0].gpus, jobs[0].queue.as_str()), ("yolov3", 8, "y"));
        assert_eq!((jobs[1].application.as_str(), jobs[1].at_seconds), ("cifar10", 60.0));
    }

    #[test]
    fn a_gpu_time_that_does_not_add_up_is_named_with_its_line() {
        let error = read_philly("jobs.csv", &format!("{HEADER}2017-10-09 00:00:30,9,2,9,x\n")).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to read jobs.csv, line 2: `9` in column `gpu_time` is not the duration times the GPUs of its row"
        );
    }

    #[test]
    fn the_full_log_tells_how_jobs_ended_and_adds_their_attempts_up() {
        let attempt = |start: &str, end: &str| {
            format!(r#"{{"start_time":"{start}","end_time":"{end}","detail":[{{"ip":"m1","gpus":["g0","g1"]}}]}}"#)
        };
        let two = [
            attempt("2017-10-09 01:00:00", "2017-10-09 02:00:00"),
            attempt("2017-10-09 03:00:00", "2017-10-09 04:00:00"),
        ];
        let text = format!(
            r#"[{{"status":"Killed","vc":"v","jobid":"a","attempts":[{}],"submitted_time":"2017-10-09 00:00:00","user":"u"}},
                {{"status":"Pass","vc":"v","jobid":"b","attempts":[],"submitted_time":"2017-10-09 00:00:00","user":"u"}}]"#,
            two.join(",")
        );
        let jobs = read_philly_log("log", &text).unwrap();
        assert_eq!(jobs.len(), 1, "who never ran is left out");
        assert_eq!((jobs[0].fate, jobs[0].gpus, jobs[0].application.as_str()), (Fate::Cancelled, 2, "deepspeech2"));
    }

    #[test]
    fn a_wrong_status_is_named_with_its_job() {
        let text = r#"[{"status":"Lost","vc":"v","jobid":"a","attempts":[],"submitted_time":"2017-10-09 00:00:00"}]"#;
        let error = read_philly_log("log.json", text).unwrap_err().to_string();
        assert_eq!(error, "failed to read log.json, job a: `Lost` in `status` is not Pass, Killed or Failed");
    }
}
