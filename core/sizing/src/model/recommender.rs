//! Recommenders: embedding tables and dense layers; without tables, a plain multi-layer perceptron.

use serde::{Deserialize, Serialize};

use crate::profile::{Divides, Kernel, KernelKind, Place, Profile, Role, SparseRows, Unit};

/// One embedding table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Rows.
    pub rows: u64,
    /// Values in a row.
    pub width: u32,
    /// Rows that one sample reads, summed into one vector.
    pub lookups: u32,
}

/// How the vectors of a sample come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interaction {
    /// Side by side.
    Concatenate,
    /// Products of all pairs beside the dense vector (DLRM, arXiv 1906.00091).
    Dot,
}

/// The dimensions of a recommender or a multi-layer perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommender {
    /// Dense features of a sample.
    pub dense: u32,
    /// Widths of the layers over the dense features.
    pub bottom: Vec<u32>,
    /// Embedding tables.
    pub tables: Vec<Table>,
    /// How their vectors come together.
    pub interaction: Interaction,
    /// Tables whose two vectors are multiplied and join the last layer's input (neural collaborative filtering's matrix
    /// factorisation, arXiv 1708.05031).
    #[serde(default)]
    pub factors: Vec<Table>,
    /// Widths of the layers above, the output last.
    pub top: Vec<u32>,
}

/// Input and output widths of layers that follow one another.
type Widths = Vec<(f64, f64)>;

impl Recommender {
    /// A multi-layer perceptron from `inputs` features through these widths.
    pub fn perceptron(inputs: u32, widths: Vec<u32>) -> Self {
        Self {
            dense: inputs,
            bottom: Vec::new(),
            tables: Vec::new(),
            interaction: Interaction::Concatenate,
            factors: Vec::new(),
            top: widths,
        }
    }

    fn bottom_output(&self) -> f64 {
        f64::from(self.bottom.last().copied().unwrap_or(self.dense))
    }

    /// Width that enters the layers above.
    fn interacted(&self) -> f64 {
        let vectors = self.tables.len() as f64 + if self.dense > 0 { 1.0 } else { 0.0 };
        match self.interaction {
            Interaction::Concatenate => {
                self.bottom_output() + self.tables.iter().map(|table| f64::from(table.width)).sum::<f64>()
            }
            Interaction::Dot => self.bottom_output() + vectors * (vectors - 1.0) / 2.0,
        }
    }

    /// Width of the factors' product.
    fn product_width(&self) -> f64 {
        f64::from(self.factors.first().map_or(0, |table| table.width))
    }

    /// Input and output widths of the layers below and above.
    fn layers(&self) -> (Widths, Widths) {
        let chain = |first: f64, widths: &[u32]| {
            let mut inputs = first;
            let mut layers = Vec::with_capacity(widths.len());
            for &width in widths {
                layers.push((inputs, f64::from(width)));
                inputs = f64::from(width);
            }
            layers
        };
        let mut top = chain(self.interacted(), &self.top);
        if let Some(last) = top.last_mut() {
            last.0 += self.product_width();
        }
        (chain(f64::from(self.dense), &self.bottom), top)
    }

    fn table_parameters(&self) -> f64 {
        self.tables.iter().chain(&self.factors).map(|table| table.rows as f64 * f64::from(table.width)).sum()
    }

    fn sparse_rows(&self) -> SparseRows {
        self.tables.iter().chain(&self.factors).fold(SparseRows::default(), |sum, table| {
            let (read, width) = (f64::from(table.lookups), f64::from(table.width));
            SparseRows {
                rows: sum.rows + table.rows as f64,
                read: sum.read + read,
                elements: sum.elements + read * width,
                pooled: sum.pooled + width,
            }
        })
    }

    /// Parameters in all; every dense layer has a bias.
    pub fn parameters(&self) -> u64 {
        let (bottom, top) = self.layers();
        let dense: f64 = bottom.iter().chain(&top).map(|(inputs, outputs)| inputs * outputs + outputs).sum();
        (self.table_parameters() + dense) as u64
    }

    /// What one sample does to a device.
    pub fn profile(&self) -> Profile {
        let (bottom, top) = self.layers();
        let mut units = Vec::new();
        let rows = self.sparse_rows();
        if rows.rows > 0.0 {
            // One kernel reads all tables (arXiv 2104.05158, section 4.1). Places of eight bytes are kept.
            let lookup = Kernel {
                saved_bytes_fixed: 8.0 * rows.read,
                ..Kernel::new(KernelKind::Lookup, rows.elements, rows.pooled)
            };
            units.push(Unit {
                parameters: self.table_parameters() as u64,
                sparse: Some(rows),
                kernels: vec![lookup],
                ..Unit::new("tables", Role::Embedding)
            });
        }
        units.extend(bottom.iter().map(|layer| dense("bottom layer", *layer)));
        units.extend(self.interaction_unit());
        units.extend(top.iter().map(|layer| dense("top layer", *layer)));
        if let Some(last) = units.last_mut() {
            let outputs = f64::from(self.top.last().copied().unwrap_or(0));
            last.role = Role::Head;
            last.kernels.push(Kernel { saved_elements: outputs, ..Kernel::new(KernelKind::Loss, outputs, 1.0) });
        }
        Profile { units }
    }

    /// How vectors come together: copied side by side; for products of all pairs also the products of all with all, of
    /// which one of each pair is picked.
    fn interaction_unit(&self) -> Option<Unit> {
        if self.tables.is_empty() {
            return None;
        }
        let joined = self.bottom_output() + self.tables.iter().map(|table| f64::from(table.width)).sum::<f64>();
        let copy = Kernel::pointwise(joined, 0.0);
        let kernels = match self.interaction {
            Interaction::Concatenate => vec![copy],
            Interaction::Dot => {
                let vectors = self.tables.len() as f64 + 1.0;
                let width = self.bottom_output();
                let read = vectors * width;
                let pairs = vectors * vectors;
                let products = Kernel {
                    flops: 2.0 * pairs * width,
                    saved_elements: read,
                    width: vectors as u32,
                    ..Kernel::new(KernelKind::MatrixProduct, 2.0 * read, pairs)
                };
                let pick = Kernel { inputs: pairs, ..Kernel::pointwise(self.interacted(), 0.0) };
                vec![copy, products, pick]
            }
        };
        Some(Unit { input_elements: joined, kernels, ..Unit::new("interaction", Role::Body) })
    }
}

/// A dense layer with its nonlinearity, which is undone from its output: the next layer keeps it.
fn dense(name: &'static str, (inputs, outputs): (f64, f64)) -> Unit {
    let product = Kernel::product(1.0, inputs as u64, outputs as u64, Place::Other);
    Unit {
        parameters: (inputs * outputs + outputs) as u64,
        input_elements: inputs,
        kernels: vec![product.saving(inputs, Divides::No), Kernel::pointwise(outputs, 0.0)],
        ..Unit::new(name, Role::Body)
    }
}
