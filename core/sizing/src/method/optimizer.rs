//! Optimizers and the states they keep.

use serde::{Deserialize, Serialize};

use crate::Precision;
use crate::profile::{Matrix, Profile, Role};

/// The rule that turns gradients into new weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Optimizer {
    /// Two moments.
    AdamW,
    /// Two moments of 8 bits.
    AdamW8bit,
    /// Row and column sums instead of a second moment (arXiv 1804.04235).
    Adafactor,
    /// No state.
    Sgd,
    /// One moment.
    SgdMomentum,
    /// One moment (arXiv 2302.06675).
    Lion,
    /// One moment for the matrices of the body, AdamW for all else (arXiv 2502.16982).
    Muon,
    /// A moment, and for every matrix two Kronecker factors and their inverse roots (arXiv 1802.09568, 2309.06497).
    Shampoo,
}

/// Widest Kronecker factor: larger sides are cut into blocks of this many rows (arXiv 2309.06497, section 4.1).
const SHAMPOO_BLOCK: f64 = 8192.0;

impl Optimizer {
    /// Bytes of optimizer moments per parameter, without master weights.
    ///
    /// Moments stand in the format of the weights that the optimizer steps: 4 bytes each, 2 in pure bf16; 8-bit Adam
    /// 1 byte each. Adafactor keeps one row and one column sum per matrix, below 0.01 byte per parameter from a width of
    /// 1024 on. Muon and Shampoo depend on the matrices: this is what they take where all parameters stand in square
    /// ones (Shampoo: factors and inverse roots of both sides); [`Optimizer::state_bytes`] knows better.
    pub fn moment_bytes(self, precision: Precision) -> f64 {
        let element = if precision == Precision::Bf16 { 2.0 } else { 4.0 };
        match self {
            Self::AdamW => 2.0 * element,
            Self::AdamW8bit => 2.0,
            Self::Adafactor => 0.01,
            Self::Sgd => 0.0,
            Self::SgdMomentum | Self::Lion | Self::Muon => element,
            Self::Shampoo => 5.0 * element,
        }
    }

    /// Bytes of optimizer states of a whole model of which every parameter is trained, without master weights.
    pub fn state_bytes(self, profile: &Profile, precision: Precision) -> f64 {
        let parameters = profile.parameters() as f64;
        let element = if precision == Precision::Bf16 { 2.0 } else { 4.0 };
        let body = || {
            profile.role(Role::Body).flat_map(|unit| {
                unit.kernels.iter().filter_map(|kernel| Some((kernel.matrix?, f64::from(unit.repeats))))
            })
        };
        let each = |count: fn(&Matrix) -> f64| body().map(|(matrix, times)| times * count(&matrix)).sum::<f64>();
        match self {
            // A row and a column of sums per matrix, a whole second moment for the vectors of the body. Embedding and
            // output projection are matrices too: their sums, a part in their width, are left out.
            Self::Adafactor => {
                let sums = each(|m| m.count as f64 * (m.rows as f64 + m.columns as f64));
                let in_body: f64 = profile.role(Role::Body).map(|unit| unit.all_parameters() as f64).sum();
                4.0 * (sums + (in_body - each(elements)).max(0.0))
            }
            Self::Muon => {
                let inside = each(elements).min(parameters);
                element * (inside + 2.0 * (parameters - inside))
            }
            Self::Shampoo => 4.0 * 2.0 * each(factors) + element * parameters,
            _ => self.moment_bytes(precision) * parameters,
        }
    }

    /// FLOPs of one step beyond a pass over the states.
    ///
    /// Muon orthogonalises the moment of each matrix in five Newton-Schulz iterations of `4·m²·n + 2·m³` FLOPs, `m ≤ n`
    /// (Jordan 2024, arXiv 2502.16982). Shampoo's products with its inverse roots take `2·m·n·(m + n)`; computing the
    /// roots is rare and left out.
    pub fn step_flops(self, profile: &Profile) -> f64 {
        let of = |count: fn(f64, f64) -> f64| -> f64 {
            profile
                .role(Role::Body)
                .flat_map(|unit| unit.kernels.iter().map(move |kernel| (kernel, unit.repeats)))
                .filter_map(|(kernel, times)| Some((kernel.matrix?, times)))
                .map(|(matrix, times)| {
                    let (small, large) =
                        (matrix.rows.min(matrix.columns) as f64, matrix.rows.max(matrix.columns) as f64);
                    count(small, large) * matrix.count as f64 * f64::from(times)
                })
                .sum()
        };
        match self {
            Self::Muon => of(|m, n| 5.0 * (4.0 * m * m * n + 2.0 * m * m * m)),
            Self::Shampoo => of(|m, n| 2.0 * m * n * (m.min(SHAMPOO_BLOCK) + n.min(SHAMPOO_BLOCK))),
            _ => 0.0,
        }
    }
}

fn elements(matrix: &Matrix) -> f64 {
    matrix.count as f64 * matrix.rows as f64 * matrix.columns as f64
}

/// Elements of the Kronecker factors of a matrix: a square block for every part of each side, for every block of the
/// other side.
fn factors(matrix: &Matrix) -> f64 {
    let (rows, columns) = (matrix.rows as f64, matrix.columns as f64);
    let side = |own: f64, other: f64| {
        let blocks = (other / SHAMPOO_BLOCK).ceil();
        own * own.min(SHAMPOO_BLOCK) * blocks
    };
    matrix.count as f64 * (side(rows, columns) + side(columns, rows))
}
