//! A set of nodes, by index.

/// A set of small numbers below a bound that was given when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// None of `bound` numbers.
    pub(super) fn none(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)])
    }

    pub(super) fn set(&mut self, number: usize, is_in: bool) {
        let (word, bit) = (&mut self.0[number / 64], 1 << (number % 64));
        if is_in {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Those that are in the other too.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
        self
    }

    /// In rising order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let rest = |word: &u64| Some(word & (word - 1)).filter(|rest| *rest != 0);
            let words = std::iter::successors(Some(word).filter(|word| *word != 0), rest);
            words.map(move |word| 64 * at + word.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    proptest::proptest! {
        #[test]
        fn bits_are_the_set_of_what_was_put_in_and_not_taken_out(
            changes in proptest::collection::vec((0_usize..200, proptest::bool::ANY), 0..200),
        ) {
            let (mut bits, mut set) = (Bits::none(200), BTreeSet::new());
            for (number, is_in) in changes {
                bits.set(number, is_in);
                if is_in { set.insert(number) } else { set.remove(&number) };
            }
            proptest::prop_assert_eq!(bits.len(), set.len());
            proptest::prop_assert!(bits.iter().eq(set));
        }
    }
}
