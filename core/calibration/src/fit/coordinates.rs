//! Positive constants as coordinates of a search: their logarithms, some of them free.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The free constants among those of one kind.
#[derive(Clone, Debug)]
pub struct Coordinates {
    all: Map<String, Value>,
    free: &'static [&'static str],
}

impl Coordinates {
    /// The constants that `free` names, of `constants`; names that it does not have are left out by [`Self::apply`].
    pub fn of<C: Serialize>(constants: &C, free: &'static [&'static str]) -> Self {
        let all = match serde_json::to_value(constants) {
            Ok(Value::Object(all)) => all,
            _ => Map::new(),
        };
        Self { all, free }
    }

    /// Where the free constants stand.
    pub fn position(&self) -> Vec<f64> {
        let value = |name: &&str| self.all.get(*name).and_then(Value::as_f64).unwrap_or(1.0);
        self.free.iter().map(|name| value(name).ln()).collect()
    }

    /// The constants with the free ones at `position`; `None` when one is no finite number.
    pub fn apply<C: DeserializeOwned>(&self, position: &[f64]) -> Option<C> {
        let mut all = self.all.clone();
        for (name, coordinate) in self.free.iter().zip(position) {
            if let Some(value) = all.get_mut(*name) {
                *value = Value::from(coordinate.exp());
            }
        }
        serde_json::from_value(Value::Object(all)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_sizing::calibration::TimeConstants;

    #[test]
    fn free_constants_move_and_the_others_stay() {
        let start = TimeConstants::STARTING;
        let coordinates = Coordinates::of(&start, &["overlap", "link_share"]);
        let mut position = coordinates.position();
        assert!((position[0] - start.overlap.ln()).abs() < 1e-12);
        position[1] = 0.5_f64.ln();
        let moved: TimeConstants = coordinates.apply(&position).expect("constants");
        assert!((moved.link_share - 0.5).abs() < 1e-12);
        assert_eq!(TimeConstants { link_share: start.link_share, overlap: start.overlap, ..moved }, start);
    }

    #[test]
    fn a_constant_without_bounds_is_no_constant() {
        let coordinates = Coordinates::of(&TimeConstants::STARTING, &["overlap"]);
        assert_eq!(coordinates.apply::<TimeConstants>(&[f64::INFINITY]), None);
    }
}
