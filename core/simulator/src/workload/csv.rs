//! Workloads as the simulators of Pollux and Sia have them.

use super::Submission;
use crate::table::{ReadError, Table};

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
            ..Submission::default()
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
}
