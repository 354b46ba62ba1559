//! Cuts of the global batch into micro-batches.

use crate::{Batch, JobSpec, Layout};

/// Cuts of the global batch over `data` ranks, the largest micro-batch first, with what the program cannot be told as
/// declared; what was neither accepted nor declared is what is left of the batch.
///
/// A pipeline gets at least a micro-batch for each stage, so that every stage has work at once; interleaved stages take
/// their micro-batches in rounds of as many as there are stages (arXiv 2104.04473, section 2.2).
pub(super) fn cuts(job: &JobSpec, layout: &Layout) -> Vec<Batch> {
    let stages = layout.pipeline.max(1);
    let fills = |batch: &Batch| {
        batch.accumulation >= stages && (layout.extra_stages == 0 || batch.accumulation.is_multiple_of(stages))
    };
    let mut cuts = any_cuts(job, layout.data);
    cuts.retain(|batch| stages == 1 || fills(batch));
    cuts
}

fn any_cuts(job: &JobSpec, data: u32) -> Vec<Batch> {
    let with_accumulation = |accumulation: u32| {
        let per_rank = job.global_batch / data.max(1);
        let micro = per_rank.checked_div(accumulation).unwrap_or(0);
        Batch::cut(job.global_batch, data, micro)
            .into_iter()
            .filter(|batch| batch.accumulation == accumulation)
            .collect()
    };
    let with_micro = |micro: u32| Batch::cut(job.global_batch, data, micro).into_iter().collect();
    let (micro, accumulation) = (job.declared.micro_batch, job.declared.accumulation);
    match (job.accepts.micro_batch, job.accepts.gradient_accumulation) {
        (true, true) => all_cuts(job.global_batch, data),
        (true, false) => with_accumulation(accumulation.unwrap_or(1)),
        (false, true) => micro.map_or_else(|| with_accumulation(accumulation.unwrap_or(1)), with_micro),
        (false, false) => match (micro, accumulation) {
            (Some(micro), Some(accumulation)) => {
                let cut: Vec<Batch> = with_micro(micro);
                cut.into_iter().filter(|batch| batch.accumulation == accumulation).collect()
            }
            (Some(micro), None) => with_micro(micro),
            (None, accumulation) => with_accumulation(accumulation.unwrap_or(1)),
        },
    }
}

/// Every cut of a batch over `data` ranks, the largest micro-batch first: one for each divisor, found in pairs, since a
/// batch may hold millions of samples.
fn all_cuts(global: u32, data: u32) -> Vec<Batch> {
    let Some(per_rank) = global.checked_div(data) else { return Vec::new() };
    let pairs = (1..=per_rank.isqrt()).filter(|small| per_rank.is_multiple_of(*small));
    let mut micros: Vec<u32> = pairs.flat_map(|small| [small, per_rank / small]).collect();
    micros.sort_unstable_by(|a, b| b.cmp(a));
    micros.dedup();
    micros.into_iter().filter_map(|micro| Batch::cut(global, data, micro).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cuts_are_those_of_the_batch() {
        for global in [1, 7, 96, 480, 1024] {
            for data in 1..=9 {
                assert_eq!(all_cuts(global, data), Batch::cuts(global, data), "{global} over {data}");
            }
        }
    }
}
