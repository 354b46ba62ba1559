//! Compute-optimality: how many parameters and tokens a budget is worth, and what a given choice of them costs.
//!
//! All of it rests on a [`LossLaw`]: an equation fitted to the final losses of many language models, with the ranges that
//! it was fitted on. [`judge`] gives the verdict on a model in one call. From a law come the [`Optimum`] of a budget, the [`Verdict`] on a job, the optimum when the model is
//! to be served ([`LossLaw::when_served`]), the worth of repeated [`Data`], the choice among [`Variant`]s, and trades at
//! one loss ([`LossLaw::trades`]). [`law_for`] says where no law applies. A sweep of one's own can be fitted with
//! [`fit()`].
//!
//! Conventions: losses in nats per token, `N` counts parameters, `D` tokens seen in training, training takes `6·N·D` FLOPs
//! (arXiv 2001.08361, section 2.1). A law moves with tokenizer, data and schedule: trust differences more than values.

mod bfgs;
mod budget;
mod count;
mod fit;
mod law;
mod opinion;
mod optimal;
mod published;
mod repeat;
mod served;
mod solve;
mod subject;
mod trade;
mod validity;
mod variant;
mod verdict;

pub use budget::{Budget, BudgetError, Rates, Spending};
pub use count::Count;
pub use fit::{Fit, FitError, Point, fit};
pub use law::{Counting, FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, PowerTerm};
pub use opinion::{Opinion, opinions};
pub use optimal::Optimum;
pub use repeat::{Data, Repeats};
pub use served::{ServedOptimum, Serving};
pub use subject::{NotApplicable, Subject, judge, law_for};
pub use trade::Trade;
pub use validity::{Beyond, FittedOn, Quantity, Validity};
pub use variant::{Choice, Unreachable, Variant, cheapest_to_reach, lowest_loss_within};
pub use verdict::{Standing, Verdict};
