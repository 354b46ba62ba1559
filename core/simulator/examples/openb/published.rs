//! What the authors of FGD published for the same runs of their simulator.

use plimsoll_simulator::fgd::Policy;

/// Unallocated GPUs in % at 100 % and 130 % of the capacity asked for: means of ten seeds (42 to 51), from
/// hkust-adsl/kubernetes-scheduler-simulator, experiments/analysis/expected_results/analysis_allo_discrete.csv (Apache-2.0).
pub(super) fn unallocated_percent(policy: Policy, list: &str) -> Option<[f64; 2]> {
    let allocated = match (policy, list) {
        (Policy::Fgd, "default") => [95.23, 95.39],
        (Policy::Fgd, "multigpu50") => [97.09, 97.18],
        (Policy::Fgd, "gpushare100") => [86.64, 86.90],
        (Policy::Fgd, "gpuspec33") => [87.84, 94.55],
        (Policy::BestFit, "default") => [92.86, 93.08],
        (Policy::BestFit, "multigpu50") => [95.62, 95.74],
        (Policy::BestFit, "gpushare100") => [84.62, 85.01],
        (Policy::BestFit, "gpuspec33") => [80.40, 93.09],
        (Policy::Packing, "default") => [91.78, 92.00],
        (Policy::Packing, "multigpu50") => [96.06, 96.18],
        (Policy::Packing, "gpushare100") => [82.13, 82.57],
        (Policy::Packing, "gpuspec33") => [82.22, 93.22],
        (Policy::Random, "default") => [86.30, 87.47],
        (Policy::Random, "multigpu50") => [81.28, 90.28],
        (Policy::Random, "gpushare100") => [78.90, 79.44],
        (Policy::Random, "gpuspec33") => [83.87, 86.46],
        _ => return None,
    };
    Some(allocated.map(|percent: f64| 100.0 - percent))
}
