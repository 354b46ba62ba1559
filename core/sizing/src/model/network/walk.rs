//! From layers to kernels.
//!
//! What is kept for the backward pass is counted by tensors, each once: a layer that needs its input keeps it unless
//! another layer already does.

use thiserror::Error;

use super::{Grid, Layer, Network};
use crate::profile::{Divides, Kernel, KernelKind, Place, Profile, Role, Unit};

/// Values that a grid may hold, and channels that may meet: far above every network, far below what would overflow.
const LARGEST: f64 = 1e12;

/// How deep layers may stand inside each other.
const DEEPEST: u32 = 64;

/// Why a network cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum NetworkError {
    /// A window is larger than what it slides over.
    #[error("failed to lay out the network: a window of {window} does not fit {grid:?}")]
    TooSmall {
        /// What reaches the layer.
        grid: Grid,
        /// Its window.
        window: u32,
    },
    /// Groups that do not divide the channels.
    #[error(
        "failed to lay out the network: {groups} groups do not divide {inputs} input and {outputs} output channels"
    )]
    Groups {
        /// Groups.
        groups: u32,
        /// Channels that enter.
        inputs: u32,
        /// Channels that leave.
        outputs: u32,
    },
    /// Branches that do not fit together.
    #[error("failed to lay out the network: branches end as {left:?} and {right:?}")]
    Branches {
        /// One branch's end.
        left: Grid,
        /// Another's.
        right: Grid,
    },
    /// No position or no channel, or more than anything has.
    #[error("failed to lay out the network: {grid:?} must have between 1 and 10^12 values")]
    Size {
        /// What a layer would make.
        grid: Grid,
    },
    /// Layers nested too deep.
    #[error("failed to lay out the network: layers stand more than {DEEPEST} deep inside each other")]
    Depth,
}

/// What flows between layers.
#[derive(Clone, Copy)]
struct Tensor {
    grid: Grid,
    /// Whether a kernel keeps it already.
    kept: bool,
}

/// The profile of a network.
pub(super) fn profile(network: &Network) -> Result<Profile, NetworkError> {
    let mut walk = Walk { units: Vec::new(), open: Unit::new("stem", Role::Embedding), parameters: 0.0, depth: 0 };
    let mut input = Tensor { grid: network.input, kept: false };
    walk.open.input_elements = input.grid.elements();
    check(input.grid)?;
    let output = walk.layers(&network.layers, &mut input)?;
    let loss = output.grid.elements();
    walk.open.kernels.push(Kernel { saved_elements: loss, ..Kernel::new(KernelKind::Loss, loss, 1.0) });
    // What stands before the first block is the stem, after the last the head.
    walk.close(Role::Head, output);
    Ok(Profile { units: walk.units })
}

fn check(grid: Grid) -> Result<(), NetworkError> {
    if (1.0..=LARGEST).contains(&grid.elements()) { Ok(()) } else { Err(NetworkError::Size { grid }) }
}

struct Walk {
    units: Vec<Unit>,
    open: Unit,
    parameters: f64,
    depth: u32,
}

impl Walk {
    /// Ends the open unit, whose role is known by now; equal units that follow one another become one.
    fn close(&mut self, role: Role, tensor: Tensor) {
        let mut unit = std::mem::replace(&mut self.open, Unit::new("block", Role::Body));
        self.open.input_elements = tensor.grid.elements();
        unit.parameters = self.parameters as u64;
        self.parameters = 0.0;
        if unit.kernels.is_empty() && unit.parameters == 0 {
            return;
        }
        unit.role = role;
        unit.name = match role {
            Role::Embedding => "stem".into(),
            Role::Body => "block".into(),
            Role::Head => "head".into(),
        };
        match self.units.last_mut() {
            Some(last) if (Unit { repeats: 1, ..last.clone() }) == unit => last.repeats += 1,
            _ => self.units.push(unit),
        }
    }

    fn push(&mut self, kernel: Kernel) {
        self.open.kernels.push(kernel);
    }

    /// A kernel over `elements` that keeps its input unless that is kept already.
    fn reading(&mut self, kernel: Kernel, input: &mut Tensor) {
        let saved = if input.kept { 0.0 } else { input.grid.elements() };
        input.kept = true;
        self.push(Kernel { saved_elements: kernel.saved_elements + saved, ..kernel });
    }

    fn layers(&mut self, layers: &[Layer], input: &mut Tensor) -> Result<Tensor, NetworkError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(NetworkError::Depth);
        }
        let mut layers = layers.iter();
        let Some(first) = layers.next() else {
            self.depth -= 1;
            return Ok(*input);
        };
        // The first layer may mark the input as kept, which other branches then see.
        let mut tensor = self.layer(first, input)?;
        for layer in layers {
            check(tensor.grid)?;
            tensor = self.layer(layer, &mut tensor)?;
        }
        check(tensor.grid)?;
        self.depth -= 1;
        Ok(tensor)
    }

    fn layer(&mut self, layer: &Layer, input: &mut Tensor) -> Result<Tensor, NetworkError> {
        let grid = input.grid;
        let elements = grid.elements();
        let fresh = |grid| Tensor { grid, kept: false };
        let pointwise = Kernel::new(KernelKind::Pointwise, elements, elements);
        Ok(match layer {
            Layer::Convolution(convolution) => {
                let output = convolution.output(grid)?;
                let kernel = convolution.kernel(grid, output);
                self.parameters += kernel.weights as f64 + convolution.biases() as f64;
                self.reading(kernel, input);
                fresh(output)
            }
            Layer::Norm => {
                self.parameters += 2.0 * f64::from(grid.channels);
                self.reading(pointwise, input);
                fresh(grid)
            }
            Layer::Normalise => {
                self.reading(pointwise, input);
                fresh(grid)
            }
            Layer::Rectifier => {
                self.push(Kernel { saved_elements: elements, ..pointwise });
                Tensor { grid, kept: true }
            }
            Layer::Smooth => {
                self.reading(pointwise, input);
                fresh(grid)
            }
            Layer::Pool(pool) => {
                let output = pool.output(grid)?;
                self.reading(pool.kernel(grid, output), input);
                fresh(output)
            }
            Layer::Mean { to } => {
                let output = Grid { height: *to, width: *to, ..grid };
                self.push(Kernel { outputs: output.elements(), ..pointwise });
                fresh(output)
            }
            Layer::Upsample { factor } => {
                let output = Grid {
                    height: grid.height.saturating_mul(*factor),
                    width: grid.width.saturating_mul(*factor),
                    ..grid
                };
                self.push(Kernel { outputs: output.elements(), ..pointwise });
                fresh(output)
            }
            Layer::Flatten => {
                let channels = u32::try_from(elements as u64).unwrap_or(u32::MAX);
                Tensor { grid: Grid { channels, height: 1, width: 1 }, ..*input }
            }
            Layer::View(view) => Tensor { grid: *view, ..*input },
            Layer::Take(channels) => {
                Tensor { grid: Grid { channels: (*channels).min(grid.channels), ..grid }, ..*input }
            }
            Layer::Linear { outputs, bias } => {
                let (rows, columns) = (u64::from(grid.channels), u64::from(*outputs));
                let kernel = Kernel::product(grid.positions(), rows, columns, Place::Other);
                self.parameters += kernel.weights as f64 + if *bias { columns as f64 } else { 0.0 };
                self.reading(Kernel { saved_divides: Divides::Sequence, ..kernel }, input);
                fresh(Grid { channels: *outputs, ..grid })
            }
            Layer::Attention(attention) => {
                self.parameters += attention.parameters(grid);
                let read = if input.kept { 0.0 } else { elements };
                input.kept = true;
                self.open.reduced_elements += elements;
                self.open.kernels.extend(attention.kernels(grid, read));
                fresh(grid)
            }
            Layer::Scale => {
                self.parameters += f64::from(grid.channels);
                self.reading(pointwise, input);
                fresh(grid)
            }
            Layer::Learned(values) => {
                self.parameters += *values as f64;
                self.push(pointwise);
                fresh(grid)
            }
            Layer::Condition { inputs, outputs } => {
                let (rows, columns) = (u64::from(*inputs), u64::from(*outputs));
                let kernel = Kernel::product(1.0, rows, columns, Place::Other);
                self.parameters += kernel.weights as f64 + columns as f64;
                self.push(kernel.saving(f64::from(*inputs), Divides::No));
                self.push(pointwise);
                fresh(grid)
            }
            Layer::Dropout => {
                self.push(Kernel { saved_bytes_fixed: elements, ..pointwise });
                fresh(grid)
            }
            Layer::GatedHalves => {
                let output = Grid { channels: grid.channels / 2, ..grid };
                // The activated half stands beside both halves.
                self.reading(
                    Kernel { outputs: output.elements(), saved_elements: output.elements(), ..pointwise },
                    input,
                );
                fresh(output)
            }
            Layer::Residual { body, shortcut } => {
                let long = self.layers(body, input)?;
                let short = self.layers(shortcut, input)?;
                if long.grid != short.grid {
                    return Err(NetworkError::Branches { left: long.grid, right: short.grid });
                }
                let sum = long.grid.elements();
                self.push(Kernel::new(KernelKind::Pointwise, 2.0 * sum, sum));
                fresh(long.grid)
            }
            Layer::Gate(gate) => {
                let factors = self.layers(gate, input)?;
                if factors.grid.channels != grid.channels {
                    return Err(NetworkError::Branches { left: grid, right: factors.grid });
                }
                let kept = if factors.kept { 0.0 } else { factors.grid.elements() };
                self.reading(Kernel { saved_elements: kept, ..pointwise }, input);
                fresh(grid)
            }
            Layer::Concatenate(branches) => {
                let mut whole: Option<Grid> = None;
                for branch in branches {
                    let end = self.layers(branch, input)?.grid;
                    whole = Some(match whole {
                        None => end,
                        Some(left) if (left.height, left.width) == (end.height, end.width) => {
                            Grid { channels: left.channels.saturating_add(end.channels), ..left }
                        }
                        Some(left) => return Err(NetworkError::Branches { left, right: end }),
                    });
                }
                let whole = whole.unwrap_or(grid);
                self.push(Kernel::new(KernelKind::Pointwise, whole.elements(), whole.elements()));
                fresh(whole)
            }
            Layer::Aside(branch) => {
                self.layers(branch, input)?;
                *input
            }
            Layer::Block(layers) => {
                // What only moves values between blocks, such as a sum of branches, belongs to the next one.
                if self.units.is_empty() {
                    self.close(Role::Embedding, *input);
                } else if self.parameters > 0.0 {
                    self.close(Role::Body, *input);
                }
                let end = self.layers(layers, input)?;
                self.close(Role::Body, end);
                end
            }
        })
    }
}
