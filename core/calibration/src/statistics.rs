//! Order statistics.

/// The value that a share of the ascending `values` does not exceed (nearest rank); `None` when there are none.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_and_of_an_even_one_the_lower() {
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 9.0, 10.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 9.0, 10.0], 0.9), Some(10.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
