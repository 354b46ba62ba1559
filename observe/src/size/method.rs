//! What precision, optimizer and method of a job are to sizing.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::method::reinforcement::{Algorithm, Engine, Reinforcement, Reward};
use plimsoll_sizing::{Matrices, Method, Optimizer, Precision};

use super::{SpecError, optional, positive};

/// Answers that an engine writes at once unless it is told otherwise: the default of vLLM's `max_num_seqs`.
const ANSWERS_AT_ONCE: u32 = 256;

pub(super) fn method(method: Option<&api::Method>) -> Result<Method, SpecError> {
    let Some(method) = method else { return Ok(Method::Pretrain) };
    let adapters = method.lora.as_ref().map(adapters).transpose()?;
    match method.type_ {
        api::MethodKind::Pretrain => Ok(Method::Pretrain),
        api::MethodKind::Finetune => Ok(Method::Finetune),
        api::MethodKind::Transfer => {
            let transfer = method.transfer.as_ref().ok_or(SpecError::TrainedUnits)?;
            let trained_units = positive("method.transfer.trainedUnits", transfer.trained_units)?;
            Ok(Method::Transfer { trained_units })
        }
        api::MethodKind::Lora => {
            let (rank, matrices) = adapters.ok_or(SpecError::LoraRank)?;
            Ok(Method::Lora { rank, matrices })
        }
        api::MethodKind::Qlora => {
            let (rank, matrices) = adapters.ok_or(SpecError::LoraRank)?;
            Ok(Method::Qlora { rank, matrices })
        }
        api::MethodKind::Preference => Ok(Method::Preference { adapters }),
        api::MethodKind::Private => {
            let clipping = method.private.as_ref().map(|private| private.clipping).unwrap_or_default();
            Ok(Method::Private { ghost: clipping == api::Clipping::Ghost })
        }
        api::MethodKind::Reinforcement => {
            let step = method.reinforcement.as_ref().ok_or(SpecError::Reinforcement)?;
            Ok(Method::Reinforcement(reinforcement(step)?))
        }
    }
}

fn reinforcement(step: &api::Reinforcement) -> Result<Reinforcement, SpecError> {
    let engine = step.engine.clone().unwrap_or_default();
    let reward = step.reward_parameters.map(|value| {
        let field = "method.reinforcement.rewardParameters";
        u64::try_from(value).ok().filter(|count| *count > 0).ok_or(SpecError::Number { field, value })
    });
    Ok(Reinforcement {
        algorithm: match step.algorithm {
            api::Algorithm::Ppo => Algorithm::Ppo,
            api::Algorithm::Grpo => Algorithm::Grpo,
        },
        prompt_tokens: positive("method.reinforcement.promptTokens", step.prompt_tokens)?,
        epochs: optional("method.reinforcement.epochs", step.epochs)?.unwrap_or(1),
        reward: reward.transpose()?.map_or(Reward::Rule, |parameters| Reward::Model { parameters }),
        reference: step.reference,
        engine: Engine {
            ranks: optional("method.reinforcement.engine.ranks", engine.ranks)?.unwrap_or(1),
            at_once: optional("method.reinforcement.engine.atOnce", engine.at_once)?.unwrap_or(ANSWERS_AT_ONCE),
            sleeps: engine.sleeps,
        },
    })
}

fn adapters(lora: &api::Lora) -> Result<(u32, Matrices), SpecError> {
    let matrices = match lora.matrices.unwrap_or_default() {
        api::Matrices::QueryValue => Matrices::QueryValue,
        api::Matrices::Attention => Matrices::Attention,
        api::Matrices::AllLinear => Matrices::AllLinear,
    };
    Ok((positive("method.lora.rank", lora.rank)?, matrices))
}

pub(super) fn precision(precision: api::Precision) -> Precision {
    match precision {
        api::Precision::Fp32 => Precision::Fp32,
        api::Precision::Tf32 => Precision::Tf32,
        api::Precision::Fp16Mixed => Precision::Fp16Mixed,
        api::Precision::Bf16Mixed => Precision::Bf16Mixed,
        api::Precision::Bf16 => Precision::Bf16,
        api::Precision::Fp8Mixed => Precision::Fp8Mixed,
    }
}

pub(super) fn optimizer(optimizer: api::Optimizer) -> Optimizer {
    match optimizer {
        api::Optimizer::AdamW => Optimizer::AdamW,
        api::Optimizer::AdamW8bit => Optimizer::AdamW8bit,
        api::Optimizer::Adafactor => Optimizer::Adafactor,
        api::Optimizer::Sgd => Optimizer::Sgd,
        api::Optimizer::SgdMomentum => Optimizer::SgdMomentum,
        api::Optimizer::Lion => Optimizer::Lion,
        api::Optimizer::Adagrad => Optimizer::Adagrad,
        api::Optimizer::Muon => Optimizer::Muon,
        api::Optimizer::Shampoo => Optimizer::Shampoo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Method, SpecError> {
        method(Some(&serde_yaml::from_str(yaml).expect(yaml)))
    }

    #[test]
    fn every_method_is_read_with_what_belongs_to_it() {
        let all_linear = Matrices::AllLinear;
        for (yaml, expected) in [
            ("{}", Method::Pretrain),
            ("{type: Finetune}", Method::Finetune),
            ("{type: Transfer, transfer: {trainedUnits: 2}}", Method::Transfer { trained_units: 2 }),
            ("{type: Lora, lora: {rank: 8}}", Method::lora(8)),
            ("{type: Qlora, lora: {rank: 64, matrices: AllLinear}}", Method::Qlora { rank: 64, matrices: all_linear }),
            ("{type: Preference}", Method::Preference { adapters: None }),
            (
                "{type: Preference, lora: {rank: 16, matrices: AllLinear}}",
                Method::Preference { adapters: Some((16, all_linear)) },
            ),
            ("{type: Private}", Method::Private { ghost: false }),
            ("{type: Private, private: {clipping: Ghost}}", Method::Private { ghost: true }),
        ] {
            assert_eq!(read(yaml).expect(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn a_step_of_reinforcement_learning_is_read_with_its_roles() {
        let yaml =
            "{type: Reinforcement, reinforcement: {algorithm: Ppo, promptTokens: 512, rewardParameters: 7000000000,
                    reference: true, engine: {ranks: 2, sleeps: true}}}";
        let expected = Reinforcement {
            algorithm: Algorithm::Ppo,
            prompt_tokens: 512,
            epochs: 1,
            reward: Reward::Model { parameters: 7_000_000_000 },
            reference: true,
            engine: Engine { ranks: 2, at_once: ANSWERS_AT_ONCE, sleeps: true },
        };
        assert_eq!(read(yaml).expect(yaml), Method::Reinforcement(expected));
    }

    #[test]
    fn what_a_method_needs_is_named() {
        for (yaml, field) in [
            ("{type: Reinforcement}", "method.reinforcement"),
            ("{type: Lora}", "method.lora.rank"),
            ("{type: Qlora}", "method.lora.rank"),
            ("{type: Transfer}", "method.transfer.trainedUnits"),
            ("{type: Transfer, transfer: {trainedUnits: 0}}", "method.transfer.trainedUnits"),
        ] {
            let error = read(yaml).expect_err(yaml).to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
