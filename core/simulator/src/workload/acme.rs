//! Workloads drawn from the summary of Acme's data (Hu et al., NSDI 2024): a row each of Seren, Kalos, Philly, Helios and PAI.

use super::{Fate, Submission, by_gpu_time, from_the_first};
use crate::random::Random;
use crate::table::{ReadError, Table};

/// What the summary says of the GPU jobs of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The cluster.
    pub name: String,
    /// Mean, median and largest run time, in seconds.
    pub run_seconds: [f64; 3],
    /// Mean, median and largest count of GPUs.
    pub gpus: [f64; 3],
    /// Share of jobs that completed, were cancelled, failed; nothing where it is not known.
    pub ends: Option<[f64; 3]>,
    /// Share of GPU-time of the same.
    pub gpu_time_ends: Option<[f64; 3]>,
}

/// Whether a text is such a summary.
pub fn is_summary(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.starts_with("id,") && line.contains("med_run_time_gpu"))
}

/// Reads the summary, a row for each cluster.
///
/// # Errors
///
/// When a column is missing or a value is no number.
pub fn read(what: &str, text: &str) -> Result<Vec<Summary>, ReadError> {
    let table = Table::read(what, text)?;
    let name = table.column("id")?;
    let columns = |names: [&str; 3]| -> Result<[usize; 3], ReadError> {
        Ok([table.column(names[0])?, table.column(names[1])?, table.column(names[2])?])
    };
    let run = columns(["avg_run_time_gpu", "med_run_time_gpu", "max_run_time_gpu"])?;
    let gpus = columns(["avg_gpu_num", "med_gpu_num", "max_gpu"])?;
    let ends = columns(["complete_rate_gpu", "cancel_rate_gpu", "fail_rate_gpu"])?;
    let times = columns(["complete_rate_gpu_time", "cancel_rate_gpu_time", "fail_rate_gpu_time"])?;
    let three = |row, at: [usize; 3]| -> Result<[f64; 3], ReadError> {
        Ok([table.number(row, at[0])?, table.number(row, at[1])?, table.number(row, at[2])?])
    };
    let known = |row, at: [usize; 3]| {
        let empty = at.iter().all(|column| table.text(row, *column).is_empty());
        if empty { Ok(None) } else { three(row, at).map(Some) }
    };
    let read = |row| {
        let positive = |at: [usize; 3]| {
            let values = three(row, at)?;
            let zero = values.iter().position(|value| *value <= 0.0);
            zero.map_or(Ok(values), |zero| Err(table.wrong(row, at[zero], "a number above 0")))
        };
        Ok(Summary {
            name: table.text(row, name).to_owned(),
            run_seconds: positive(run)?,
            gpus: positive(gpus)?,
            ends: known(row, ends)?,
            gpu_time_ends: known(row, times)?,
        })
    };
    (0..table.len()).map(read).collect()
}

impl Summary {
    /// Draws jobs that come at random over some seconds, evenly. Run times and GPUs are log-normal with the median and mean of the
    /// summary, `σ² = 2 ln(mean/median)`, up to its largest; a count of GPUs is the nearest power of two. How a job ends is drawn
    /// first, and its run time is longer or shorter by what jobs that end so take of the GPU-time. The rest is as for Philly's list
    /// ([`super::read_philly`]).
    pub fn draw(&self, count: usize, seconds: f64, seed: u64) -> Vec<Submission> {
        let job = |at: usize| {
            let mut random = Random::new(&[seed, at as u64]);
            let fate = self.fate(random.unit());
            let gpus = log_normal(&mut random, self.gpus).log2().round().max(0.0).exp2();
            let run_seconds = log_normal(&mut random, self.run_seconds) * self.stretch(fate);
            let gpu_hours = gpus * run_seconds.min(self.run_seconds[2]) / 3600.0;
            let at_seconds = (random.unit() * seconds).floor();
            Submission { fate, queue: self.name.clone(), ..by_gpu_time(at, at_seconds, gpus as u32, gpu_hours) }
        };
        from_the_first((0..count).map(job).collect())
    }

    fn fate(&self, unit: f64) -> Fate {
        match self.ends {
            Some([_, cancelled, _]) if unit < cancelled => Fate::Cancelled,
            Some([_, cancelled, failed]) if unit < cancelled + failed => Fate::Failed,
            _ => Fate::Completed,
        }
    }

    /// Mean GPU-time of jobs that end so, over that of all.
    fn stretch(&self, fate: Fate) -> f64 {
        let at = match fate {
            Fate::Completed => 0,
            Fate::Cancelled => 1,
            Fate::Failed => 2,
        };
        match (self.ends, self.gpu_time_ends) {
            (Some(ends), Some(times)) if ends[at] > 0.0 => times[at] / ends[at],
            _ => 1.0,
        }
    }
}

/// Of mean, median and largest. A mean that is not above the median leaves no spread.
fn log_normal(random: &mut Random, [mean, median, most]: [f64; 3]) -> f64 {
    let spread = (2.0 * (mean / median).ln()).max(0.0).sqrt();
    (median * (spread * random.normal()).exp()).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "id,avg_gpu_num,avg_run_time_gpu,med_run_time_gpu,med_gpu_num,max_run_time_gpu,max_gpu,complete_rate_gpu,\
        cancel_rate_gpu,fail_rate_gpu,complete_rate_gpu_time,cancel_rate_gpu_time,fail_rate_gpu_time\n\
        A,4,3600,600,1,90000,64,0.5,0.1,0.4,0.2,0.7,0.1\nB,2,60,60,2,60,2,,,,,,\n";

    #[test]
    fn draws_have_the_median_and_the_ends_of_the_summary() {
        let summary = &read("summary.csv", TEXT).unwrap()[0];
        let jobs = summary.draw(20_000, 28_800.0, 1);
        let share = |fate: Fate| jobs.iter().filter(|job| job.fate == fate).count() as f64 / jobs.len() as f64;
        assert!((share(Fate::Failed) - 0.4).abs() < 0.02 && (share(Fate::Cancelled) - 0.1).abs() < 0.02);
        let one = jobs.iter().filter(|job| job.gpus == 1).count() as f64 / jobs.len() as f64;
        assert!((0.5..0.7).contains(&one), "half of all and what rounds down to one: {one}");
        let long = |fate: Fate| {
            let of = || jobs.iter().filter(|job| job.fate == fate);
            of().filter(|job| job.application != "cifar10").count() as f64 / of().count() as f64
        };
        assert!(long(Fate::Cancelled) > 2.0 * long(Fate::Failed), "who is cancelled ran longest");
    }

    #[test]
    fn the_same_seed_draws_the_same_jobs_and_unknown_ends_are_completions() {
        let summary = &read("summary.csv", TEXT).unwrap()[1];
        let jobs = summary.draw(20, 100.0, 7);
        assert_eq!(jobs, summary.draw(20, 100.0, 7));
        assert_ne!(jobs, summary.draw(20, 100.0, 8));
        assert!(jobs.iter().all(|job| job.fate == Fate::Completed && job.gpus == 2 && job.application == "cifar10"));
        assert!(is_summary(TEXT));
    }

    #[test]
    fn a_median_of_nothing_is_named() {
        let error = read("summary.csv", &TEXT.replace("3600,600", "3600,0")).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to read summary.csv, line 2: `0` in column `med_run_time_gpu` is not a number above 0"
        );
    }
}
