//! Our own form: an object a line.

use serde::Deserialize;

use super::Submission;
use crate::table::ReadError;

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    at_seconds: f64,
    application: String,
    gpus: u32,
    batch: u32,
    #[serde(default)]
    queue: String,
}

/// Reads our own form: `{"name", "at_seconds", "application", "gpus", "batch"}` a line, and `"queue"` where there is one.
///
/// # Errors
///
/// When a line is no such object.
pub fn read_json_lines(what: &str, text: &str) -> Result<Vec<Submission>, ReadError> {
    let mut jobs = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |error: String| ReadError::Line { what: what.to_owned(), line: at + 1, error };
        let read: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let Line { name, at_seconds, application, gpus, batch, queue } = read;
        if gpus == 0 || batch == 0 || !at_seconds.is_finite() || at_seconds < 0.0 {
            return Err(wrong("`gpus` and `batch` must be above 0, `at_seconds` not below".to_owned()));
        }
        jobs.push(Submission { name, at_seconds, application, gpus, batch, queue, ..Submission::default() });
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_field_that_is_not_known_is_named() {
        let error = read_json_lines("jobs.jsonl", "{\"name\":\"a\",\"gpu\":2}").unwrap_err().to_string();
        assert!(error.starts_with("failed to read jobs.jsonl, line 1: unknown field `gpu`"), "{error}");
    }
}
