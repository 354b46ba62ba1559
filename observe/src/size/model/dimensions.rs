//! Models by their dimensions.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{
    Biases, Cell, EncoderDecoder, Experts, Head, Input, Interaction, LatentAttention, Model, Norm, Positions,
    Recommender, Recurrent, Table, Transformer, Window,
};

use crate::size::{SpecError, optional, positive};

/// Ranges of distance of T5's relative positions.
const BUCKETS: u32 = 32;

pub(super) fn transformer(t: &api::Transformer) -> Result<Model, SpecError> {
    let head = match t.head.unwrap_or_default() {
        api::Head::LanguageModel => Head::LanguageModel,
        api::Head::MaskedLanguageModel => Head::MaskedLanguageModel,
        api::Head::Pooler => Head::Pooler,
    };
    let decodes = head == Head::LanguageModel;
    Ok(Model::Transformer(Transformer {
        vocabulary: positive("model.transformer.vocabulary", t.vocabulary)?,
        tied_embeddings: t.tied_embeddings,
        head,
        // Encoders have BERT's normalisations: after the embedding and after the sublayers, not once more at the end.
        embedding_norm: !decodes,
        final_norm: decodes,
        ..stack(&t.stack)?
    }))
}

pub(super) fn mixture_of_experts(t: &api::MixtureOfExperts) -> Result<Model, SpecError> {
    let experts = &t.experts;
    let capacity = optional("model.mixtureOfExperts.experts.capacityPercent", experts.capacity_percent)?;
    Ok(Model::Transformer(Transformer {
        vocabulary: positive("model.mixtureOfExperts.vocabulary", t.vocabulary)?,
        tied_embeddings: t.tied_embeddings,
        experts: Some(Experts {
            count: positive("model.mixtureOfExperts.experts.count", experts.count)?,
            top_k: positive("model.mixtureOfExperts.experts.perToken", experts.per_token)?,
            ffn: positive("model.mixtureOfExperts.experts.feedForward", experts.feed_forward)?,
            shared_ffn: optional("model.mixtureOfExperts.experts.sharedFeedForward", experts.shared_feed_forward)?
                .unwrap_or(0),
            first_dense: optional("model.mixtureOfExperts.experts.firstDense", experts.first_dense)?.unwrap_or(0),
            every: optional("model.mixtureOfExperts.experts.every", experts.every)?.unwrap_or(1),
            capacity_factor: capacity.map_or(1.0, |percent| f64::from(percent) / 100.0),
            ..Experts::default()
        }),
        ..stack(&t.stack)?
    }))
}

pub(super) fn encoder_decoder(both: &api::EncoderDecoder) -> Result<Model, SpecError> {
    let input = match &both.spectrogram {
        None => Input::SharedTokens,
        Some(sound) => Input::Spectrogram {
            bands: positive("model.encoderDecoder.spectrogram.bands", sound.bands)?,
            positions: positive("model.encoderDecoder.spectrogram.positions", sound.positions)?,
        },
    };
    Ok(Model::EncoderDecoder(Box::new(EncoderDecoder {
        encoder: Transformer { head: Head::Bare, ..stack(&both.encoder)? },
        decoder: Transformer {
            vocabulary: positive("model.encoderDecoder.vocabulary", both.vocabulary)?,
            tied_embeddings: both.tied_embeddings,
            ..stack(&both.decoder)?
        },
        input,
    })))
}

/// The blocks of any transformer, without a vocabulary.
fn stack(t: &api::Stack) -> Result<Transformer, SpecError> {
    let hidden = positive("hidden of a transformer", t.hidden)?;
    let heads = positive("heads of a transformer", t.heads)?;
    Ok(Transformer {
        layers: positive("layers of a transformer", t.layers)?,
        hidden,
        heads,
        kv_heads: optional("kvHeads of a transformer", t.kv_heads)?.unwrap_or(heads),
        head_dim: optional("headDim of a transformer", t.head_dim)?.unwrap_or_else(|| (hidden / heads).max(1)),
        ffn: optional("feedForward of a transformer", t.feed_forward)?.unwrap_or_else(|| hidden.saturating_mul(4)),
        gated_mlp: t.gated_mlp,
        biases: if t.biases { Biases::All } else { Biases::None },
        learned_positions: optional("learnedPositions of a transformer", t.learned_positions)?.unwrap_or(0),
        // Programs that leave out biases leave out those of the normalisations too.
        norm: if t.biases { Norm::Layer } else { Norm::Rms },
        positions: match t.positions.unwrap_or_default() {
            api::Positions::Rotary => Positions::Rotary,
            api::Positions::Alibi => Positions::Alibi,
            api::Positions::Relative => Positions::Relative,
            api::Positions::Buckets => Positions::Buckets(BUCKETS),
        },
        window: t.window.as_ref().map(window).transpose()?,
        latent: t.latent_attention.as_ref().map(latent).transpose()?,
        qk_norm: t.qk_norm.unwrap_or_default(),
        parallel_blocks: t.parallel_blocks.unwrap_or_default(),
        ..Transformer::default()
    })
}

fn window(window: &api::Window) -> Result<Window, SpecError> {
    Ok(Window {
        size: positive("window.size of a transformer", window.size)?,
        global_every: optional("window.globalEvery of a transformer", window.global_every)?.unwrap_or(0),
    })
}

fn latent(latent: &api::LatentAttention) -> Result<LatentAttention, SpecError> {
    let rotary = "latentAttention.rotaryDim of a transformer";
    let rotary_dim = u32::try_from(latent.rotary_dim)
        .map_err(|_| SpecError::Number { field: rotary, value: latent.rotary_dim.into() })?;
    Ok(LatentAttention {
        query_rank: optional("latentAttention.queryRank of a transformer", latent.query_rank)?,
        kv_rank: positive("latentAttention.kvRank of a transformer", latent.kv_rank)?,
        plain_dim: positive("latentAttention.plainDim of a transformer", latent.plain_dim)?,
        rotary_dim,
        value_dim: positive("latentAttention.valueDim of a transformer", latent.value_dim)?,
    })
}

pub(super) fn recurrent(r: &api::Recurrent) -> Result<Model, SpecError> {
    Ok(Model::Recurrent(Recurrent {
        cell: match r.cell {
            api::Cell::Rnn => Cell::Rnn,
            api::Cell::Lstm => Cell::Lstm,
            api::Cell::Gru => Cell::Gru,
        },
        vocabulary: optional("model.recurrent.vocabulary", r.vocabulary)?.unwrap_or(0),
        inputs: positive("model.recurrent.inputs", r.inputs)?,
        hidden: positive("model.recurrent.hidden", r.hidden)?,
        layers: positive("model.recurrent.layers", r.layers)?,
        bidirectional: r.bidirectional,
        projection: optional("model.recurrent.projection", r.projection)?,
        outputs: optional("model.recurrent.outputs", r.outputs)?.unwrap_or(0),
        tied: r.tied_embeddings,
        every_step: r.every_step,
    }))
}

pub(super) fn recommender(r: &api::Recommender) -> Result<Model, SpecError> {
    let widths = |field, widths: &[i32]| widths.iter().map(|width| positive(field, *width)).collect::<Result<_, _>>();
    let tables = |all: &[api::Table]| all.iter().map(table).collect::<Result<_, _>>();
    Ok(Model::Recommender(Recommender {
        dense: optional("model.recommender.dense", r.dense)?.unwrap_or(0),
        bottom: widths("model.recommender.bottom", &r.bottom)?,
        tables: tables(&r.tables)?,
        interaction: match r.interaction.unwrap_or_default() {
            api::Interaction::Concatenate => Interaction::Concatenate,
            api::Interaction::Dot => Interaction::Dot,
        },
        factors: tables(&r.factors)?,
        top: widths("model.recommender.top", &r.top)?,
    }))
}

fn table(table: &api::Table) -> Result<Table, SpecError> {
    let rows = SpecError::Number { field: "rows of a table of model.recommender", value: table.rows };
    Ok(Table {
        rows: u64::try_from(table.rows).ok().filter(|count| *count > 0).ok_or(rows)?,
        width: positive("width of a table of model.recommender", table.width)?,
        lookups: optional("lookups of a table of model.recommender", table.lookups)?.unwrap_or(1),
    })
}

#[cfg(test)]
mod tests {
    use plimsoll_sizing::preset::preset;

    use super::super::model;
    use super::*;

    fn shaped(yaml: &str) -> Model {
        model(&serde_yaml::from_str(yaml).expect(yaml)).expect(yaml)
    }

    #[test]
    fn a_model_by_its_dimensions_has_the_parameters_of_the_preset() {
        for (name, yaml) in [
            (
                "mixtral-8x7b",
                "mixtureOfExperts: {layers: 32, hidden: 4096, heads: 32, kvHeads: 8, gatedMlp: true, vocabulary: 32000,
                 experts: {count: 8, perToken: 2, feedForward: 14336}}",
            ),
            (
                "dlrm-criteo-terabyte",
                "recommender: {dense: 13, bottom: [512, 256, 128], interaction: Dot, top: [1024, 1024, 512, 256, 1],
                 tables: [{rows: 39884406, width: 128}, {rows: 39043, width: 128}, {rows: 17289, width: 128},
                 {rows: 7420, width: 128}, {rows: 20263, width: 128}, {rows: 3, width: 128}, {rows: 7120, width: 128},
                 {rows: 1543, width: 128}, {rows: 63, width: 128}, {rows: 38532951, width: 128},
                 {rows: 2953546, width: 128}, {rows: 403346, width: 128}, {rows: 10, width: 128},
                 {rows: 2208, width: 128}, {rows: 11938, width: 128}, {rows: 155, width: 128}, {rows: 4, width: 128},
                 {rows: 976, width: 128}, {rows: 14, width: 128}, {rows: 39979771, width: 128},
                 {rows: 25641295, width: 128}, {rows: 39664984, width: 128}, {rows: 585935, width: 128},
                 {rows: 12972, width: 128}, {rows: 108, width: 128}, {rows: 36, width: 128}]}",
            ),
        ] {
            let known = preset(name).expect(name).model;
            assert_eq!(shaped(yaml).parameters(), known.parameters(), "{name}");
        }
    }

    #[test]
    fn two_stacks_have_the_parameters_that_t5_has() {
        let by_hand = shaped(
            "encoderDecoder:
              encoder: {layers: 6, hidden: 512, heads: 8, headDim: 64, feedForward: 2048, positions: Buckets}
              decoder: {layers: 6, hidden: 512, heads: 8, headDim: 64, feedForward: 2048, positions: Buckets}
              vocabulary: 32128
              tiedEmbeddings: true",
        );
        // T5 small, as its checkpoint counts.
        assert_eq!(by_hand.parameters(), 60_506_624);
    }

    #[test]
    fn an_encoder_has_the_parameters_that_bert_has_but_for_its_token_types() {
        let by_hand = shaped(
            "transformer: {layers: 12, hidden: 768, heads: 12, vocabulary: 30522, tiedEmbeddings: true, biases: true,
             learnedPositions: 512, head: Pooler}",
        );
        // BERT base with its pooler, as its checkpoint counts, less two token types of 768.
        assert_eq!(by_hand.parameters(), 109_482_240 - 2 * 768);
    }

    #[test]
    fn an_lstm_has_the_parameters_of_its_gates() {
        let one = shaped("recurrent: {cell: Lstm, inputs: 10, hidden: 20, layers: 1}");
        // PyTorch's nn.LSTM(10, 20): 4·20·(10 + 20) weights and two biases of 4·20.
        assert_eq!(one.parameters(), 2560);
    }
}
