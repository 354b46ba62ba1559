//! Traces of Gavel (Narayanan et al., OSDI 2020): jobs of a fixed size that end after so many steps.

use super::{Submission, from_the_first};
use crate::table::ReadError;

/// Columns of a line: job type, command, working directory, name of the steps' argument, whether it needs data, steps, GPUs,
/// weight of its priority, service-level objective, arrival.
const COLUMNS: usize = 10;

/// The application of a job type at a scale: what one line of a table of throughputs is about.
pub fn application(job_type: &str, gpus: u32) -> String {
    format!("{job_type} x {gpus}")
}

/// Reads a trace of Gavel's simulator: ten columns between tabs, without a header. Jobs come back by arrival, from the first one on; an
/// application is a job type at a count of GPUs ([`application`]). Which steps there are in a second is in its table of
/// throughputs, [`crate::profile::Throughputs`]; weights and service-level objectives are left aside.
///
/// # Errors
///
/// When a line has other columns, or steps, GPUs or arrival are not what they should be.
pub fn read(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let mut jobs = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |error: String| ReadError::Line { what: what.to_owned(), line: at + 1, error };
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        if cells.len() != COLUMNS {
            return Err(wrong(format!(
                "it has {} columns between tabs, and a job of Gavel has {COLUMNS}",
                cells.len()
            )));
        }
        let above = |column: usize, name: &str| {
            let number = cells[column].parse().ok().filter(|number: &u32| *number > 0);
            number.ok_or_else(|| wrong(format!("`{}` is no count of {name}, a whole number above 0", cells[column])))
        };
        let (steps, gpus) = (above(5, "steps")?, above(6, "GPUs")?);
        let at_seconds = cells[9].parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
        jobs.push(Submission {
            name: format!("{}-{at}", cells[0]),
            at_seconds: at_seconds.ok_or_else(|| wrong(format!("`{}` is no arrival in seconds", cells[9])))?,
            application: application(cells[0], gpus),
            gpus,
            batch: gpus,
            steps: Some(f64::from(steps)),
            ..Submission::default()
        });
    }
    Ok(from_the_first(jobs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_by_arrival_with_their_steps_and_gpus() {
        let text = "LM (batch size 20)\tpython3 main.py\tlanguage\t--steps\t1\t900\t4\t1\t-1.000000\t40\n\
            A3C\tpython3 a3c.py\trl\t--max-steps\t0\t50\t1\t1\t-1.000000\t10\n";
        let jobs = read("a.trace", text).unwrap();
        assert_eq!((jobs[0].application.as_str(), jobs[0].steps, jobs[0].at_seconds), ("A3C x 1", Some(50.0), 0.0));
        assert_eq!((jobs[1].application.as_str(), jobs[1].gpus), ("LM (batch size 20) x 4", 4));
        assert_eq!(jobs[1].at_seconds, 30.0);
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        let refused = |text: &str| read("a.trace", text).unwrap_err().to_string();
        assert_eq!(
            refused("A3C\t50\t1\n"),
            "failed to read a.trace, line 1: it has 3 columns between tabs, and a job of Gavel has 10"
        );
        assert_eq!(
            refused("\nA3C\tc\td\te\t0\t50\t0\t1\t-1\t10\n"),
            "failed to read a.trace, line 2: `0` is no count of GPUs, a whole number above 0"
        );
    }
}
