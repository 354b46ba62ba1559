//! What is submitted, and when.

use serde::Deserialize;

use crate::table::{ReadError, Table};

/// One job of a workload.
#[derive(Clone, Debug, PartialEq)]
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
}

/// A line of our own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    at_seconds: f64,
    application: String,
    gpus: u32,
    batch: u32,
}

/// Reads a workload in any of the forms known, told apart by how it begins: JSON lines (`{"name", "at_seconds", "application",
/// "gpus", "batch"}`), Pollux's and Sia's CSV ([`read_csv`]), or a list of Philly ([`read_philly`]).
///
/// # Errors
///
/// As the forms have them.
pub fn read(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    if text.trim_start().starts_with('{') {
        return read_json_lines(what, text);
    }
    if text.starts_with("timestamp,") { read_philly(what, text) } else { read_csv(what, text) }
}

/// Reads our own form: an object a line.
///
/// # Errors
///
/// When a line is no such object.
pub fn read_json_lines(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let mut jobs = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read: Line = serde_json::from_str(line).map_err(|error| ReadError::Line {
            what: what.to_owned(),
            line: at + 1,
            error: error.to_string(),
        })?;
        let Line { name, at_seconds, application, gpus, batch } = read;
        if gpus == 0 || batch == 0 || !at_seconds.is_finite() || at_seconds < 0.0 {
            let error = "`gpus` and `batch` must be above 0, `at_seconds` not below".to_owned();
            return Err(ReadError::Line { what: what.to_owned(), line: at + 1, error });
        }
        jobs.push(Submission { name, at_seconds, application, gpus, batch });
    }
    Ok(jobs)
}

/// Reads the condensed job list of Microsoft's Philly cluster: `timestamp,duration,num_gpus,gpu_time,cluster`. Jobs come back by
/// submission, from the first one on; each runs the application that Pollux's and Sia's workloads have for its GPU-time (below 1 h
/// cifar10, 10 h deepspeech2 or bert in turn, 100 h yolov3, else imagenet), asking for its GPUs up to 16 and 128 times as many
/// samples.
///
/// # Errors
///
/// When a column is missing or a value is neither a number nor a time.
pub fn read_philly(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let table = Table::read(what, text)?;
    let [timestamp, gpus, gpu_time] =
        [table.column("timestamp")?, table.column("num_gpus")?, table.column("gpu_time")?];
    let mut jobs = Vec::new();
    for row in 0..table.len() {
        let at_seconds = seconds_of(table.text(row, timestamp))
            .ok_or_else(|| table.wrong(row, timestamp, "a time such as 2017-10-09 07:01:55"))?;
        let hours = table.number(row, gpu_time)? / 3600.0;
        let application = match hours {
            hours if hours < 1.0 => "cifar10",
            hours if hours < 10.0 => ["deepspeech2", "bert"][row % 2],
            hours if hours < 100.0 => "yolov3",
            _ => "imagenet",
        };
        let gpus = (table.number(row, gpus)? as u32).clamp(1, 16);
        jobs.push(Submission {
            name: format!("{application}-{row}"),
            at_seconds,
            application: application.to_owned(),
            gpus,
            batch: 128 * gpus,
        });
    }
    jobs.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
    let first = jobs.first().map_or(0.0, |job| job.at_seconds);
    jobs.iter_mut().for_each(|job| job.at_seconds -= first);
    Ok(jobs)
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

/// Reads a workload of Pollux's or Sia's form: `name,time,application,num_replicas,batch_size`, in any order of columns. Jobs come
/// back in the order of the text.
///
/// # Errors
///
/// When a column is missing or a value is no number.
pub fn read_csv(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let table = Table::read(what, text)?;
    let [name, time, application] = [table.column("name")?, table.column("time")?, table.column("application")?];
    let [gpus, batch] = [table.column("num_replicas")?, table.column("batch_size")?];
    let count = |row, column| {
        let number = table.number(row, column)?;
        let whole = number >= 1.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX);
        if whole { Ok(number as u32) } else { Err(table.wrong(row, column, "a whole number above 0")) }
    };
    let read = |row| {
        Ok(Submission {
            name: table.text(row, name).to_owned(),
            at_seconds: table.number(row, time)?,
            application: table.text(row, application).to_owned(),
            gpus: count(row, gpus)?,
            batch: count(row, batch)?,
        })
    };
    (0..table.len()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_count_is_named_with_its_line() {
        let text = "name,time,application,num_replicas,batch_size\na,0,bert,1.5,8\n";
        let error = read_csv("jobs.csv", text).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to read jobs.csv, line 2: `1.5` in column `num_replicas` is not a whole number above 0"
        );
    }

    #[test]
    fn forms_are_told_apart_by_how_they_begin() {
        let json = "{\"name\":\"a\",\"at_seconds\":5,\"application\":\"bert\",\"gpus\":2,\"batch\":24}\n";
        assert_eq!(read("jobs", json).unwrap()[0].gpus, 2);
        let philly = "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 00:00:30,9,1,9,x\n2017-10-08 23:59:30,9,8,9e4,x\n";
        let jobs = read("jobs", philly).unwrap();
        assert_eq!((jobs[0].application.as_str(), jobs[0].gpus, jobs[1].at_seconds), ("yolov3", 8, 60.0));
    }

    #[test]
    fn a_line_with_a_field_that_is_not_known_is_named() {
        let error = read("jobs.jsonl", "{\"name\":\"a\",\"gpu\":2}").unwrap_err().to_string();
        assert!(error.starts_with("failed to read jobs.jsonl, line 1: unknown field `gpu`"), "{error}");
    }
}
