//! Linear interpolation over scattered points of (nodes, GPUs, local batch).

/// Coordinates: nodes, GPUs, local batch.
pub(super) type Point = [f64; 3];

/// Equations of a point: weights add up to 1, and each coordinate comes out.
const ROWS: usize = 4;

/// What rounding may leave of a zero.
const TINY: f64 = 1e-9;

/// Weight of `nodes × local batch` in the height of a point, and of the other two products: what chooses between tetrahedra of equal
/// right. A lattice is full of them: of the two ways to cut a rectangle of nodes and batches this takes the one through fewest nodes at
/// the largest batch, which is the one that the published runs of Pollux's simulator took, but for one of the eight places
/// where they needed any.
const CHOICE: [f64; 3] = [1e-8, 1e-9, 1e-10];

/// Where a stretch is looked at: no round part of it, at which points of a lattice would lie.
const SPLIT: f64 = 0.481_97;

/// Steps of the simplex method before the first column that gains enters instead of the best.
const PATIENCE: usize = 60;
const MOST_STEPS: usize = 2000;

/// A point between others: their weights, above 0, and where they stand.
pub(super) type Parts = Vec<(f64, usize)>;

/// A linear programme over weights of points.
struct Programme<'a> {
    points: &'a [Point],
    centre: Point,
    /// Unit of the local batch, so that all coordinates are alike in size.
    unit: f64,
}

/// A solution: its value, and the points whose weights are not 0, but for those that just are.
struct Solved {
    value: f64,
    basis: [usize; ROWS],
}

/// The local batches at `nodes` and `gpus`, ascending, between which an interpolation over the points is linear, and the points
/// around each with their weights; nothing outside of the hull.
///
/// The interpolation is that of the Delaunay triangulation. A point is lifted to the paraboloid `z = |p|²`; of all mixes of points that
/// come out at a place, the tetrahedron's is the lowest there (Brown 1979, Information Processing Letters 9, 223), which makes the
/// weights a linear programme. Those of one tetrahedron are good as far as none falls below 0; what is left above and below is
/// looked at in the same way.
pub(super) fn along(points: &[Point], nodes: f64, gpus: f64) -> Vec<(f64, Parts)> {
    let locals = || points.iter().map(|point| point[2]);
    let (low, high) = (locals().fold(f64::INFINITY, f64::min), locals().fold(0.0, f64::max));
    let unit = ((high - low) / 16.0).max(1.0);
    let programme = Programme { points, centre: [nodes, gpus, f64::midpoint(low, high)], unit };
    let end = |sign: f64| programme.solve(None, &|point| sign * point[2]).map(|solved| sign * solved.value);
    let (Some(low), Some(high)) = (end(1.0), end(-1.0)) else { return Vec::new() };
    let height = |point: &Point| {
        let [x, y, z] = [0, 1, 2].map(|axis| point[axis] - programme.centre[axis]);
        x * x + y * y + z * z + CHOICE[0] * x * z + CHOICE[1] * y * z + CHOICE[2] * x * y
    };
    let mut found: Vec<(f64, Parts)> = Vec::new();
    let mut open = vec![(low, high)];
    while let Some((low, high)) = open.pop() {
        let middle = low + SPLIT * (high - low);
        let Some(solved) = programme.solve(Some(middle), &height) else { continue };
        let Some((from, to)) = programme.reach(&solved.basis, middle, (low, high)) else { continue };
        for local in [from, to] {
            if let Some(parts) = programme.parts(&solved.basis, local) {
                found.push((local, parts));
            }
        }
        for rest in [(low, from), (to, high)] {
            if rest.1 - rest.0 > 1e-6 * unit && (rest.1 - rest.0) < (high - low) {
                open.push(rest);
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.dedup_by(|later, first| later.0 - first.0 < 1e-6 * unit);
    found
}

impl Programme<'_> {
    /// What the weights of points must add up to.
    fn target(&self, local: Option<f64>) -> [f64; ROWS] {
        [1.0, 0.0, 0.0, local.map_or(0.0, |local| (local - self.centre[2]) / self.unit)]
    }

    /// The part of a point in that; without the local batch where that is left open.
    fn column(&self, at: usize, local: bool) -> [f64; ROWS] {
        let point = &self.points[at];
        let z = if local { (point[2] - self.centre[2]) / self.unit } else { 0.0 };
        [1.0, point[0] - self.centre[0], point[1] - self.centre[1], z]
    }

    /// The columns of a basis; a unit for what is no point.
    fn columns(&self, basis: &[usize; ROWS]) -> [[f64; ROWS]; ROWS] {
        basis.map(|at| match at.checked_sub(self.points.len()) {
            None => self.column(at, true),
            Some(row) => unit_column(row, 1.0),
        })
    }

    /// The local batches around one, in a range, over which a basis keeps all its weights.
    fn reach(&self, basis: &[usize; ROWS], local: f64, (low, high): (f64, f64)) -> Option<(f64, f64)> {
        let columns = self.columns(basis);
        let weights = combine(&columns, self.target(Some(local)))?;
        let change = combine(&columns, unit_column(ROWS - 1, 1.0 / self.unit))?;
        let (mut from, mut to) = (low, high);
        for (weight, change) in weights.iter().zip(change).filter(|(_, change)| change.abs() > TINY / self.unit) {
            let zero = local - weight.max(0.0) / change;
            if change > 0.0 { from = from.max(zero) } else { to = to.min(zero) }
        }
        Some((from, to))
    }

    /// The points of a basis with their weights at a local batch.
    fn parts(&self, basis: &[usize; ROWS], local: f64) -> Option<Parts> {
        let weights = combine(&self.columns(basis), self.target(Some(local)))?;
        let parts = weights.into_iter().zip(*basis);
        Some(parts.filter(|(weight, at)| *weight > 1e-7 && *at < self.points.len()).collect())
    }

    /// The cheapest mix of points at the centre's nodes and GPUs, and at a local batch if there is one; `None` where there is none.
    /// The revised simplex method: a column for each point, and four more that cost more than any and must be left.
    fn solve(&self, local: Option<f64>, cost: &dyn Fn(&Point) -> f64) -> Option<Solved> {
        let target = self.target(local);
        let count = self.points.len();
        let costs: Vec<f64> = self.points.iter().map(cost).collect();
        let dear = 1e4 * (1.0 + costs.iter().fold(0.0_f64, |most, cost| most.max(cost.abs())));
        let full = |at: usize| match at.checked_sub(count) {
            None => (self.column(at, local.is_some()), costs[at]),
            Some(row) => (unit_column(row, if target[row] < 0.0 { -1.0 } else { 1.0 }), dear),
        };
        let mut basis: [usize; ROWS] = [count, count + 1, count + 2, count + 3];
        for step in 0..MOST_STEPS {
            let columns = basis.map(|at| full(at).0);
            let weights = combine(&columns, target)?;
            let prices = prices(&columns, basis.map(|at| full(at).1))?;
            let gain = |at: usize| {
                let (column, cost) = full(at);
                cost - (0..ROWS).map(|row| prices[row] * column[row]).sum::<f64>()
            };
            let scale = 1.0 + prices.iter().fold(0.0_f64, |most, price| most.max(price.abs()));
            let mut gains = (0..count).filter(|at| !basis.contains(at)).map(|at| (gain(at), at));
            let mut gains_more = gains.by_ref().filter(|(gain, _)| *gain < -1e-13 * scale);
            let entering =
                if step < PATIENCE { gains_more.min_by(|a, b| a.0.total_cmp(&b.0)) } else { gains_more.next() };
            let Some((_, entering)) = entering else {
                let value = (0..ROWS).map(|row| prices[row] * target[row]).sum();
                let missing: f64 = (0..ROWS).filter(|row| basis[*row] >= count).map(|row| weights[row]).sum();
                return (missing < 1e-7).then_some(Solved { value, basis });
            };
            let moves = combine(&columns, full(entering).0)?;
            let leaving = (0..ROWS).filter(|row| moves[*row] > TINY).min_by(|a, b| {
                let ratio = |row: usize| weights[row].max(0.0) / moves[row];
                ratio(*a).total_cmp(&ratio(*b)).then(basis[*b].cmp(&basis[*a]))
            })?;
            basis[leaving] = entering;
        }
        None
    }
}

/// A column with one entry.
fn unit_column(row: usize, value: f64) -> [f64; ROWS] {
    let mut column = [0.0; ROWS];
    column[row] = value;
    column
}

/// Weights of the columns that add up to a target.
fn combine(columns: &[[f64; ROWS]; ROWS], target: [f64; ROWS]) -> Option<[f64; ROWS]> {
    let mut rows = [[0.0; ROWS + 1]; ROWS];
    for (row, line) in rows.iter_mut().enumerate() {
        for (at, column) in columns.iter().enumerate() {
            line[at] = column[row];
        }
        line[ROWS] = target[row];
    }
    eliminate(rows)
}

/// Prices of the rows at which every column of a basis costs what it brings.
fn prices(columns: &[[f64; ROWS]; ROWS], costs: [f64; ROWS]) -> Option<[f64; ROWS]> {
    let mut rows = [[0.0; ROWS + 1]; ROWS];
    for ((line, column), cost) in rows.iter_mut().zip(columns).zip(costs) {
        line[..ROWS].copy_from_slice(column);
        line[ROWS] = cost;
    }
    eliminate(rows)
}

/// Gauss's elimination with the largest pivot; `None` for rows that depend on each other.
fn eliminate(mut rows: [[f64; ROWS + 1]; ROWS]) -> Option<[f64; ROWS]> {
    for at in 0..ROWS {
        let pivot = (at..ROWS).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs()))?;
        rows.swap(at, pivot);
        if rows[at][at].abs() < 1e-12 {
            return None;
        }
        let line = rows[at].map(|value| value / rows[at][at]);
        rows[at] = line;
        for (_, other) in rows.iter_mut().enumerate().filter(|(row, _)| *row != at) {
            let factor = other[at];
            other.iter_mut().zip(line).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    Some(rows.map(|row| row[ROWS]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A lattice of nodes, GPUs and local batches.
    fn lattice() -> Vec<Point> {
        let mut points = Vec::new();
        for nodes in [1.0, 2.0, 4.0] {
            for gpus in [4.0, 8.0, 16.0] {
                points.extend([32.0, 64.0, 128.0].map(|local| [nodes, gpus, local]));
            }
        }
        points
    }

    /// What the parts come out at.
    fn place(points: &[Point], parts: &Parts) -> Point {
        [0, 1, 2].map(|axis| parts.iter().map(|(weight, at)| weight * points[*at][axis]).sum())
    }

    #[test]
    fn of_two_ways_to_cut_a_rectangle_the_one_through_fewest_nodes_and_the_largest_batch_is_taken() {
        let points = lattice();
        let found = along(&points, 3.0, 8.0);
        let middle = found.iter().find(|(local, _)| (*local - 96.0).abs() < 1e-6).unwrap();
        let corners: Vec<Point> = middle.1.iter().map(|(_, at)| points[*at]).collect();
        assert!(corners.contains(&[2.0, 8.0, 128.0]) && corners.contains(&[4.0, 8.0, 64.0]), "{corners:?}");
    }

    #[test]
    fn a_point_of_the_set_is_itself_and_outside_there_is_nothing() {
        let points = lattice();
        let found = along(&points, 2.0, 8.0);
        assert!(found.iter().all(|(_, parts)| parts.iter().all(|(_, at)| points[*at][..2] == [2.0, 8.0])), "{found:?}");
        assert!(along(&points, 5.0, 8.0).is_empty());
    }

    proptest! {
        #[test]
        fn weights_lead_back_to_the_place_over_the_whole_height_of_the_hull(nodes in 1.0..4.0_f64, gpus in 4.0..16.0_f64) {
            let points = lattice();
            let found = along(&points, nodes, gpus);
            prop_assert_eq!((found[0].0.round(), found[found.len() - 1].0.round()), (32.0, 128.0));
            prop_assert!(found.is_sorted_by(|a, b| a.0 < b.0));
            for (local, parts) in &found {
                let at = place(&points, parts);
                prop_assert!((at[0] - nodes).abs() < 1e-6 && (at[1] - gpus).abs() < 1e-6, "{:?}", at);
                prop_assert!((at[2] - local).abs() < 1e-5 && (parts.iter().map(|part| part.0).sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }
}
