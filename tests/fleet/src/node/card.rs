//! What the driver says of a product besides its load.

/// A product as its driver shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Card {
    /// Product as the driver writes it; the node's label has dashes for spaces.
    pub name: &'static str,
    /// Draw of an idle device, in watts.
    pub idle_watts: f64,
    /// Draw of a device under full load, in watts.
    pub full_watts: f64,
    /// Whether it has GPU performance monitoring.
    pub gpm: bool,
    /// CUDA compute capability.
    pub compute_capability: (i32, i32),
}

/// Products by what their label begins with; figures are of the data sheets.
const CARDS: [(&str, Card); 5] = [
    ("NVIDIA-H100", card("NVIDIA H100 80GB HBM3", 70.0, 700.0, true, (9, 0))),
    ("NVIDIA-A100-SXM4-80GB", card("NVIDIA A100-SXM4-80GB", 55.0, 400.0, false, (8, 0))),
    ("NVIDIA-A100", card("NVIDIA A100-SXM4-40GB", 50.0, 400.0, false, (8, 0))),
    ("NVIDIA-L4", card("NVIDIA L4", 13.0, 72.0, false, (8, 9))),
    ("Tesla-T4", card("Tesla T4", 10.0, 70.0, false, (7, 5))),
];

const UNKNOWN: Card = card("NVIDIA Graphics Device", 30.0, 300.0, false, (8, 0));

const fn card(name: &'static str, idle_watts: f64, full_watts: f64, gpm: bool, compute_capability: (i32, i32)) -> Card {
    Card { name, idle_watts, full_watts, gpm, compute_capability }
}

impl Card {
    /// The card of a product label.
    pub fn of(product: &str) -> Self {
        let known = CARDS.iter().find(|(begin, _)| product.starts_with(begin));
        known.map_or(UNKNOWN, |(_, card)| *card)
    }

    /// Draw at a load, in watts: a resident kernel costs something, active SMs cost most.
    pub fn watts(&self, busy: f64, sm: f64) -> f64 {
        let load = (0.25 * busy + 0.75 * sm.min(1.0)).clamp(0.0, 1.0);
        self.idle_watts + (self.full_watts - self.idle_watts) * load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hopper_has_performance_monitoring() {
        assert!(Card::of("NVIDIA-H100-80GB-HBM3").gpm);
        assert!(!Card::of("NVIDIA-A100-SXM4-40GB").gpm);
        assert!(!Card::of("NVIDIA-L4").gpm);
        assert_eq!(Card::of("Tesla-T4").name, "Tesla T4");
        assert_eq!(Card::of("NVIDIA-A100-SXM4-80GB").name, "NVIDIA A100-SXM4-80GB");
    }

    #[test]
    fn power_stands_between_idle_and_full() {
        let card = Card::of("Tesla-T4");
        assert_eq!(card.watts(0.0, 0.0), 10.0);
        assert_eq!(card.watts(1.0, 1.0), 70.0);
        assert!(card.watts(1.0, 0.1) < card.watts(1.0, 0.9));
    }
}
