//! DeepSeek-V2 and V3: latent attention, many small experts and shared ones, first layers dense.

use super::HuggingFaceError;
use super::fields::Fields;
use crate::model::{Experts, LatentAttention, Model, Transformer};

pub(super) fn v2(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    read(fields, false)
}

pub(super) fn v3(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    read(fields, true)
}

fn read(fields: &Fields<'_>, router_bias: bool) -> Result<Model, HuggingFaceError> {
    let heads = fields.required("num_attention_heads")?;
    let latent = LatentAttention {
        query_rank: fields.optional("q_lora_rank")?,
        kv_rank: fields.required("kv_lora_rank")?,
        plain_dim: fields.required("qk_nope_head_dim")?,
        rotary_dim: fields.required("qk_rope_head_dim")?,
        value_dim: fields.required("v_head_dim")?,
    };
    let expert = fields.required("moe_intermediate_size")?;
    let experts = Experts {
        count: fields.required("n_routed_experts")?,
        top_k: fields.required("num_experts_per_tok")?,
        ffn: expert,
        shared_ffn: fields.count("n_shared_experts", 0)?.saturating_mul(expert),
        router_bias,
        first_dense: fields.count("first_k_dense_replace", 0)?,
        every: fields.or("moe_layer_freq", 1)?,
        ..Experts::default()
    };
    Ok(Model::Transformer(Transformer {
        layers: fields.required("num_hidden_layers")?,
        hidden: fields.required("hidden_size")?,
        heads,
        kv_heads: heads,
        head_dim: latent.plain_dim.saturating_add(latent.rotary_dim),
        ffn: fields.required("intermediate_size")?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", false),
        latent: Some(latent),
        experts: Some(experts),
        ..Transformer::default()
    }))
}
