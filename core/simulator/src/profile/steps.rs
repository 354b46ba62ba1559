//! Step times of one application on one kind of GPU, over placements.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::scattered::{Point, along};
use super::{Curve, StepTime};
use crate::table::{ReadError, Table};

/// Nodes beyond which one more makes no difference to the truth (rule 2).
const MOST_NODES: u32 = 16;

/// Sum of points at one local batch: how many, of step times, of sync times.
type Sum = (f64, f64, f64);

/// What was measured of one application on one kind of GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// By GPUs of each node, rotated to the smallest order.
    measured: BTreeMap<Vec<u32>, Curve>,
    /// Mean placements and large even runs: nodes, GPUs and local batch, and their time.
    points: Vec<(Point, StepTime)>,
    /// What lies between those for each count of nodes and GPUs, worked out once it is asked for; `None` outside of all.
    between: BTreeMap<[u32; 2], OnceLock<Option<Curve>>>,
    /// By nodes and GPUs of a large even run: its largest local batch.
    even: Vec<([u32; 2], f64)>,
    range: (f64, f64),
    widest: u32,
    /// Of a size that cannot change, instead of all that.
    fixed: Option<Fixed>,
}

/// Step times of so many GPUs at one batch.
#[derive(Clone, Debug, PartialEq)]
struct Fixed {
    gpus: u32,
    fewest_nodes: u32,
    /// On the fewest nodes, and on more.
    times: [Curve; 2],
}

impl Steps {
    /// Reads `placements.csv` and `scalability.csv` (empty where there is none).
    ///
    /// # Errors
    ///
    /// When a column is missing or a value is no number.
    pub fn read(what: &str, placements: &str, scalability: &str) -> Result<Self, ReadError> {
        let table = Table::read(what, placements)?;
        let columns = [table.column("placement")?, table.column("local_bsz")?];
        let times = [table.column("step_time")?, table.column("sync_time")?];
        let mut measured: BTreeMap<Vec<u32>, Vec<(f64, StepTime)>> = BTreeMap::new();
        let mut sums: BTreeMap<[u32; 2], BTreeMap<u64, Sum>> = BTreeMap::new();
        for row in 0..table.len() {
            let digits: Option<Vec<u32>> =
                table.text(row, columns[0]).chars().map(|digit| digit.to_digit(10)).collect();
            let nodes = digits.filter(|nodes| !nodes.is_empty() && !nodes.contains(&0));
            let nodes = nodes.ok_or_else(|| table.wrong(row, columns[0], "one digit of 1 to 9 for each node"))?;
            let local = table.number(row, columns[1])?;
            let time =
                StepTime { step_seconds: table.number(row, times[0])?, sync_seconds: table.number(row, times[1])? };
            let key = [nodes.len() as u32, nodes.iter().sum()];
            let sum = sums.entry(key).or_default().entry(local.to_bits()).or_default();
            *sum = (sum.0 + 1.0, sum.1 + time.step_seconds, sum.2 + time.sync_seconds);
            measured.entry(rotated(&nodes)).or_default().push((local, time));
        }
        let mut averaged: BTreeMap<[u32; 2], Vec<(f64, StepTime)>> = BTreeMap::new();
        let mut even: BTreeMap<[u32; 2], f64> = BTreeMap::new();
        for (key, locals) in sums {
            let mean = |(local, (count, step, sync)): (u64, Sum)| {
                (f64::from_bits(local), StepTime { step_seconds: step / count, sync_seconds: sync / count })
            };
            averaged.insert(key, locals.into_iter().map(mean).collect());
        }
        if !scalability.trim().is_empty() {
            let table = Table::read(what, scalability)?;
            let counts = [table.column("num_nodes")?, table.column("num_replicas")?];
            let columns = [table.column("local_bsz")?, table.column("step_time")?, table.column("sync_time")?];
            for row in 0..table.len() {
                let key = [table.number(row, counts[0])? as u32, table.number(row, counts[1])? as u32];
                let time = StepTime {
                    step_seconds: table.number(row, columns[1])?,
                    sync_seconds: table.number(row, columns[2])?,
                };
                let local = table.number(row, columns[0])?;
                averaged.entry(key).or_default().push((local, time));
                let most = even.entry(key).or_insert(local);
                *most = most.max(local);
            }
        }
        Ok(Self::of(measured, averaged, even))
    }

    fn of(
        measured: BTreeMap<Vec<u32>, Vec<(f64, StepTime)>>,
        averaged: BTreeMap<[u32; 2], Vec<(f64, StepTime)>>,
        even: BTreeMap<[u32; 2], f64>,
    ) -> Self {
        let measured: BTreeMap<_, _> = measured.into_iter().map(|(key, points)| (key, Curve::new(points))).collect();
        let ranges = measured.values().filter_map(Curve::range);
        let range = ranges.fold((f64::INFINITY, 0.0_f64), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        let widest = averaged.keys().map(|key| key[1]).max().unwrap_or(0);
        let most_nodes = averaged.keys().map(|key| key[0]).max().unwrap_or(0).min(MOST_NODES);
        let counts = (1..=most_nodes).flat_map(|nodes| (nodes..=widest).map(move |gpus| [nodes, gpus]));
        let between = counts.map(|key| (key, OnceLock::new())).collect();
        // Of two runs of one size the first counts.
        let curves = averaged.into_iter().map(|(key, points)| (key.map(f64::from), Curve::new(points)));
        let points = curves.flat_map(|([nodes, gpus], curve)| {
            curve.points().iter().map(|(local, time)| ([nodes, gpus, *local], *time)).collect::<Vec<_>>()
        });
        let points = points.collect();
        Self { measured, points, between, even: even.into_iter().collect(), range, widest, fixed: None }
    }

    /// Of `gpus` GPUs at one sample each, on nodes of so many: `together` steps per second on the fewest nodes, `apart` on more.
    pub fn fixed(gpus: u32, gpus_per_node: u32, together: f64, apart: f64) -> Self {
        let curve = |steps_per_second: f64| {
            let seconds = 1.0 / steps_per_second;
            // A step that only waits has no pass that could be had without it.
            Curve::new(vec![(1.0, StepTime { step_seconds: seconds, sync_seconds: seconds })])
        };
        let fewest_nodes = gpus.div_ceil(gpus_per_node);
        let fixed = Fixed { gpus, fewest_nodes, times: [curve(together), curve(apart)] };
        Self { range: (1.0, 1.0), widest: gpus, fixed: Some(fixed), ..Self::default() }
    }

    /// Smallest and largest local batch measured at any placement.
    pub fn range(&self) -> (f64, f64) {
        self.range
    }

    /// Largest local batch that a placement is believed to have memory for (rule 6): the largest measured there, or, where nothing
    /// was, the largest of the even runs on as many nodes and GPUs or more, as far as step times are known.
    pub fn most_local(&self, nodes: &[u32]) -> f64 {
        let known = self.at(nodes).and_then(Curve::range).map_or(self.range.1, |range| range.1);
        if self.measured.contains_key(&rotated(nodes)) {
            return known;
        }
        let key = [nodes.len() as u32, nodes.iter().sum()];
        let larger = self.even.iter().filter(|(even, _)| even[0] >= key[0] && even[1] >= key[1]);
        let most = larger.map(|(_, local)| *local).fold(0.0, f64::max);
        if most > 0.0 { most.min(known) } else { known }
    }

    /// Most GPUs of any run.
    pub fn widest(&self) -> u32 {
        self.widest
    }

    /// Step times at a placement, given as GPUs of each node in order: as measured, or between the mean placements around its
    /// nodes, GPUs and local batch (rule 2). `None` outside of all that was measured.
    pub fn at(&self, nodes: &[u32]) -> Option<&Curve> {
        if let Some(fixed) = &self.fixed {
            let fits = nodes.iter().sum::<u32>() == fixed.gpus;
            let apart = nodes.len() as u32 > fixed.fewest_nodes;
            return fits.then(|| &fixed.times[usize::from(apart)]);
        }
        if let Some(curve) = self.measured.get(&rotated(nodes)) {
            return Some(curve);
        }
        let key = [(nodes.len() as u32).min(MOST_NODES), nodes.iter().sum()];
        self.between.get(&key)?.get_or_init(|| self.curve_between(key)).as_ref()
    }

    fn curve_between(&self, [nodes, gpus]: [u32; 2]) -> Option<Curve> {
        let places: Vec<Point> = self.points.iter().map(|point| point.0).collect();
        let mixed = along(&places, f64::from(nodes), f64::from(gpus)).into_iter().map(|(local, parts)| {
            let mut time = StepTime::default();
            for (weight, at) in parts {
                time.step_seconds += weight * self.points[at].1.step_seconds;
                time.sync_seconds += weight * self.points[at].1.sync_seconds;
            }
            (local, time)
        });
        let points: Vec<(f64, StepTime)> = mixed.collect();
        (!points.is_empty()).then(|| Curve::new(points))
    }
}

/// The smallest rotation: a ring has no first node.
fn rotated(nodes: &[u32]) -> Vec<u32> {
    let turned = (0..nodes.len()).map(|first| [&nodes[first..], &nodes[..first]].concat());
    turned.min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEMENTS: &str = "placement,local_bsz,step_time,sync_time\n1,8,1.0,0\n12,8,2.0,1\n11,8,3,1\n";
    const EVEN: &str = "local_bsz,step_time,sync_time,num_nodes,num_replicas\n8,6,1,4,5\n";

    #[test]
    fn a_placement_is_found_whatever_its_rotation() {
        let steps = Steps::read("profile", PLACEMENTS, EVEN).unwrap();
        assert_eq!(steps.at(&[2, 1]).unwrap().at(8.0).step_seconds, 2.0);
    }

    #[test]
    fn an_unmeasured_placement_lies_between_its_neighbours_and_one_outside_is_unknown() {
        let steps = Steps::read("profile", PLACEMENTS, EVEN).unwrap();
        assert_eq!(steps.at(&[2, 1, 1]).unwrap().at(8.0).step_seconds, 4.0);
        assert!(steps.at(&[4]).is_none());
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = Steps::read("placements.csv", "placement,step_time,sync_time\n", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to read placements.csv: it has no column `local_bsz`; add it to the first line"
        );
    }
}
