//! What a row can be asked, by the columns it has.

pub mod parameters;
