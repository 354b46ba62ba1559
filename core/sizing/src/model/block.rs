//! A transformer block as kernels.
//!
//! Without dropout, 16 bits wide and with attention that stores no scores, a dense block keeps per token
//! `8h + 4·d_h·(a + k) + n_f·f` bytes, `n_f` 4 for a plain feed-forward layer and 8 for a gated, unfused one: the
//! `34·s·b·h` of arXiv 2205.05198, table 2, less its dropout masks, for `h = a·d_h = f/4`.

use super::mixture_of_experts::Experts;
use super::transformer::{Norm, Positions, Transformer};
use crate::profile::{Divides, Kernel, KernelKind, Matrix, Place, Role, Unit};

/// What one kind of block of a stack looks at.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    /// Tokens of the sample.
    pub(super) tokens: f64,
    /// Keys that a query sees.
    pub(super) keys: f64,
    /// Whether a query sees only keys before it.
    pub(super) causal: bool,
    /// Tokens of the encoder that a second attention reads; `None` without cross-attention.
    pub(super) source: Option<f64>,
}

/// One block, dense or with experts.
pub(super) fn block(t: &Transformer, name: &'static str, with_experts: bool, sight: Sight) -> Unit {
    let (hidden, tokens) = (f64::from(t.hidden), sight.tokens);
    let stream = tokens * hidden;
    let mut kernels = Vec::with_capacity(24);
    let norm = |saved| norm(t, stream, saved);
    kernels.push(norm(stream));
    self_attention(t, sight, &mut kernels);
    let mut reduced = 2.0 * stream;
    let mut parameters = if with_experts { t.expert_layer_parameters() } else { t.layer_parameters() };
    if let Some(source) = sight.source {
        kernels.push(residual(t, stream));
        kernels.push(norm(stream));
        cross_attention(t, tokens, source, &mut kernels);
        parameters = parameters.saturating_add(cross_parameters(t));
        reduced += stream;
    }
    if t.norms_per_layer > 2 {
        kernels.push(norm(stream));
    }
    kernels.push(residual(t, stream));
    // Side by side, both sublayers read the block's input, and one normalisation may serve both.
    let shares_norm = t.norms_per_layer < 2;
    if !shares_norm {
        kernels.push(norm(if t.parallel_blocks { 0.0 } else { stream }));
    }
    let read = if shares_norm { 0.0 } else { stream };
    let mut expert_parameters = 0;
    match t.experts.as_ref().filter(|_| with_experts) {
        Some(experts) => {
            expert_parameters = experts.routed_parameters(hidden, t.mlp_matrices()) as u64;
            experts_at_work(t, experts, tokens, read, &mut kernels);
        }
        None => feed_forward(t, tokens, f64::from(t.ffn), read, &mut kernels),
    }
    if t.norms_per_layer > 2 {
        kernels.push(norm(stream));
    }
    kernels.push(residual(t, stream));
    let key_width = match &t.latent {
        Some(latent) => f64::from(latent.kv_rank) + f64::from(latent.rotary_dim),
        None => 2.0 * t.key_width() as f64,
    };
    Unit {
        parameters,
        expert_parameters,
        input_elements: stream,
        reduced_elements: reduced,
        exchanged_elements: tokens * key_width,
        kernels,
        ..Unit::new(name, Role::Body)
    }
}

/// Parameters that a second attention and its normalisation add to a block.
pub(super) fn cross_parameters(t: &Transformer) -> u64 {
    (t.attention_weights() as f64 + t.attention_biases() + t.norm_parameters()) as u64
}

/// A normalisation over `elements`, which keeps `saved` of them.
fn norm(t: &Transformer, elements: f64, saved: f64) -> Kernel {
    // LayerNorm keeps mean and deviation of every row, RMSNorm one of them; both in fp32.
    let statistics = if t.norm == Norm::Rms { 4.0 } else { 8.0 };
    let rows = elements / f64::from(t.hidden.max(1));
    Kernel { saved_bytes_fixed: statistics * rows, ..Kernel::pointwise(elements, saved) }
}

/// The sum of the stream and a sublayer, behind dropout where there is one: a mask of a byte per element.
fn residual(t: &Transformer, elements: f64) -> Kernel {
    let masks = if t.dropout { elements } else { 0.0 };
    Kernel { inputs: 2.0 * elements, saved_bytes_fixed: masks, ..Kernel::pointwise(elements, 0.0) }
}

impl Sight {
    /// Share of scores that are not masked: `1 - k/2s`, a half where every key before a query is seen.
    fn seen(&self) -> f64 {
        if self.causal { (1.0 - self.keys / (2.0 * self.tokens)).clamp(0.5, 1.0) } else { 1.0 }
    }
}

fn self_attention(t: &Transformer, sight: Sight, kernels: &mut Vec<Kernel>) {
    let (hidden, tokens, heads) = (u64::from(t.hidden), sight.tokens, f64::from(t.heads));
    let stream = tokens * f64::from(t.hidden);
    if let Some(latent) = &t.latent {
        let (queries, rank) = ((heads * latent.key_dim()) as u64, u64::from(latent.kv_rank));
        let values = u64::from(t.heads) * u64::from(latent.value_dim);
        match latent.query_rank.map(u64::from) {
            Some(query_rank) => {
                let compressed = tokens * query_rank as f64;
                let down = Kernel { divides: Divides::No, ..Kernel::product(tokens, hidden, query_rank, Place::Other) };
                kernels.push(down.saving(stream, Divides::Sequence));
                kernels.push(Kernel::pointwise(compressed, compressed));
                kernels.push(
                    Kernel::product(tokens, query_rank, queries, Place::Query).saving(compressed, Divides::Sequence),
                );
            }
            None => {
                kernels.push(Kernel::product(tokens, hidden, queries, Place::Query).saving(stream, Divides::Sequence));
            }
        }
        let compressed = tokens * rank as f64;
        let down = Kernel::product(tokens, hidden, rank + u64::from(latent.rotary_dim), Place::Key);
        kernels.push(Kernel { divides: Divides::No, ..down });
        kernels.push(Kernel::pointwise(compressed, compressed));
        let expanded = u64::from(t.heads) * u64::from(latent.plain_dim);
        let up = Kernel::product(tokens, rank, expanded.saturating_add(values), Place::Value);
        kernels.push(up.saving(compressed, Divides::Sequence));
        kernels.push(Kernel { divides: Divides::Tensor, ..Kernel::pointwise(2.0 * tokens * queries as f64, 0.0) });
        let saved = tokens * (2.0 * queries as f64 + values as f64);
        let core = core(heads, tokens, sight.keys, latent.key_dim(), f64::from(latent.value_dim), saved);
        kernels.push(Kernel { seen: sight.seen(), ..core });
        let output = tokens * values as f64;
        kernels.push(Kernel::product(tokens, values, hidden, Place::Output).saving(output, Divides::Tensor));
        return;
    }
    let (query, key) = (t.query_width(), t.key_width());
    kernels.push(Kernel::product(tokens, hidden, query, Place::Query).saving(stream, Divides::Sequence));
    kernels.push(Kernel::product(tokens, hidden, key, Place::Key));
    kernels.push(Kernel::product(tokens, hidden, key, Place::Value));
    let turned = tokens * (query as f64 + key as f64);
    let dim = f64::from(t.head_dim);
    if t.qk_norm {
        kernels.push(Kernel {
            divides: Divides::Tensor,
            saved_divides: Divides::Tensor,
            ..Kernel::pointwise(turned, turned)
        });
    }
    match t.positions {
        Positions::Relative => {
            // Keys of positions, and their scores: s·h·a·d_h and s·s·a·d_h multiply-adds more.
            kernels.push(Kernel::product(sight.keys, hidden, query, Place::Other));
            let scores = tokens * sight.keys * query as f64;
            kernels.push(Kernel {
                flops: 2.0 * scores,
                divides: Divides::Tensor,
                ..Kernel::new(KernelKind::Attention, turned, 0.0)
            });
        }
        Positions::Rotary => {
            kernels.push(Kernel { divides: Divides::Tensor, ..Kernel::pointwise(turned, 0.0) });
        }
        Positions::Alibi | Positions::Buckets(_) => {}
    }
    let saved = tokens * (query as f64 + 2.0 * key as f64);
    kernels.push(Kernel { seen: sight.seen(), ..core(heads, tokens, sight.keys, dim, dim, saved) });
    let output = tokens * query as f64;
    kernels.push(Kernel::product(tokens, query, hidden, Place::Output).saving(output, Divides::Tensor));
}

/// The second attention of a decoder: queries from it, keys and values from the encoder's output.
fn cross_attention(t: &Transformer, tokens: f64, source: f64, kernels: &mut Vec<Kernel>) {
    let (hidden, heads, dim) = (u64::from(t.hidden), f64::from(t.heads), f64::from(t.head_dim));
    let (query, key) = (t.query_width(), t.key_width());
    let stream = tokens * f64::from(t.hidden);
    kernels.push(Kernel::product(tokens, hidden, query, Place::Query).saving(stream, Divides::Sequence));
    // The encoder's output is kept once for all blocks; it is counted with the first of them at most, and left out here.
    kernels.push(Kernel::product(source, hidden, key, Place::Key));
    kernels.push(Kernel::product(source, hidden, key, Place::Value));
    let saved = tokens * query as f64 + 2.0 * source * key as f64;
    kernels.push(core(heads, tokens, source, dim, dim, saved));
    let output = tokens * query as f64;
    kernels.push(Kernel::product(tokens, query, hidden, Place::Output).saving(output, Divides::Tensor));
}

/// Scores, softmax and weighted sum: `2·a·s·s'·(d_k + d_v)` FLOPs, counted in full as in arXiv 2104.04473 and 2204.02311
/// (a causal kernel does half of it). It keeps an fp32 number per query and head.
pub(super) fn core(heads: f64, tokens: f64, keys: f64, key_dim: f64, value_dim: f64, saved: f64) -> Kernel {
    Kernel {
        flops: 2.0 * heads * tokens * keys * (key_dim + value_dim),
        saved_elements: saved,
        saved_bytes_fixed: 4.0 * heads * tokens,
        scores: heads * tokens * keys,
        width: key_dim.min(value_dim) as u32,
        divides: Divides::Tensor,
        saved_divides: Divides::Tensor,
        ..Kernel::new(KernelKind::Attention, saved, heads * tokens * value_dim)
    }
}

/// A dense feed-forward layer of a width; `read` is what it keeps of its input.
fn feed_forward(t: &Transformer, tokens: f64, width: f64, read: f64, kernels: &mut Vec<Kernel>) {
    let (hidden, ffn) = (u64::from(t.hidden), width as u64);
    let inner = tokens * width;
    if t.gated_mlp {
        kernels.push(Kernel::product(tokens, hidden, ffn, Place::Gate).saving(read, Divides::Sequence));
        kernels.push(Kernel::product(tokens, hidden, ffn, Place::Up));
    } else {
        kernels.push(Kernel::product(tokens, hidden, ffn, Place::Up).saving(read, Divides::Sequence));
    }
    kernels.push(activation(t, inner));
    kernels.push(Kernel::product(tokens, ffn, hidden, Place::Down).saving(inner, Divides::Tensor));
}

/// The nonlinearity over `inner` elements; a gated one keeps gate, activated gate and the other factor.
fn activation(t: &Transformer, inner: f64) -> Kernel {
    let (reads, writes, kept) = if t.gated_mlp { (4.0, 2.0, 3.0) } else { (1.0, 1.0, 1.0) };
    Kernel {
        inputs: reads * inner,
        outputs: writes * inner,
        divides: Divides::Tensor,
        saved_divides: Divides::Tensor,
        ..Kernel::pointwise(inner, kept * inner)
    }
}

/// Router, dispatch, experts, return, and the shared experts beside them.
fn experts_at_work(t: &Transformer, experts: &Experts, tokens: f64, read: f64, kernels: &mut Vec<Kernel>) {
    let (hidden, width) = (u64::from(t.hidden), f64::from(t.hidden));
    let count = u64::from(experts.count);
    // Router logits and probabilities in fp32.
    let router = Kernel { divides: Divides::No, ..Kernel::product(tokens, hidden, count, Place::Other) };
    kernels.push(Kernel { saved_bytes_fixed: 4.0 * tokens * count as f64, ..router.saving(read, Divides::Sequence) });
    let routed = tokens * f64::from(experts.top_k) * experts.capacity_factor;
    kernels.push(Kernel::new(KernelKind::Dispatch, routed * width, routed * width));
    let ffn = u64::from(experts.ffn);
    let inner = routed * f64::from(experts.ffn);
    let each = |rows, columns| {
        let one = Kernel::product(routed, rows, columns, Place::Expert);
        Kernel {
            weights: one.weights.saturating_mul(count),
            matrix: Some(Matrix { rows, columns, count, place: Place::Expert }),
            ..one
        }
    };
    kernels.push(each(hidden, ffn).saving(routed * width, Divides::No));
    if t.gated_mlp {
        kernels.push(each(hidden, ffn));
    }
    kernels.push(activation(t, inner));
    kernels.push(each(ffn, hidden).saving(inner, Divides::Tensor));
    // Each expert's output stands until the gradient of its weight is known.
    kernels.push(Kernel {
        saved_elements: routed * width,
        ..Kernel::new(KernelKind::Dispatch, routed * width, tokens * width)
    });
    if experts.shared_ffn > 0 {
        if experts.shared_gate {
            kernels.push(Kernel { divides: Divides::No, ..Kernel::product(tokens, hidden, 1, Place::Other) });
        }
        feed_forward(t, tokens, f64::from(experts.shared_ffn), 0.0, kernels);
    }
}
