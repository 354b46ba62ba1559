//! What precision, optimizer and method of a job are to sizing.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{Matrices, Method, Optimizer, Precision};

use super::{SpecError, positive};

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
    }
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
    fn what_a_method_needs_is_named() {
        for (yaml, field) in [
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
