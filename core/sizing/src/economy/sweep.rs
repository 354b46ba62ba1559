//! What a search over configurations costs.

use serde::{Deserialize, Serialize};

/// Successive halving: many configurations with little training each, of which the best go on (Jamieson and Talwalkar, arXiv
/// 1502.07943). A resource is whatever training is counted in: steps, tokens, GPU-hours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Configurations at the start.
    pub configurations: u32,
    /// Resource that each gets at the first rung; above 0.
    pub smallest: f64,
    /// Resource that none gets more of.
    pub largest: f64,
    /// One of so many goes on from each rung; 2 or more, usually 3 or 4.
    pub reduction: u32,
    /// Whether what goes on continues from its checkpoint instead of from nothing.
    pub resumes: bool,
}

/// One rung of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Configurations that reach it.
    pub configurations: u32,
    /// Resource that each has had at its end.
    pub resource: f64,
    /// Resource that each takes on it: less than `resource` where it resumes.
    pub added: f64,
}

impl Sweep {
    /// Its rungs, the first one first. Rung `k` has `floor(n / η^k)` configurations, at least 1, with `r·η^k` each; the
    /// last is the largest such resource that is not above the limit, `K = floor(log_η(R/r))`.
    pub fn rungs(&self) -> Vec<Rung> {
        let mut rungs: Vec<Rung> = Vec::new();
        let (mut configurations, mut resource) = (self.configurations, self.smallest);
        // A little above the limit is the limit: powers of the reduction are not exact.
        while configurations > 0 && resource <= self.largest * (1.0 + 1e-9) {
            let before = rungs.last().filter(|_| self.resumes).map_or(0.0, |rung| rung.resource);
            rungs.push(Rung { configurations, resource, added: resource - before });
            if self.reduction < 2 || resource <= 0.0 {
                break;
            }
            configurations = (configurations / self.reduction).max(1);
            resource *= f64::from(self.reduction);
        }
        rungs
    }

    /// Resource that all rungs take together. ASHA (arXiv 1810.05934) takes about the same: it only drops the wait for the
    /// slowest of each rung, and promotes some that would have been passed later.
    pub fn cost(&self) -> f64 {
        self.rungs().iter().map(|rung| f64::from(rung.configurations) * rung.added).sum()
    }

    /// What training every configuration to the last rung would take.
    pub fn cost_without_halving(&self) -> f64 {
        self.rungs().last().map_or(0.0, |rung| f64::from(self.configurations) * rung.resource)
    }

    /// Resource on the longest path of one configuration: the wall time with as many workers as configurations. Without
    /// resuming less than `η/(η-1)` of the largest, with it the largest itself.
    pub fn longest_path(&self) -> f64 {
        self.rungs().iter().map(|rung| rung.added).sum()
    }
}

/// The brackets of Hyperband (arXiv 1603.06560, algorithm 1), the most adventurous first: bracket `s` starts
/// `ceil((K+1)/(s+1)·η^s)` configurations at `R/η^s`, for `s` from `K = floor(log_η(R/r))` to 0, and all cost about the same.
pub fn hyperband(smallest: f64, largest: f64, reduction: u32, resumes: bool) -> Vec<Sweep> {
    let one = Sweep { configurations: 1, smallest, largest, reduction, resumes };
    let brackets = one.rungs().len();
    (0..brackets)
        .rev()
        .map(|s| {
            let power = f64::from(reduction).powi(i32::try_from(s).unwrap_or(i32::MAX));
            let configurations = (brackets as f64 / (s + 1) as f64 * power).ceil() as u32;
            Sweep { configurations, smallest: largest / power, ..one }
        })
        .collect()
}
