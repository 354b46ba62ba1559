//! Linear interpolation over scattered points of a plane.

/// The points around `at` and their weights, as in the Delaunay triangulation of `points`.
///
/// A point is lifted to the paraboloid `z = x² + y²`; of all triangles that contain `at`, the Delaunay one is that whose lifted
/// plane is lowest there (Brown 1979, Information Processing Letters 9, 223). Four points on a circle have two triangulations:
/// the first triangle in the order of the points counts. `None` outside of the hull.
pub(super) fn around(points: &[[u32; 2]], at: [u32; 2]) -> Option<Vec<(f64, usize)>> {
    if let Some(known) = points.iter().position(|point| *point == at) {
        return Some(vec![(1.0, known)]);
    }
    let at = at.map(i64::from);
    // Corners as seen from `at`, with their distance squared, which lifts as well as the paraboloid at the origin does.
    let seen: Vec<[i64; 3]> = points
        .iter()
        .map(|point| {
            let (x, y) = (i64::from(point[0]) - at[0], i64::from(point[1]) - at[1]);
            [x, y, x * x + y * y]
        })
        .collect();
    let cross = |a: [i64; 3], b: [i64; 3]| a[0] * b[1] - a[1] * b[0];
    let mut best: Option<(f64, Vec<(f64, usize)>)> = None;
    for i in 0..seen.len() {
        for j in i + 1..seen.len() {
            let ij = cross(seen[i], seen[j]);
            for k in j + 1..seen.len() {
                let (jk, ki) = (cross(seen[j], seen[k]), cross(seen[k], seen[i]));
                let area = ij + jk + ki;
                let inside = area != 0 && [ij, jk, ki].iter().all(|part| part * area.signum() >= 0);
                if !inside {
                    continue;
                }
                let height = (jk * seen[i][2] + ki * seen[j][2] + ij * seen[k][2]) as f64 / area as f64;
                if best.as_ref().is_none_or(|(lowest, _)| height < lowest - 1e-9) {
                    let corners = [(jk, i), (ki, j), (ij, k)];
                    let weights = corners.iter().filter(|corner| corner.0 != 0);
                    best = Some((height, weights.map(|(part, at)| (*part as f64 / area as f64, *at)).collect()));
                }
            }
        }
    }
    best.map(|(_, parts)| parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_lead_back_to_the_point() {
        let points = [[1, 1], [1, 4], [4, 4], [4, 16], [8, 8], [8, 32]];
        let found = around(&points, [5, 12]).unwrap();
        let sum = |axis: usize| found.iter().map(|(w, i)| w * f64::from(points[*i][axis])).sum::<f64>();
        assert!((found.iter().map(|part| part.0).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((sum(0) - 5.0).abs() < 1e-12 && (sum(1) - 12.0).abs() < 1e-12);
    }

    #[test]
    fn near_corners_win_over_far_ones_and_outside_there_is_nothing() {
        let points = [[0, 0], [2, 0], [1, 2], [20, 0], [1, 40]];
        let found = around(&points, [1, 1]).unwrap();
        assert!(found.iter().all(|(_, at)| *at < 3), "{found:?}");
        assert!(around(&points, [30, 30]).is_none());
    }
}
