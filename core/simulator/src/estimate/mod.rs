//! What a job believes of its own step time, from what it has measured (rule 7).

mod fit;

pub use fit::fit;

/// One configuration that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Nodes.
    pub nodes: u32,
    /// GPUs.
    pub gpus: u32,
    /// Samples of each GPU at once.
    pub local: u32,
    /// Seconds of a pass without exchange.
    pub compute_seconds: f64,
    /// Seconds of a pass with it.
    pub step_seconds: f64,
}

/// Step time as a function of placement and batch: the model of Pollux (Qiao et al., OSDI 2021, section 3.2), in its seven
/// parameters. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// `α_c`, `β_c`: compute of a pass, and of each sample of it.
    pub compute: [f64; 2],
    /// `α_n`, `β_n`: an exchange over nodes, and each GPU beyond two of it.
    pub network: [f64; 2],
    /// `α_r`, `β_r`: the same in one node.
    pub node: [f64; 2],
    /// `γ`: how well compute and exchange overlap, 1 to 10.
    pub overlap: f64,
}

impl Estimate {
    /// Seconds of a pass without exchange: `α_c + β_c·m`.
    pub fn compute_seconds(&self, local: f64) -> f64 {
        self.compute[0] + self.compute[1] * local
    }

    /// Seconds of an exchange; 0 on one GPU.
    pub fn exchange_seconds(&self, nodes: u32, gpus: u32) -> f64 {
        let beyond = f64::from(gpus.saturating_sub(2));
        match (nodes, gpus) {
            (_, 1) => 0.0,
            (1, _) => self.node[0] + self.node[1] * beyond,
            _ => self.network[0] + self.network[1] * beyond,
        }
    }

    /// Seconds of a pass with exchange: `(T_acc^γ + T_net^γ)^(1/γ)`.
    pub fn step_seconds(&self, nodes: u32, gpus: u32, local: f64) -> f64 {
        let (compute, exchange) = (self.compute_seconds(local), self.exchange_seconds(nodes, gpus));
        let (large, small) = if compute > exchange { (compute, exchange) } else { (exchange, compute) };
        // Below this share the sum is the larger part to the last digit.
        if small < large * 1e-7 {
            return large;
        }
        large * (1.0 + (small / large).powf(self.overlap)).powf(self.overlap.recip())
    }

    /// Seconds of a whole step of `accumulation` passes before the one with exchange.
    pub fn seconds(&self, nodes: u32, gpus: u32, local: f64, accumulation: u32) -> f64 {
        f64::from(accumulation) * self.compute_seconds(local) + self.step_seconds(nodes, gpus, local)
    }
}
