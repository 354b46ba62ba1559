//! Small linear programmes.

/// What rounding may leave of a zero.
const TINY: f64 = 1e-9;

/// Maximises `gain · x` subject to `rows · x ≤ limits` and `x ≥ 0`, with limits that are not negative: the simplex method on a full
/// tableau from the origin (Dantzig 1963, Linear Programming and Extensions, chapter 5). The steepest column enters, of equals the
/// first; after many steps the first column that gains does, which cannot cycle (Bland 1977). `None` when gains have no bound.
pub(crate) fn maximise(gain: &[f64], rows: &[Vec<f64>], limits: &[f64]) -> Option<Vec<f64>> {
    let (variables, count) = (gain.len(), rows.len());
    let width = variables + count + 1;
    let mut tableau: Vec<Vec<f64>> = rows
        .iter()
        .zip(limits)
        .enumerate()
        .map(|(at, (row, limit))| {
            let mut line = vec![0.0; width];
            line[..variables].copy_from_slice(row);
            line[variables + at] = 1.0;
            line[width - 1] = *limit;
            line
        })
        .collect();
    let mut objective = vec![0.0; width];
    objective[..variables].copy_from_slice(gain);
    let scale = gain.iter().copied().fold(0.0, f64::max).max(1e-300);
    let mut basis: Vec<usize> = (variables..variables + count).collect();
    for step in 0..100 * (width + count) {
        let mut gains = (0..width - 1).filter(|column| objective[*column] > TINY * scale);
        let entering =
            if step < 10 * width { gains.min_by(|a, b| objective[*b].total_cmp(&objective[*a])) } else { gains.next() };
        let Some(entering) = entering else { break };
        let bounded = (0..count).filter(|row| tableau[*row][entering] > TINY);
        let ratio = |row: usize| tableau[row][width - 1] / tableau[row][entering];
        let leaving = bounded.min_by(|a, b| ratio(*a).total_cmp(&ratio(*b)).then(basis[*a].cmp(&basis[*b])))?;
        let pivot = tableau[leaving][entering];
        tableau[leaving].iter_mut().for_each(|value| *value /= pivot);
        let line = tableau[leaving].clone();
        for (_, other) in tableau.iter_mut().enumerate().filter(|(row, _)| *row != leaving) {
            let factor = other[entering];
            if factor != 0.0 {
                other.iter_mut().zip(&line).for_each(|(value, pivot)| *value -= factor * pivot);
                other[entering] = 0.0;
            }
        }
        let factor = objective[entering];
        objective.iter_mut().zip(&line).for_each(|(value, pivot)| *value -= factor * pivot);
        objective[entering] = 0.0;
        basis[leaving] = entering;
    }
    let mut found = vec![0.0; variables];
    for (row, variable) in basis.iter().enumerate() {
        if *variable < variables {
            found[*variable] = tableau[row][width - 1].max(0.0);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_programme_of_a_textbook_comes_out() {
        // Maximise 3x + 5y with x ≤ 4, 2y ≤ 12, 3x + 2y ≤ 18.
        let rows = [vec![1.0, 0.0], vec![0.0, 2.0], vec![3.0, 2.0]];
        assert_eq!(maximise(&[3.0, 5.0], &rows, &[4.0, 12.0, 18.0]), Some(vec![2.0, 6.0]));
    }

    #[test]
    fn gains_without_a_bound_are_told() {
        assert_eq!(maximise(&[1.0], &[vec![-1.0]], &[1.0]), None);
    }

    proptest! {
        #[test]
        fn no_lawful_point_gains_more(
            gain in proptest::collection::vec(0.0..9.0_f64, 3),
            rows in proptest::collection::vec(proptest::collection::vec(0.1..5.0_f64, 3), 1..5),
            point in proptest::collection::vec(0.0..1.0_f64, 3),
        ) {
            let limits = vec![1.0; rows.len()];
            let found = maximise(&gain, &rows, &limits).unwrap();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            prop_assert!(rows.iter().all(|row| dot(row, &found) <= 1.0 + 1e-7));
            // Any direction, as far as it goes.
            let reach = rows.iter().map(|row| dot(row, &point)).fold(0.0, f64::max);
            let other: Vec<f64> = point.iter().map(|x| if reach > 0.0 { x / reach } else { 0.0 }).collect();
            prop_assert!(dot(&gain, &other) <= dot(&gain, &found) + 1e-7);
        }
    }
}
