//! What a profile says must equal what the shape says.

mod common;

use common::{gpt, llama, resnet50};
use plimsoll_sizing::{Experts, LatentAttention, Model, Transformer, Window};
use proptest::prelude::*;

/// Every kind of transformer of one stack.
fn transformers() -> impl Strategy<Value = Transformer> {
    let sizes = (1_u32..=12, 1_u32..=8, 0_u32..=3, 1_u32..=16, 1_u32..=40);
    let latent = prop::option::of((prop::option::of(8_u32..64), 8_u32..64).prop_map(|(query_rank, kv_rank)| {
        LatentAttention { query_rank, kv_rank, plain_dim: 16, rotary_dim: 8, value_dim: 16 }
    }));
    let experts = prop::option::of((2_u32..=8, 0_u32..=2, 1_u32..=2, 0_u32..=64).prop_map(
        |(count, first_dense, every, shared_ffn)| Experts {
            count,
            top_k: 2,
            ffn: 48,
            shared_ffn,
            shared_gate: shared_ffn > 0,
            first_dense,
            every,
            ..Experts::default()
        },
    ));
    let window = prop::option::of((1_u32..64, 0_u32..4).prop_map(|(size, global_every)| Window { size, global_every }));
    (sizes, any::<[bool; 6]>(), latent, experts, window).prop_map(|(sizes, flags, latent, experts, window)| {
        let (layers, groups, ratio, dim, words) = sizes;
        let (heads, kv_heads) = (groups << ratio, groups);
        let base = if flags[0] { gpt(layers, heads * dim, heads, words * 64, 128) } else { Transformer::default() };
        Transformer {
            layers,
            hidden: heads * dim,
            heads,
            kv_heads,
            head_dim: dim + 4,
            ffn: 3 * heads * dim,
            vocabulary: words * 64,
            tied_embeddings: flags[1],
            qk_norm: flags[2],
            norms_per_layer: [1, 2, 4][usize::from(flags[3]) + usize::from(flags[4])],
            parallel_blocks: flags[5],
            latent,
            experts,
            window,
            ..base
        }
    })
}

proptest! {
    #[test]
    fn the_units_of_a_profile_hold_all_parameters(t in transformers(), tokens in 1_u32..512) {
        prop_assert_eq!(t.profile(tokens).parameters(), t.parameters());
        prop_assert!(t.active_parameters() <= t.parameters());
    }

    #[test]
    fn the_flops_of_a_profile_equal_the_closed_form(t in transformers(), tokens in 1_u32..512) {
        let s = f64::from(tokens);
        let keys = |layers: u32, seen: f64| f64::from(layers) * seen;
        let near = match t.window {
            None => 0,
            Some(Window { global_every: 0, .. }) => t.layers,
            Some(window) => t.layers - t.layers / window.global_every,
        };
        let size = t.window.map_or(s, |window| f64::from(window.size).min(s));
        let widths = match t.latent {
            Some(latent) => f64::from(t.heads) * f64::from(latent.plain_dim + latent.rotary_dim + latent.value_dim),
            None => f64::from(t.heads) * 2.0 * f64::from(t.head_dim),
        };
        let scores = 2.0 * s * widths * (keys(near, size) + keys(t.layers - near, s));
        let closed = 2.0 * s * t.multiplying_weights() as f64 + scores;
        let flops = t.profile(tokens).forward_flops();
        prop_assert!((flops / closed - 1.0).abs() < 1e-9, "{} against {}", flops, closed);
    }
}

#[test]
fn a_dense_block_keeps_what_korthikanti_counts() {
    // arXiv 2205.05198, table 2, without dropout masks and scores: (34 - 2)·s·b·h bytes, of which 8 undivided.
    let t = gpt(1, 1024, 16, 50_304, 0);
    let profile = t.profile(2048);
    let block = &profile.units[1];
    let kept: f64 = block.kernels.iter().map(|kernel| 2.0 * kernel.saved_elements).sum();
    assert_eq!(kept, 32.0 * 2048.0 * 1024.0);
    let gated = llama(1, 4096, 32, 8, 14_336, 128_256).profile(1);
    let kept: f64 = gated.units[1].kernels.iter().map(|kernel| 2.0 * kernel.saved_elements).sum();
    assert_eq!(kept, 8.0 * 4096.0 + 4.0 * 128.0 * 40.0 + 8.0 * 14_336.0);
}

#[test]
fn a_custom_model_is_one_unit() {
    let model = resnet50();
    let profile = model.profile(1);
    assert_eq!(profile.parameters(), model.parameters());
    assert_eq!(profile.units.len(), 1);
    let Model::Custom(custom) = model else { panic!("resnet50 of the tests is custom") };
    assert_eq!(profile.forward_flops(), custom.flops_per_sample);
    let kept: f64 = profile.units[0].kernels.iter().map(|kernel| kernel.saved_bytes_fixed).sum();
    assert_eq!(kept, custom.activation_bytes_per_sample as f64);
}
