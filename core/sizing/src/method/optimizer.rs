//! Optimizers and the states they keep.

use serde::{Deserialize, Serialize};

use crate::Precision;
use crate::profile::{Kernel, KernelKind, Matrix, Place, Profile, Role, SparseRows, Unit};

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
    /// One moment; one number for each row of a table of sparse rows, as recommenders have it (arXiv 2104.05158).
    Adagrad,
}

/// Widest Kronecker factor: larger sides are cut into blocks of this many rows (arXiv 2309.06497, section 4.1).
const SHAMPOO_BLOCK: f64 = 8192.0;

/// Some matrices, with how often each stands.
pub(crate) type Matrices = Vec<(Matrix, f64)>;

impl Optimizer {
    /// Bytes of optimizer moments per parameter, without master weights.
    ///
    /// Moments stand in the format of the weights that the optimizer steps: 4 bytes each, 2 in pure bf16; 8-bit Adam
    /// 1 byte each. Adafactor keeps one row and one column sum per matrix, below 0.01 byte per parameter from a width of
    /// 1024 on. Muon and Shampoo depend on the matrices: this is what they take where all parameters stand in square
    /// ones (Shampoo: factors and inverse roots of both sides), and so for a model known by its totals;
    /// [`Optimizer::state_bytes`] knows better.
    pub fn moment_bytes(self, precision: Precision) -> f64 {
        let element = moment(precision);
        match self {
            Self::AdamW => 2.0 * element,
            Self::AdamW8bit => 2.0,
            Self::Adafactor => 0.01,
            Self::Sgd => 0.0,
            Self::SgdMomentum | Self::Lion | Self::Muon | Self::Adagrad => element,
            Self::Shampoo => 5.0 * element,
        }
    }

    /// Bytes of optimizer states of a whole model of which every parameter is trained, without master weights.
    pub fn state_bytes(self, profile: &Profile, precision: Precision) -> f64 {
        let of = |unit: &Unit| {
            let [shared, experts] = self.unit_bytes(unit, precision);
            f64::from(unit.repeats) * (shared + experts)
        };
        profile.units.iter().map(of).sum()
    }

    /// The same of one repetition of a unit: what belongs to routed experts apart, last.
    pub(crate) fn unit_bytes(self, unit: &Unit, precision: Precision) -> [f64; 2] {
        let (parameters, experts) = (unit.parameters as f64, unit.expert_parameters as f64);
        if let Some(rows) = &unit.sparse {
            return [self.table_bytes(rows, parameters, precision), 0.0];
        }
        if unit.role != Role::Body {
            return [self.side_bytes(parameters, precision), 0.0];
        }
        let unknown = unit.kernels.iter().any(|kernel| kernel.weights > 0 && kernel.matrix.is_none());
        if unknown || !self.sees_matrices() {
            let each = self.moment_bytes(precision);
            return [each * (parameters - experts), each * experts];
        }
        let [shared, expert] = matrices(unit);
        [self.matrix_bytes(&shared, parameters - experts, precision), self.matrix_bytes(&expert, experts, precision)]
    }

    /// Whether its states or its step depend on matrices, not on the number of parameters alone.
    fn sees_matrices(self) -> bool {
        matches!(self, Self::Adafactor | Self::Muon | Self::Shampoo)
    }

    /// FLOPs of one step on the matrices of one repetition of a unit: what belongs to routed experts apart, last.
    pub(crate) fn unit_flops(self, unit: &Unit) -> [f64; 2] {
        if unit.role == Role::Body && self.sees_matrices() {
            matrices(unit).map(|matrices| self.matrix_flops(&matrices))
        } else {
            [0.0; 2]
        }
    }

    /// Bytes of the states of so many parameters of the body, most of which stand in these matrices.
    pub(crate) fn matrix_bytes(self, matrices: &Matrices, parameters: f64, precision: Precision) -> f64 {
        let each =
            |count: fn(&Matrix) -> f64| matrices.iter().map(|(matrix, times)| times * count(matrix)).sum::<f64>();
        let element = moment(precision);
        match self {
            // A row and a column of sums per matrix, a whole second moment for the vectors.
            Self::Adafactor => {
                let sums = each(|m| m.count as f64 * (m.rows as f64 + m.columns as f64));
                4.0 * (sums + (parameters - each(elements)).max(0.0))
            }
            Self::Muon => {
                let inside = each(elements).min(parameters);
                element * (inside + 2.0 * (parameters - inside))
            }
            Self::Shampoo => 4.0 * 2.0 * each(factors) + element * parameters,
            _ => self.moment_bytes(precision) * parameters,
        }
    }

    /// Bytes of the states of an input or output side. Adafactor's sums of a vocabulary's matrices, a part in their width,
    /// are left out; neither Muon nor Shampoo take these matrices.
    fn side_bytes(self, parameters: f64, precision: Precision) -> f64 {
        match self {
            Self::Adafactor => 0.0,
            Self::Muon => 2.0 * moment(precision) * parameters,
            Self::Shampoo => moment(precision) * parameters,
            _ => self.moment_bytes(precision) * parameters,
        }
    }

    /// Bytes of the states of tables of sparse rows: dense moments (as PyTorch's SparseAdam keeps), or one number for each
    /// row.
    fn table_bytes(self, rows: &SparseRows, parameters: f64, precision: Precision) -> f64 {
        match self {
            Self::Adafactor | Self::Adagrad => 4.0 * rows.rows,
            _ => self.side_bytes(parameters, precision),
        }
    }

    /// FLOPs of one step beyond a pass over the states.
    ///
    /// Muon orthogonalises the moment of each matrix in five Newton-Schulz iterations of `4·m²·n + 2·m³` FLOPs, `m ≤ n`
    /// (Jordan 2024, arXiv 2502.16982). Shampoo's products with its inverse roots take `2·m·n·(m + n)`; computing the
    /// roots is rare and left out.
    pub fn step_flops(self, profile: &Profile) -> f64 {
        let of = |unit: &Unit| f64::from(unit.repeats) * self.unit_flops(unit).iter().sum::<f64>();
        profile.units.iter().map(of).sum()
    }

    /// The same of some matrices.
    pub(crate) fn matrix_flops(self, matrices: &Matrices) -> f64 {
        let of = |count: fn(f64, f64) -> f64| -> f64 {
            let each = matrices.iter().map(|(matrix, times)| {
                let (rows, columns) = (matrix.rows as f64, matrix.columns as f64);
                count(rows.min(columns), rows.max(columns)) * matrix.count as f64 * times
            });
            each.sum()
        };
        match self {
            Self::Muon => of(|m, n| 5.0 * (4.0 * m * m * n + 2.0 * m * m * m)),
            Self::Shampoo => of(|m, n| 2.0 * m * n * (m.min(SHAMPOO_BLOCK) + n.min(SHAMPOO_BLOCK))),
            _ => 0.0,
        }
    }
}

/// Bytes of one moment.
fn moment(precision: Precision) -> f64 {
    if precision == Precision::Bf16 { 2.0 } else { 4.0 }
}

/// The matrices of one repetition of a unit, those of routed experts apart, last.
pub(crate) fn matrices(unit: &Unit) -> [Matrices; 2] {
    let all = unit.kernels.iter().filter_map(stored).map(|matrix| (matrix, 1.0));
    let (experts, shared) = all.partition(|(matrix, _)| matrix.place == Place::Expert);
    [shared, experts]
}

/// A kernel's matrix as an optimizer finds it: the groups of a convolution are one tensor, `outputs × rows`.
fn stored(kernel: &Kernel) -> Option<Matrix> {
    let matrix = kernel.matrix?;
    match kernel.kind {
        KernelKind::Convolution | KernelKind::DepthwiseConvolution => {
            Some(Matrix { columns: matrix.columns.saturating_mul(matrix.count), count: 1, ..matrix })
        }
        _ => Some(matrix),
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
