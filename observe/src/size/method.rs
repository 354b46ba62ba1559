//! What precision, optimizer and method of a job are to sizing.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{Method, Optimizer, Precision};

use super::{SpecError, positive};

pub(super) fn method(method: Option<&api::Method>) -> Result<Method, SpecError> {
    match method.map(|method| (method.type_, &method.lora)) {
        None | Some((api::MethodKind::Pretrain, _)) => Ok(Method::Pretrain),
        Some((api::MethodKind::Finetune, _)) => Ok(Method::Finetune),
        Some((api::MethodKind::Lora, Some(lora))) => Ok(Method::lora(positive("method.lora.rank", lora.rank)?)),
        Some((api::MethodKind::Lora, None)) => Err(SpecError::LoraRank),
    }
}

pub(super) fn precision(precision: api::Precision) -> Precision {
    match precision {
        api::Precision::Fp32 => Precision::Fp32,
        api::Precision::Tf32 => Precision::Tf32,
        api::Precision::Fp16Mixed => Precision::Fp16Mixed,
        api::Precision::Bf16Mixed => Precision::Bf16Mixed,
        api::Precision::Bf16 => Precision::Bf16,
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
    }
}
