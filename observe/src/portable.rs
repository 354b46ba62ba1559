//! Where a job that holds devices can be moved with its checkpoint.

use plimsoll_crds::training_job::Portable;
use plimsoll_sizing::{Candidate, Current, Layout, Menu};

/// The part of a menu that a running job can be moved to: candidates whose degrees are those of `current` but for the ones
/// that its checkpoint is portable across. What was left out before stays told.
pub fn reachable(menu: &Menu, current: &Current, portable: &[Portable]) -> Menu {
    let now = degrees(&current.layout);
    let can = |candidate: &&Candidate| {
        let moved = degrees(&candidate.layout).into_iter().zip(now).filter(|(then, now)| then != now);
        moved.map(|((word, _), _)| word).all(|word| portable.contains(&word))
    };
    Menu { candidates: menu.candidates.iter().filter(can).cloned().collect(), rejected: menu.rejected.clone() }
}

fn degrees(layout: &Layout) -> [(Portable, u32); 5] {
    [
        (Portable::Data, layout.data),
        (Portable::Tensor, layout.tensor),
        (Portable::Pipeline, layout.pipeline),
        (Portable::Context, layout.context),
        (Portable::Expert, layout.expert),
    ]
}

#[cfg(test)]
mod tests {
    use plimsoll_sizing::{Batch, ClassName, Fit, Prediction, Shape};

    use super::*;

    fn candidate(layout: Layout) -> Candidate {
        Candidate {
            shape: Shape { class: ClassName::new("l4"), pods: 1, gpus_per_pod: layout.devices() },
            layout,
            batch: Batch { micro: 1, accumulation: 64 / layout.data, global: 64 },
            predicted: Prediction { device_memory_bytes: 1, step_seconds: 1.0, sm_activity: 0.9, mfu: 0.4 },
            fit: Fit::Fits,
            in_band: true,
            efficient: false,
        }
    }

    #[test]
    fn a_running_job_moves_only_along_the_degrees_that_its_checkpoint_survives() {
        let plain = Layout::data_parallel(4);
        let layouts = [
            plain,
            Layout::data_parallel(8),
            Layout { tensor: 2, ..plain },
            Layout { pipeline: 2, ..plain },
            Layout { expert: 4, ..plain },
        ];
        let menu = Menu { candidates: layouts.map(candidate).to_vec(), rejected: Vec::new() };
        let Candidate { shape, layout, batch, .. } = candidate(plain);
        let current = Current { shape, layout, batch };
        let kept = |portable: &[Portable]| {
            let kept = reachable(&menu, &current, portable).candidates;
            kept.into_iter().map(|candidate| candidate.layout).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[]), [plain]);
        assert_eq!(kept(&[Portable::Data]), [plain, layouts[1]]);
        assert_eq!(kept(&[Portable::Data, Portable::Pipeline]), [plain, layouts[1], layouts[3]]);
        let all = [Portable::Data, Portable::Tensor, Portable::Pipeline, Portable::Context, Portable::Expert];
        assert_eq!(kept(&all), layouts);
    }
}
