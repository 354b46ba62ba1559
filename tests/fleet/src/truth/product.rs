//! Memory of the cards that the fleet has, by product label.

const GIB: f64 = (1u64 << 30) as f64;

/// Bytes that a program can use: the card's memory less what the driver keeps for itself.
pub fn usable_bytes(product: &str) -> u64 {
    let gib = match product {
        "NVIDIA-H100-80GB-HBM3" => 79.1,
        "NVIDIA-A100-SXM4-40GB" => 39.4,
        "NVIDIA-A100-SXM4-80GB" => 79.1,
        "NVIDIA-L4" => 22.0,
        "Tesla-T4" => 14.6,
        _ => 15.8,
    };
    (gib * GIB) as u64
}

/// Bytes that the driver says a card has.
pub fn total_bytes(product: &str) -> u64 {
    let mib: u64 = match product {
        "NVIDIA-H100-80GB-HBM3" | "NVIDIA-A100-SXM4-80GB" => 81_559,
        "NVIDIA-A100-SXM4-40GB" => 40_960,
        "NVIDIA-L4" => 23_034,
        "Tesla-T4" => 15_360,
        _ => 16_384,
    };
    mib << 20
}
