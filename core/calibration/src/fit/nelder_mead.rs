//! The simplex method of Nelder and Mead (1965, Computer Journal 7, 308), restarted from where it ends.
//!
//! Losses here are sums of absolute logarithms, which have no second derivatives where they matter.

/// How long to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Edge of the first simplex, in units of the coordinates.
    pub edge: f64,
    /// Restarts; each begins a new simplex around the best point.
    pub rounds: usize,
    /// Most steps of one round.
    pub steps: usize,
}

/// The lowest point found from `start`, and the loss there; never above the loss at the start. The same arguments give the
/// same result.
pub fn minimise(loss: impl Fn(&[f64]) -> f64, start: &[f64], search: Search) -> (Vec<f64>, f64) {
    let mut best = (start.to_vec(), finite(loss(start)));
    for round in 0..search.rounds {
        // The sign alternates, so that a restart looks to the other side.
        let edge = if round % 2 == 0 { search.edge } else { -0.7 * search.edge };
        let found = simplex(&loss, &best, edge, search.steps);
        let gain = best.1 - found.1;
        if gain >= 0.0 {
            best = found;
        }
        if gain < 1e-6 && round > 0 {
            break;
        }
    }
    best
}

type Point = (Vec<f64>, f64);

fn finite(value: f64) -> f64 {
    if value.is_nan() { f64::INFINITY } else { value }
}

fn simplex(loss: &impl Fn(&[f64]) -> f64, start: &Point, edge: f64, steps: usize) -> Point {
    let size = start.0.len();
    let at = |point: Vec<f64>| {
        let value = finite(loss(&point));
        (point, value)
    };
    let mut corners = vec![start.clone()];
    for axis in 0..size {
        let mut corner = start.0.clone();
        corner[axis] += edge;
        corners.push(at(corner));
    }
    for _ in 0..steps {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (lowest, worst) = (corners[0].1, corners[size].clone());
        if (worst.1 - lowest).abs() < 1e-9 {
            break;
        }
        let centre: Vec<f64> = (0..size)
            .map(|axis| corners[..size].iter().map(|(point, _)| point[axis]).sum::<f64>() / size as f64)
            .collect();
        let towards = |factor: f64| {
            at(centre.iter().zip(&worst.0).map(|(centre, worst)| centre + factor * (worst - centre)).collect())
        };
        let reflected = towards(-1.0);
        corners[size] = if reflected.1 < lowest {
            let expanded = towards(-2.0);
            if expanded.1 < reflected.1 { expanded } else { reflected }
        } else if reflected.1 < corners[size - 1].1 {
            reflected
        } else {
            let contracted = towards(if reflected.1 < worst.1 { -0.5 } else { 0.5 });
            if contracted.1 < reflected.1.min(worst.1) {
                contracted
            } else {
                let best = corners[0].0.clone();
                for corner in &mut corners[1..] {
                    *corner = at(best.iter().zip(&corner.0).map(|(best, own)| 0.5 * (best + own)).collect());
                }
                continue;
            }
        };
    }
    corners.sort_by(|a, b| a.1.total_cmp(&b.1));
    corners.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCH: Search = Search { edge: 0.3, rounds: 8, steps: 400 };

    #[test]
    fn rosenbrocks_valley_is_followed_to_its_end() {
        let valley = |x: &[f64]| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2);
        let (found, loss) = minimise(valley, &[-1.2, 1.0], SEARCH);
        assert!(loss < 1e-6 && (found[0] - 1.0).abs() < 1e-2, "{found:?} {loss}");
    }

    #[test]
    fn kinks_do_not_stop_it() {
        let (found, _) = minimise(|x| (x[0] - 3.0).abs() + 2.0 * (x[1] + 1.0).abs(), &[0.0, 0.0], SEARCH);
        assert!((found[0] - 3.0).abs() < 1e-3 && (found[1] + 1.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn what_is_not_a_number_is_never_chosen() {
        let (found, loss) = minimise(|x| if x[0] > 0.5 { f64::NAN } else { -x[0] }, &[0.0], SEARCH);
        assert!(found[0] <= 0.5 && loss.is_finite(), "{found:?}");
    }
}
