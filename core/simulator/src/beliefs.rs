//! How fast a job would be at a size, as it or its policy may know.

use crate::batch::Limits;
use crate::cluster::Kind;
use crate::job::{Job, limits};
use crate::profile::{Application, Steps};
use crate::rules::{Knowledge, Rules};

/// GPUs of each node where a count stands on as few nodes as can be, fullest first.
pub fn ideal_shape(kind: &Kind, gpus: u32) -> Vec<u32> {
    let (whole, rest) = (gpus / kind.gpus_per_node, gpus % kind.gpus_per_node);
    let mut shape = vec![kind.gpus_per_node; whole as usize];
    if rest > 0 {
        shape.push(rest);
    }
    shape
}

/// Counts of GPUs worth a look on a kind: all up to 8, every second to 16, then every fourth.
pub fn counts(kind: &Kind) -> Vec<u32> {
    let all = 1..=kind.gpus();
    all.filter(|gpus| *gpus <= 8 || *gpus <= 16 && gpus % 2 == 0 || gpus % 4 == 0).collect()
}

/// A size on one kind of GPU.
#[derive(Clone, Copy, Debug)]
pub struct Size<'a> {
    /// The kind, as index.
    pub index: usize,
    /// The kind.
    pub kind: &'a Kind,
    /// GPUs.
    pub gpus: u32,
}

impl Size<'_> {
    fn nodes(self) -> u32 {
        self.gpus.div_ceil(self.kind.gpus_per_node)
    }
}

/// Factor on the time of a step beyond its profile.
pub fn slowdown(application: &Application, rules: &Rules) -> f64 {
    if rules.slowdown { application.times.slowdown } else { 1.0 }
}

/// [`rate`], with the fit put right by what was measured at the very count of GPUs: the ratio at the nearest local batch seen. A
/// fit of few parameters passes near all points and through none, and moves a little with each new one.
pub fn corrected_rate(job: &Job, application: &Application, rules: &Rules, size: Size<'_>) -> Option<f64> {
    let estimate = job.measured[size.index].estimate?;
    let here: Vec<(f64, f64)> = job.measured[size.index]
        .seen
        .iter()
        .filter(|seen| (seen.nodes, seen.gpus) == (size.nodes(), size.gpus))
        .map(|seen| {
            let local = f64::from(seen.local);
            (local, seen.step_seconds / estimate.step_seconds(seen.nodes, seen.gpus, local))
        })
        .collect();
    if rules.knowledge == Knowledge::Oracle || here.is_empty() {
        return rate(job, application, rules, size, f64::INFINITY);
    }
    let steps = application.steps[size.index].as_ref()?;
    let gradient = job.gradient?;
    let limits = limits(application, steps, rules, None);
    let best = limits.best(size.gpus, |cut| {
        let local = f64::from(cut.local);
        let distance = |seen: &(f64, f64)| (seen.0 / local).ln().abs();
        let factor = here.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).map_or(1.0, |seen| seen.1);
        let seconds = factor * estimate.seconds(size.nodes(), size.gpus, local, cut.accumulation);
        gradient.gain(limits.first, cut.total(size.gpus)) / seconds
    });
    best.map(|best| best.1 / slowdown(application, rules))
}

/// Progress per second at a size, in steps at the first batch, as the job's own measurements on the kind say; `None` where it has
/// none, or cannot run there. `most_total` bounds the total batch.
pub fn rate(job: &Job, application: &Application, rules: &Rules, size: Size<'_>, most_total: f64) -> Option<f64> {
    let steps = application.steps[size.index].as_ref()?;
    let estimate = job.measured[size.index].estimate?;
    let gradient = job.gradient?;
    let best = match rules.knowledge {
        Knowledge::Oracle => {
            let shape = ideal_shape(size.kind, size.gpus);
            let curve = steps.at(&shape)?;
            let limits = bounded(limits(application, steps, rules, Some(&shape)), most_total);
            limits.best(size.gpus, |cut| {
                let seconds = curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
                gradient.gain(limits.first, cut.total(size.gpus)) / seconds
            })
        }
        Knowledge::Refit => {
            let limits = bounded(limits(application, steps, rules, None), most_total);
            limits.best(size.gpus, |cut| {
                let seconds = estimate.seconds(size.nodes(), size.gpus, f64::from(cut.local), cut.accumulation);
                gradient.gain(limits.first, cut.total(size.gpus)) / seconds
            })
        }
    };
    best.map(|best| best.1 / slowdown(application, rules))
}

fn bounded(limits: Limits, most_total: f64) -> Limits {
    Limits { most: limits.most.min(most_total), ..limits }
}

/// True samples per second of one GPU at the first batch; `None` where the application was not measured.
pub fn speed_of_one(application: &Application, rules: &Rules, kind: usize) -> Option<f64> {
    let steps = application.steps[kind].as_ref()?;
    let curve = steps.at(&[1])?;
    let limits = limits(application, steps, rules, Some(&[1]));
    let cut = limits.fixed(limits.first, 1);
    Some(cut.total(1) / curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation))
}

/// The true rate at a size, best batch and all, as steps at the first batch per second; `None` where it cannot run. `factor` is on
/// the time of a step. Without a gradient the batch is the one asked for, and every sample counts in full.
pub fn true_rate(job: &Job, application: &Application, rules: &Rules, size: Size<'_>, factor: f64) -> Option<f64> {
    let steps = application.steps[size.index].as_ref()?;
    let shape = ideal_shape(size.kind, size.gpus);
    let curve = steps.at(&shape)?;
    let limits = limits(application, steps, rules, Some(&shape));
    let rate = match job.gradient {
        Some(gradient) => {
            let best = limits.best(size.gpus, |cut| {
                let seconds = curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
                gradient.gain(limits.first, cut.total(size.gpus)) / seconds
            });
            best?.1
        }
        None => {
            if limits.start(size.gpus) > limits.most {
                return None;
            }
            let total = f64::from(job.submission.batch).max(limits.start(size.gpus));
            let cut = limits.fixed(total, size.gpus);
            let seconds = curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
            cut.total(size.gpus) / limits.first / seconds
        }
    };
    Some(rate / slowdown(application, rules) / factor)
}

/// The most GPUs that an application has a batch for, on a kind, and that anything was measured on.
pub fn most_gpus(application: &Application, steps: &Steps) -> u32 {
    ((application.runs.batches().1 / steps.range().0).floor() as u32).min(steps.widest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ideal_shape_fills_nodes_and_puts_the_rest_on_one_more() {
        let kind = Kind { name: "t4".to_owned(), nodes: 4, gpus_per_node: 4 };
        assert_eq!(ideal_shape(&kind, 10), [4, 4, 2]);
        assert_eq!(counts(&kind), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]);
    }
}
