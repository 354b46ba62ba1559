//! Errors that are drawn once: the same seed, job and quantity give the same error on every machine.

/// A draw from a lognormal with median 1 and `sigma`, cut off at three sigma.
pub(super) fn lognormal(seed: u64, job: &str, quantity: &str, sigma: f64) -> f64 {
    let state = hash(seed, &[job, quantity]);
    let (first, second) = (split_mix(state), split_mix(split_mix(state)));
    // Box and Muller: two uniform draws give a normal one.
    let normal = (-2.0 * unit(first).ln()).sqrt() * (std::f64::consts::TAU * unit(second)).cos();
    (sigma * normal.clamp(-3.0, 3.0)).exp()
}

/// A number that only the seed and the words decide.
pub(crate) fn hash(seed: u64, words: &[&str]) -> u64 {
    let mut state = split_mix(seed);
    for word in words {
        // The end of a word counts, so that "ab", "c" and "a", "bc" differ.
        for byte in word.bytes().map(u64::from).chain([0x100]) {
            state = split_mix(state ^ byte);
        }
    }
    state
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A uniform draw above 0 and up to 1, from the upper 53 bits.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_and_the_spread_is_sigma() {
        let mut logs: Vec<_> = (0..10_000).map(|seed| lognormal(seed, "job", "memory", 0.25).ln()).collect();
        logs.sort_by(f64::total_cmp);
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        let sigma = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt();
        assert!(logs[5000].abs() < 0.01 && (sigma - 0.25).abs() < 0.01, "median {} sigma {sigma}", logs[5000]);
    }

    #[test]
    fn words_and_seeds_tell_apart() {
        let all = [hash(0, &["ab", "c"]), hash(0, &["a", "bc"]), hash(0, &["abc"]), hash(1, &["abc"])];
        assert!(all.iter().enumerate().all(|(i, a)| all[..i].iter().all(|b| a != b)), "{all:?}");
    }

    #[test]
    fn no_spread_is_no_error() {
        assert_eq!(lognormal(3, "job", "sync", 0.0), 1.0);
    }
}
