//! Recurrent networks over tokens or features: RNN, LSTM, GRU.

use serde::{Deserialize, Serialize};

use crate::profile::{Divides, Kernel, KernelKind, Matrix, Place, Profile, Role, Unit};

/// The cell of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cell {
    /// One gate.
    Rnn,
    /// Four gates and a memory.
    Lstm,
    /// Three gates.
    Gru,
}

impl Cell {
    /// Matrices that stand side by side.
    fn gates(self) -> f64 {
        match self {
            Self::Rnn => 1.0,
            Self::Lstm => 4.0,
            Self::Gru => 3.0,
        }
    }

    /// Widths kept per step: gates, memory and its nonlinearity (LSTM), the hidden part of the candidate (GRU).
    fn kept(self) -> f64 {
        match self {
            Self::Rnn => 1.0,
            Self::Lstm => 6.0,
            Self::Gru => 5.0,
        }
    }
}

/// The dimensions of a recurrent network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrent {
    /// Its cell.
    pub cell: Cell,
    /// Rows of the embedding; 0 where inputs are features.
    pub vocabulary: u32,
    /// Width of the embedding or of the features.
    pub inputs: u32,
    /// Width of the state.
    pub hidden: u32,
    /// Layers.
    pub layers: u32,
    /// Whether a second set of layers reads backwards.
    pub bidirectional: bool,
    /// Width that the state is projected to; `None` without projection.
    pub projection: Option<u32>,
    /// Classes or words of the output; 0 for none.
    pub outputs: u32,
    /// Whether the output projection is the embedding itself.
    pub tied: bool,
    /// Whether there is an output at every step, rather than one at the end.
    pub every_step: bool,
}

impl Recurrent {
    fn directions(&self) -> f64 {
        if self.bidirectional { 2.0 } else { 1.0 }
    }

    /// Width that leaves one direction of a layer.
    fn state(&self) -> f64 {
        f64::from(self.projection.unwrap_or(self.hidden))
    }

    /// Width that enters a layer, counted from 0.
    fn entering(&self, layer: u32) -> f64 {
        if layer == 0 { f64::from(self.inputs) } else { self.directions() * self.state() }
    }

    /// Parameters of one direction of a layer: `g·(i·h + r·h + 2h)` and `h·r` with projection (PyTorch keeps two bias
    /// vectors; LSTM projection: arXiv 1402.1128).
    fn direction_parameters(&self, layer: u32) -> f64 {
        let hidden = f64::from(self.hidden);
        let projection = if self.projection.is_some() { hidden * self.state() } else { 0.0 };
        self.cell.gates() * (self.entering(layer) * hidden + self.state() * hidden + 2.0 * hidden) + projection
    }

    fn layer_parameters(&self, layer: u32) -> f64 {
        self.directions() * self.direction_parameters(layer)
    }

    fn embedding_parameters(&self) -> f64 {
        f64::from(self.vocabulary) * f64::from(self.inputs)
    }

    fn head_parameters(&self) -> f64 {
        let outputs = f64::from(self.outputs);
        let weights = if self.tied { 0.0 } else { outputs * self.directions() * self.state() };
        weights + outputs
    }

    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        let upper = f64::from(self.layers.saturating_sub(1)) * self.layer_parameters(1);
        let layers = if self.layers > 0 { self.layer_parameters(0) + upper } else { 0.0 };
        (self.embedding_parameters() + layers + self.head_parameters()) as u64
    }

    /// What one sample of `sequence_length` steps does to a device.
    pub fn profile(&self, sequence_length: u32) -> Profile {
        let steps = sequence_length.max(1);
        let tokens = f64::from(steps);
        let mut units = Vec::new();
        if self.vocabulary > 0 {
            let read = tokens * f64::from(self.inputs);
            units.push(Unit {
                parameters: self.embedding_parameters() as u64,
                kernels: vec![Kernel::new(KernelKind::Lookup, read, read)],
                ..Unit::new("embedding", Role::Embedding)
            });
        }
        units.extend((self.layers > 0).then(|| self.layer_unit(0, 1, steps)));
        units.extend((self.layers > 1).then(|| self.layer_unit(1, self.layers - 1, steps)));
        if self.outputs > 0 {
            units.push(self.head(if self.every_step { tokens } else { 1.0 }));
        }
        Profile { units }
    }

    /// A layer: the product of all inputs at once, and the steps one after the other; LSTM `8h·(i + h)` FLOPs per step.
    fn layer_unit(&self, layer: u32, repeats: u32, steps: u32) -> Unit {
        let tokens = f64::from(steps);
        let (hidden, gates, directions) = (f64::from(self.hidden), self.cell.gates(), self.directions());
        let (entering, state) = (self.entering(layer), self.state());
        let input = Kernel::product(tokens, entering as u64, (directions * gates * hidden) as u64, Place::Other);
        let weights =
            directions * (state * gates * hidden + if self.projection.is_some() { hidden * state } else { 0.0 });
        let recurrent = Kernel {
            flops: 2.0 * tokens * weights,
            weights: weights as u64,
            matrix: Some(Matrix {
                rows: state as u64,
                columns: (gates * hidden) as u64,
                count: directions as u64,
                place: Place::Other,
            }),
            saved_elements: tokens * directions * self.cell.kept() * hidden,
            width: self.hidden,
            sequential_steps: steps,
            divides: Divides::No,
            ..Kernel::new(
                KernelKind::Recurrent,
                tokens * directions * gates * hidden,
                tokens * directions * (hidden + state),
            )
        };
        Unit {
            repeats,
            parameters: self.layer_parameters(layer) as u64,
            input_elements: tokens * entering,
            kernels: vec![input.saving(tokens * entering, Divides::No), recurrent],
            ..Unit::new("recurrent layer", Role::Body)
        }
    }

    fn head(&self, positions: f64) -> Unit {
        let rows = self.directions() * self.state();
        let product = Kernel::product(positions, rows as u64, u64::from(self.outputs), Place::Other);
        let logits = positions * f64::from(self.outputs);
        let loss = Kernel { saved_elements: logits, ..Kernel::new(KernelKind::Loss, logits, positions) };
        Unit {
            parameters: self.head_parameters() as u64,
            tied_parameters: if self.tied { self.embedding_parameters() as u64 } else { 0 },
            input_elements: positions * rows,
            kernels: vec![product.saving(positions * rows, Divides::No), loss],
            ..Unit::new("head", Role::Head)
        }
    }
}
