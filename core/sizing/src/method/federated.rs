//! Federated rounds: bytes on the wire, and who is waited for.

/// A federated run: in each round some clients train a copy of the model and send it back (arXiv 1602.05629).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Federated {
    /// Clients of a round.
    pub clients: u32,
    /// Parameters that travel: all, or those of adapters.
    pub parameters: u64,
    /// Bytes of a parameter on its way to a client.
    pub download_bytes_each: f64,
    /// Bytes of a parameter on its way back; less where updates are compressed.
    pub upload_bytes_each: f64,
    /// Share of clients that the round waits for, 0 to 1: the slower rest is left out.
    pub deadline_quantile: f64,
}

impl Federated {
    /// Bytes from and to the server in one round: `(down + up)·N` per client.
    pub fn round_bytes(&self) -> f64 {
        f64::from(self.clients) * self.parameters as f64 * (self.download_bytes_each + self.upload_bytes_each)
    }

    /// Seconds of a round, by what clients took in earlier ones: their quantile (nearest rank). `None` without any.
    pub fn round_seconds(&self, client_seconds: &[f64]) -> Option<f64> {
        let mut sorted: Vec<f64> = client_seconds.iter().copied().filter(|seconds| seconds.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = (self.deadline_quantile.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }

    /// Seconds that one client takes: compute and both ways over its own link.
    pub fn client_seconds(&self, compute_seconds: f64, down_bytes_per_second: f64, up_bytes_per_second: f64) -> f64 {
        let parameters = self.parameters as f64;
        compute_seconds
            + parameters * self.download_bytes_each / down_bytes_per_second
            + parameters * self.upload_bytes_each / up_bytes_per_second
    }
}
