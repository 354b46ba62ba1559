//! What one sample does to a device, whatever the family of the model.
//!
//! Memory and time read a [`Profile`] and nothing else of the model, so that a new family needs no change there. All
//! figures are of one sample and one forward pass, before anything is divided over devices; an element is one number in
//! the working precision.

use std::borrow::Cow;

/// A model's units in the order of its forward pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Embedding, body and head, in order.
    pub units: Vec<Unit>,
}

/// Where a unit stands in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The input side: token lookups, patch convolutions, embedding tables.
    Embedding,
    /// Repeated or stacked blocks: what pipelines cut and recomputation covers.
    Body,
    /// The output side: final normalisation, output projection and loss.
    Head,
}

/// One piece that is gathered, recomputed or placed on a pipeline stage as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// What it is called in the model.
    pub name: Cow<'static, str>,
    /// Where it stands.
    pub role: Role,
    /// How often it stands in the model, one after the other; at least 1.
    pub repeats: u32,
    /// Parameters of one repetition, experts included.
    pub parameters: u64,
    /// Those of them that belong to routed experts, which expert parallelism divides.
    pub expert_parameters: u64,
    /// Weights of another unit that this one multiplies with (a tied output projection); not among `parameters`, but a
    /// pipeline stage of its own holds a copy.
    pub tied_parameters: u64,
    /// Elements of its input: what full recomputation keeps, and what crosses a pipeline boundary before it.
    pub input_elements: f64,
    /// Elements summed over the tensor-parallel ranks in its forward pass: `2·s·h` for a transformer block.
    pub reduced_elements: f64,
    /// Key and value elements that context-parallel ranks exchange in its forward pass: `2·s·k·d_h`.
    pub exchanged_elements: f64,
    /// Set where its parameters are rows of tables whose gradients are sparse.
    pub sparse: Option<SparseRows>,
    /// Its kernels in order.
    pub kernels: Vec<Kernel>,
}

/// Rows of lookup tables of which a batch touches a few, so that gradients and updates are of those rows alone (arXiv
/// 1906.00091, section 4; 2104.05158, section 4). Such tables are never gathered whole: ranks that share states own whole
/// rows and send each other what was looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SparseRows {
    /// Rows in all.
    pub rows: f64,
    /// Rows that one sample reads.
    pub read: f64,
    /// Elements of those.
    pub elements: f64,
    /// Elements of the vectors that they are summed into.
    pub pooled: f64,
}

/// What bounds a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelKind {
    /// A dense matrix product.
    MatrixProduct,
    /// Scores, softmax and weighted sum, without the projections around it.
    Attention,
    /// A convolution, grouped or not.
    Convolution,
    /// A convolution with one input channel per group, which no matrix unit runs well.
    DepthwiseConvolution,
    /// Normalisation, activation, dropout, residual, pooling: bound by memory traffic.
    Pointwise,
    /// Permuting tokens to experts and back; an all-to-all with expert parallelism.
    Dispatch,
    /// Reading rows of a table.
    Lookup,
    /// A recurrent layer: a product per time step, one after the other.
    Recurrent,
    /// Softmax and cross entropy over the outputs; its inputs are the logits.
    Loss,
}

/// Whether tensor parallelism divides something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Divides {
    /// Over the tensor-parallel ranks.
    Tensor,
    /// Over the tensor-parallel ranks only when they share out the sequence too (arXiv 2205.05198).
    Sequence,
    /// Never.
    No,
}

/// Which matrix of a model a kernel multiplies with; low-rank adapters choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Attention output projection.
    Output,
    /// Gate of a gated feed-forward layer.
    Gate,
    /// First feed-forward matrix.
    Up,
    /// Last feed-forward matrix.
    Down,
    /// The same of a routed expert.
    Expert,
    /// Anything else: router, output projection, convolution, recurrent weights.
    Other,
}

/// The weights of a kernel as matrices: `count` of `rows × columns` each (a convolution's rows are its inputs times its
/// window, its columns the outputs of one group).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Input width.
    pub rows: u64,
    /// Output width.
    pub columns: u64,
    /// How many: groups, experts, gates.
    pub count: u64,
    /// Which it is.
    pub place: Place,
}

/// A kernel, or several that run as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// What bounds it.
    pub kind: KernelKind,
    /// FLOPs of the forward pass; one multiply-add counts 2.
    pub flops: f64,
    /// Elements that multiply; 0 for pointwise kernels.
    pub weights: u64,
    /// Those elements as matrices.
    pub matrix: Option<Matrix>,
    /// Elements read, weights left out.
    pub inputs: f64,
    /// Elements written.
    pub outputs: f64,
    /// Elements kept for the backward pass in the working precision. An element that several kernels need is counted at
    /// the first.
    pub saved_elements: f64,
    /// Bytes kept whatever the precision: masks, indices, fp32 statistics.
    pub saved_bytes_fixed: f64,
    /// Attention scores, `heads × queries × keys`: kept only by attention that stores them.
    pub scores: f64,
    /// Share of those scores that is left where masked ones are skipped, above 0 to 1: causal attention of `k` keys over
    /// `s` tokens sees `1 - k/2s` of them.
    pub seen: f64,
    /// Smallest dimension of its matrix product, for efficiency; 0 where it has none.
    pub width: u32,
    /// Products that follow one another; 1 unless recurrent.
    pub sequential_steps: u32,
    /// Whether tensor parallelism divides its work, weights and outputs.
    pub divides: Divides,
    /// Whether tensor parallelism divides what it keeps.
    pub saved_divides: Divides,
}

impl Kernel {
    /// A kernel that reads and writes and does nothing else; the rest is for the caller to fill in.
    pub(crate) fn new(kind: KernelKind, inputs: f64, outputs: f64) -> Self {
        Self {
            kind,
            flops: 0.0,
            weights: 0,
            matrix: None,
            inputs,
            outputs,
            saved_elements: 0.0,
            saved_bytes_fixed: 0.0,
            scores: 0.0,
            seen: 1.0,
            width: 0,
            sequential_steps: 1,
            divides: Divides::No,
            saved_divides: Divides::No,
        }
    }

    /// Normalisation, activation and the like over `elements`, which keeps `saved` of them.
    pub(crate) fn pointwise(elements: f64, saved: f64) -> Self {
        Self {
            saved_elements: saved,
            divides: Divides::Sequence,
            saved_divides: Divides::Sequence,
            ..Self::new(KernelKind::Pointwise, elements, elements)
        }
    }

    /// `positions` vectors times a matrix of `rows × columns`; keeps nothing.
    pub(crate) fn product(positions: f64, rows: u64, columns: u64, place: Place) -> Self {
        let weights = rows.saturating_mul(columns);
        Self {
            flops: 2.0 * positions * rows as f64 * columns as f64,
            weights,
            matrix: Some(Matrix { rows, columns, count: 1, place }),
            width: u32::try_from(rows.min(columns)).unwrap_or(u32::MAX),
            divides: Divides::Tensor,
            saved_divides: Divides::Sequence,
            ..Self::new(KernelKind::MatrixProduct, positions * rows as f64, positions * columns as f64)
        }
    }

    /// The same, keeping `saved` elements.
    #[must_use]
    pub(crate) fn saving(self, saved: f64, divides: Divides) -> Self {
        Self { saved_elements: saved, saved_divides: divides, ..self }
    }
}

impl Unit {
    /// A unit that stands once and holds nothing.
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            repeats: 1,
            parameters: 0,
            expert_parameters: 0,
            tied_parameters: 0,
            input_elements: 0.0,
            reduced_elements: 0.0,
            exchanged_elements: 0.0,
            sparse: None,
            kernels: Vec::new(),
        }
    }

    /// Parameters of all repetitions.
    pub fn all_parameters(&self) -> u64 {
        self.parameters.saturating_mul(u64::from(self.repeats))
    }

    /// Parameters of low-rank adapters on the matrices of some places in one repetition: `r·(d_in + d_out)` each (arXiv
    /// 2106.09685).
    pub fn adapter_parameters(&self, rank: u32, places: &[Place]) -> f64 {
        let matrices = self.kernels.iter().filter_map(|kernel| kernel.matrix);
        let widths = matrices
            .filter(|matrix| places.contains(&matrix.place))
            .map(|matrix| (matrix.rows as f64 + matrix.columns as f64) * matrix.count as f64);
        widths.sum::<f64>() * f64::from(rank)
    }

    /// Forward FLOPs of one repetition.
    pub fn flops(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.flops).sum()
    }
}

impl Profile {
    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        self.units.iter().fold(0_u64, |sum, unit| sum.saturating_add(unit.all_parameters()))
    }

    /// Forward FLOPs of one sample.
    pub fn forward_flops(&self) -> f64 {
        self.units.iter().map(|unit| unit.flops() * f64::from(unit.repeats)).sum()
    }

    /// Forward FLOPs of the body: what full recomputation runs once more.
    pub fn body_flops(&self) -> f64 {
        self.role(Role::Body).map(|unit| unit.flops() * f64::from(unit.repeats)).sum()
    }

    /// Units of one role, in order.
    pub fn role(&self, role: Role) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |unit| unit.role == role)
    }

    /// Parameters of the largest unit: what full sharding gathers at once. A tied output projection counts, tables of
    /// sparse rows do not.
    pub fn largest_unit(&self) -> u64 {
        let gathered = self.units.iter().filter(|unit| unit.sparse.is_none());
        gathered.map(|unit| unit.parameters.saturating_add(unit.tied_parameters)).max().unwrap_or(0)
    }

    /// Parameters of low-rank adapters on the matrices of some places.
    pub fn adapter_parameters(&self, rank: u32, places: &[Place]) -> u64 {
        self.units.iter().map(|unit| unit.adapter_parameters(rank, places) * f64::from(unit.repeats)).sum::<f64>()
            as u64
    }

    /// Matrices that multiply, with how often each stands in the model.
    pub fn matrices(&self) -> impl Iterator<Item = (Matrix, u32)> {
        self.units.iter().flat_map(|unit| unit.kernels.iter().filter_map(|kernel| Some((kernel.matrix?, unit.repeats))))
    }
}
