//! Fitting constants to tables: a minimiser without derivatives, and constants as coordinates.

mod coordinates;
mod nelder_mead;

pub use coordinates::Coordinates;
pub use nelder_mead::{Search, minimise};
