//! GPT-2 and what came of it: LayerNorm, plain feed-forward layers.

use super::HuggingFaceError;
use super::fields::{Fields, divided};
use crate::model::{Biases, Model, Norm, Positions, Transformer, Window};

type Read<T> = Result<T, HuggingFaceError>;

/// LayerNorm, biases everywhere, a feed-forward layer of four times the width.
fn plain(hidden: u32, layers: u32, heads: u32, names: [&'static str; 2]) -> Read<Transformer> {
    let [hidden_field, heads_field] = names;
    Ok(Transformer {
        layers,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: divided(hidden_field, hidden, heads_field, heads)?,
        ffn: hidden.saturating_mul(4),
        gated_mlp: false,
        biases: Biases::All,
        norm: Norm::Layer,
        ..Transformer::default()
    })
}

pub(super) fn gpt2(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(second(fields)?))
}

fn second(fields: &Fields<'_>) -> Read<Transformer> {
    let base = plain(
        fields.required("n_embd")?,
        fields.required("n_layer")?,
        fields.required("n_head")?,
        ["n_embd", "n_head"],
    )?;
    Ok(Transformer {
        ffn: fields.or("n_inner", base.ffn)?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        learned_positions: fields.required("n_positions")?,
        ..base
    })
}

pub(super) fn gpt_bigcode(fields: &Fields<'_>) -> Read<Model> {
    let base = second(fields)?;
    let kv_heads = if fields.flag("multi_query", true) { 1 } else { base.heads };
    Ok(Model::Transformer(Transformer { kv_heads, ..base }))
}

pub(super) fn starcoder2(fields: &Fields<'_>) -> Read<Model> {
    let base = named(fields)?;
    let bare = !fields.flag("use_bias", true);
    let window = fields.optional("sliding_window")?.map(|size| Window { size, global_every: 0 });
    Ok(Model::Transformer(Transformer {
        kv_heads: fields.or("num_key_value_heads", base.heads)?,
        ffn: fields.required("intermediate_size")?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        biases: if bare { Biases::None } else { Biases::All },
        window,
        ..base
    }))
}

pub(super) fn gptj(fields: &Fields<'_>) -> Read<Model> {
    let base = plain(
        fields.required("n_embd")?,
        fields.required("n_layer")?,
        fields.required("n_head")?,
        ["n_embd", "n_head"],
    )?;
    Ok(Model::Transformer(Transformer {
        ffn: fields.or("n_inner", base.ffn)?,
        vocabulary: fields.required("vocab_size")?,
        biases: Biases::FeedForward,
        head_bias: true,
        norms_per_layer: 1,
        parallel_blocks: true,
        ..base
    }))
}

pub(super) fn gpt_neo(fields: &Fields<'_>) -> Read<Model> {
    let base = plain(
        fields.required("hidden_size")?,
        fields.required("num_layers")?,
        fields.required("num_heads")?,
        ["hidden_size", "num_heads"],
    )?;
    // Every second layer is local.
    let window = Window { size: fields.or("window_size", 256)?, global_every: 2 };
    Ok(Model::Transformer(Transformer {
        ffn: fields.or("intermediate_size", base.ffn)?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        learned_positions: fields.required("max_position_embeddings")?,
        biases: Biases::OutputAndFeedForward,
        window: Some(window),
        ..base
    }))
}

/// `hidden_size`, `num_hidden_layers`, `num_attention_heads`.
fn named(fields: &Fields<'_>) -> Read<Transformer> {
    plain(
        fields.required("hidden_size")?,
        fields.required("num_hidden_layers")?,
        fields.required("num_attention_heads")?,
        ["hidden_size", "num_attention_heads"],
    )
}

pub(super) fn gpt_neox(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(Transformer {
        ffn: fields.required("intermediate_size")?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", false),
        parallel_blocks: fields.flag("use_parallel_residual", true),
        ..named(fields)?
    }))
}

pub(super) fn phi(fields: &Fields<'_>) -> Read<Model> {
    let base = named(fields)?;
    Ok(Model::Transformer(Transformer {
        kv_heads: fields.or("num_key_value_heads", base.heads)?,
        ffn: fields.required("intermediate_size")?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", false),
        head_bias: true,
        norms_per_layer: 1,
        parallel_blocks: true,
        ..base
    }))
}

pub(super) fn opt(fields: &Fields<'_>) -> Read<Model> {
    let base = named(fields)?;
    let width = fields.optional("word_embed_proj_dim")?.filter(|width| *width != base.hidden);
    let before = fields.flag("do_layer_norm_before", true);
    Ok(Model::Transformer(Transformer {
        ffn: fields.required("ffn_dim")?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        // Two rows more than positions, for padding.
        learned_positions: fields.required("max_position_embeddings")?.saturating_add(2),
        biases: if fields.flag("enable_bias", true) { Biases::All } else { Biases::None },
        embedding_width: width,
        final_norm: before && !fields.flag("_remove_final_layer_norm", false),
        ..base
    }))
}

pub(super) fn bloom(fields: &Fields<'_>) -> Read<Model> {
    let base = plain(
        fields.either("hidden_size", "n_embed")?,
        fields.either("n_layer", "num_hidden_layers")?,
        fields.either("n_head", "num_attention_heads")?,
        ["hidden_size", "n_head"],
    )?;
    Ok(Model::Transformer(Transformer {
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        positions: Positions::Alibi,
        embedding_norm: true,
        ..base
    }))
}

pub(super) fn falcon(fields: &Fields<'_>) -> Read<Model> {
    let base = plain(
        fields.required("hidden_size")?,
        fields.either("num_hidden_layers", "n_layer")?,
        fields.either("num_attention_heads", "n_head")?,
        ["hidden_size", "num_attention_heads"],
    )?;
    let newer = fields.flag("new_decoder_architecture", false);
    let parallel = newer || fields.flag("parallel_attn", true);
    let kv_heads = match (newer, fields.flag("multi_query", true)) {
        (true, _) => fields.either("num_kv_heads", "n_head_kv")?,
        (false, true) => 1,
        (false, false) => base.heads,
    };
    Ok(Model::Transformer(Transformer {
        kv_heads,
        ffn: fields.or("ffn_hidden_size", base.ffn)?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        biases: if fields.flag("bias", false) { Biases::All } else { Biases::None },
        positions: if fields.flag("alibi", false) { Positions::Alibi } else { Positions::Rotary },
        norms_per_layer: if parallel && !newer { 1 } else { 2 },
        parallel_blocks: parallel,
        ..base
    }))
}

pub(super) fn mpt(fields: &Fields<'_>) -> Read<Model> {
    let base = plain(
        fields.required("d_model")?,
        fields.required("n_layers")?,
        fields.required("n_heads")?,
        ["d_model", "n_heads"],
    )?;
    let alibi = fields.inside("attn_config").is_some_and(|inside| inside.flag("alibi", false));
    let groups = match fields.inside("attn_config") {
        Some(inside) => inside.or("kv_n_heads", base.heads)?,
        None => base.heads,
    };
    let learned = fields.flag("learned_pos_emb", true) && !alibi;
    let bare = fields.flag("no_bias", true);
    Ok(Model::Transformer(Transformer {
        kv_heads: groups,
        ffn: base.hidden.saturating_mul(fields.or("expansion_ratio", 4)?),
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        learned_positions: if learned { fields.required("max_seq_len")? } else { 0 },
        biases: if bare { Biases::None } else { Biases::All },
        norm: if bare { Norm::Rms } else { Norm::Layer },
        positions: if alibi { Positions::Alibi } else { Positions::Rotary },
        ..base
    }))
}
