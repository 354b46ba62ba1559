//! How many GPUs of which class each elastic job gets: backward-priced elastic scheduling.
//!
//! ```text
//! facts ─▶ objective: weights of jobs, charges for GPUs
//! jobs with their rates ─▶ order: longest work first
//!                       ─▶ prices: what a unit of each job's progress is worth, from the job that ends last backwards
//!                       ─▶ knapsack: one offer a job, of the highest worth, with what a change costs taken off: prices of GPUs
//!                          decide most of it and bound it, and what they leave open is solved exactly where that is small
//!                       ─▶ placement: nodes for what changed
//!                       ─▶ memory: what an event until the next full allocation is planned by
//! ```
//!
//! Without arrivals and restarts, and with rates that fall off with size, the sum of completion times is least when each job has
//! a constant price for a unit of progress, and every instant goes to the allocation of the highest value at these prices. Just
//! before a job ends one more job waits, so the best value then is higher by exactly its weight; that gives each job's price in
//! turn, last job first. This is derived and measured (docs/simulator.md), not proved optimal with arrivals, classes and restarts.
//!
//! All of it is pure: the same jobs in the same order give the same answer.

mod allocate;
mod fit;
mod job;
mod knapsack;
mod ladder;
mod memory;
mod objective;
#[cfg(test)]
mod oracle;
mod place;
mod prices;
mod reduced;
mod search;
mod settings;
mod worth;

pub use allocate::{Answer, allocate, allocate_charged};
pub use job::{Job, Offer, Running};
pub use knapsack::{Column, fill, states};
pub use memory::{Memory, reallocate};
pub use objective::{Facts, JobHour, Objective, Toll};
pub use place::{Nodes, Request, place};
pub use search::{Found, search};
pub use settings::{Phantom, Settings};
