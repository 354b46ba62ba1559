//! How large a batch is worth it.
//!
//! A larger batch needs fewer steps and more samples. Where both are paid alike lies the critical batch. It can be measured
//! on the job itself ([`NoiseScale`]) or expected from laws fitted on other language models ([`batch_range()`]); what it
//! costs to leave it follows from one equation ([`TradeOff`]). [`choose_batch()`] picks a global batch from the user's range
//! by goodput and cuts it exactly; [`learning_rate()`] and [`warm_up()`] say in words what a change of batch asks of the
//! program.
//!
//! Batches here are real numbers of samples or of tokens, as the caller likes, as long as one calculation keeps to one.

mod choose;
mod laws;
mod learning_rate;
mod noise_scale;
mod trade_off;

pub use choose::{BatchRangeError, Goodput, choose_batch};
pub use laws::{BatchLaw, BatchRange, LawBatch, Meaning, Regime, batch_range, warm_up};
pub use learning_rate::{LearningRate, UpdateRule, adascale_gain, learning_rate};
pub use noise_scale::{GradientNorm, NoiseError, NoiseEstimate, NoiseScale};
pub use trade_off::TradeOff;
