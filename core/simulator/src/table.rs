//! Comma-separated text with a header, as traces and profiles come in.

use std::str::FromStr;

use thiserror::Error;

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The text has no header.
    #[error("failed to read {what}: it is empty, and its first line should name its columns")]
    Empty {
        /// What was read.
        what: String,
    },
    /// A column is missing.
    #[error("failed to read {what}: it has no column `{column}`; add it to the first line")]
    Column {
        /// What was read.
        what: String,
        /// The column.
        column: String,
    },
    /// A value is not what its column holds.
    #[error("failed to read {what}, line {line}: `{value}` in column `{column}` is not {expected}")]
    Value {
        /// What was read.
        what: String,
        /// Line, the header being 1.
        line: usize,
        /// The column.
        column: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A line is no object of the form.
    #[error("failed to read {what}, line {line}: {error}")]
    Line {
        /// What was read.
        what: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        error: String,
    },
    /// A job of the list is not of the form.
    #[error("failed to read {what}, job {job}: {error}")]
    Job {
        /// What was read.
        what: String,
        /// The job.
        job: String,
        /// What is wrong with it.
        error: String,
    },
    /// Nothing is known of an application that a workload names.
    #[error("failed to read {what}: nothing is known of application `{application}` on `{kind}`; add its profile")]
    Unprofiled {
        /// What was read.
        what: String,
        /// The application.
        application: String,
        /// The kind of GPU; empty where no run of it is known at all.
        kind: String,
    },
}

/// Rows by the names of their columns.
pub(crate) struct Table<'a> {
    what: &'a str,
    header: Vec<&'a str>,
    /// Each with its line in the text, from 1.
    rows: Vec<(usize, Vec<&'a str>)>,
}

impl<'a> Table<'a> {
    /// `what` is how errors call the text.
    pub(crate) fn read(what: &'a str, text: &'a str) -> Result<Self, ReadError> {
        let cells = |line: &'a str| line.split(',').map(str::trim).collect::<Vec<_>>();
        let mut lines = (1..).zip(text.lines().map(cells));
        let (_, header) = lines.next().ok_or_else(|| ReadError::Empty { what: what.to_owned() })?;
        let rows = lines.filter(|(_, row)| row.iter().any(|cell| !cell.is_empty())).collect();
        Ok(Self { what, header, rows })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn column(&self, name: &str) -> Result<usize, ReadError> {
        self.find(name).ok_or_else(|| ReadError::Column { what: self.what.to_owned(), column: name.to_owned() })
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|known| *known == name)
    }

    pub(crate) fn text(&self, row: usize, column: usize) -> &'a str {
        self.rows[row].1.get(column).copied().unwrap_or("")
    }

    /// A number that is not negative.
    pub(crate) fn number(&self, row: usize, column: usize) -> Result<f64, ReadError> {
        let value = self.text(row, column);
        let number = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.wrong(row, column, "a number that is not negative"))
    }

    /// A whole number that is not negative and has room in the type.
    pub(crate) fn whole<T: FromStr>(&self, row: usize, column: usize) -> Result<T, ReadError> {
        self.text(row, column).parse().map_err(|_| self.wrong(row, column, "a whole number that is not negative"))
    }

    pub(crate) fn wrong(&self, row: usize, column: usize, expected: &'static str) -> ReadError {
        ReadError::Value {
            what: self.what.to_owned(),
            line: self.rows[row].0,
            column: self.header[column].to_owned(),
            value: self.text(row, column).to_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named_with_its_line_in_the_text_blank_lines_counted() {
        let table = Table::read("jobs.csv", "name,gpus\n\na,1\nb,-1\n").unwrap();
        assert_eq!(table.whole::<u32>(0, 1), Ok(1));
        let error = table.whole::<u32>(1, 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to read jobs.csv, line 4: `-1` in column `gpus` is not a whole number that is not negative"
        );
    }
}
