//! A transformer's embedding, blocks and head as units.

use super::block::{Sight, block};
use super::transformer::{Head, Transformer};
use crate::profile::{Divides, Kernel, KernelKind, Place, Profile, Role, Unit};

impl Transformer {
    /// What one sample of `sequence_length` tokens does to a device.
    pub fn profile(&self, sequence_length: u32) -> Profile {
        let tokens = f64::from(sequence_length.max(1));
        let mut units = vec![self.embedding_unit(tokens)];
        units.extend(self.blocks(tokens, None));
        units.extend(self.head_unit(tokens));
        Profile { units }
    }

    /// The input side: a lookup, positions and types added, a normalisation where there is one.
    pub(super) fn embedding_unit(&self, tokens: f64) -> Unit {
        let columns = f64::from(self.embedding_columns());
        let stream = tokens * f64::from(self.hidden);
        let lookup =
            Kernel { divides: Divides::Tensor, ..Kernel::new(KernelKind::Lookup, tokens * columns, tokens * columns) };
        let mut kernels = vec![lookup];
        if self.embedding_width.is_some() {
            let projection =
                Kernel::product(tokens, u64::from(self.embedding_columns()), u64::from(self.hidden), Place::Other);
            kernels.push(projection.saving(tokens * columns, Divides::Sequence));
        }
        if self.learned_positions > 0 || self.segments > 0 {
            kernels.push(Kernel { inputs: 2.0 * stream, ..Kernel::pointwise(stream, 0.0) });
        }
        if self.embedding_norm {
            kernels.push(Kernel::pointwise(stream, stream));
        }
        Unit { parameters: self.input_parameters(), kernels, ..Unit::new("embedding", Role::Embedding) }
    }

    /// The blocks, dense ones before those with experts, windowed ones before those that see all: layers that alternate
    /// stand as one unit per kind.
    pub(super) fn blocks(&self, tokens: f64, source: Option<f64>) -> Vec<Unit> {
        let experts = self.expert_layers();
        let windowed = self.windowed_layers();
        // A decoder that reads an encoder writes in order, as a language model does; its second attention sees all.
        let causal = source.is_some() || self.head == Head::LanguageModel;
        let size = self.window.map_or(tokens, |window| f64::from(window.size).min(tokens));
        let mut units = Vec::new();
        // Kinds of feed-forward layer and of attention alternate independently: their shares are laid out so that counts
        // of both are kept.
        let mut left = windowed;
        for (with_experts, layers) in [(false, self.layers - experts), (true, experts)] {
            let near = if with_experts { left } else { left.min(share(windowed, layers, self.layers)) };
            left -= near.min(left);
            let name = if with_experts { "expert block" } else { "block" };
            let near_name = if with_experts { "windowed expert block" } else { "windowed block" };
            for (name, keys, repeats) in [(near_name, size, near), (name, tokens, layers.saturating_sub(near))] {
                if repeats > 0 {
                    units.push(Unit {
                        repeats,
                        ..block(self, name, with_experts, Sight { tokens, keys, causal, source })
                    });
                }
            }
        }
        units
    }

    /// The output side.
    pub(super) fn head_unit(&self, tokens: f64) -> Option<Unit> {
        let (hidden, vocabulary) = (u64::from(self.hidden), u64::from(self.vocabulary));
        let stream = tokens * f64::from(self.hidden);
        let mut kernels = Vec::new();
        if self.final_norm {
            kernels.push(Kernel::pointwise(stream, stream));
        }
        let mut tied = 0;
        let mut project = |kernels: &mut Vec<Kernel>| {
            let mut rows = hidden;
            if self.embedding_width.is_some() {
                rows = u64::from(self.embedding_columns());
                kernels.push(Kernel::product(tokens, hidden, rows, Place::Other).saving(stream, Divides::Sequence));
            }
            let kept = tokens * rows as f64;
            kernels.push(Kernel::product(tokens, rows, vocabulary, Place::Other).saving(kept, Divides::Sequence));
            let logits = tokens * vocabulary as f64;
            kernels.push(Kernel {
                saved_elements: logits,
                divides: Divides::Tensor,
                saved_divides: Divides::Tensor,
                ..Kernel::new(KernelKind::Loss, logits, tokens)
            });
            if self.tied_embeddings {
                tied = self.embedding_parameters();
            }
        };
        match self.head {
            Head::LanguageModel => project(&mut kernels),
            Head::MaskedLanguageModel => {
                let dense = Kernel { divides: Divides::No, ..Kernel::product(tokens, hidden, hidden, Place::Other) };
                kernels.push(dense.saving(stream, Divides::Sequence));
                kernels.push(Kernel::pointwise(stream, stream));
                kernels.push(Kernel::pointwise(stream, stream));
                project(&mut kernels);
            }
            Head::Pooler => {
                let dense = Kernel { divides: Divides::No, ..Kernel::product(1.0, hidden, hidden, Place::Other) };
                kernels.push(dense.saving(f64::from(self.hidden), Divides::No));
                kernels.push(Kernel::pointwise(f64::from(self.hidden), f64::from(self.hidden)));
            }
            Head::Bare => {}
        }
        (!kernels.is_empty()).then(|| Unit {
            parameters: self.output_parameters(),
            tied_parameters: tied,
            input_elements: stream,
            kernels,
            ..Unit::new("head", Role::Head)
        })
    }
}

/// `part` of `whole`, scaled to `of`.
fn share(part: u32, of: u32, whole: u32) -> u32 {
    (u64::from(part) * u64::from(of) / u64::from(whole.max(1))) as u32
}
