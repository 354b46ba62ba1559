//! The truth: what applications were measured to do.

mod application;
mod curve;
mod runs;
mod steps;
mod throughputs;
mod triangle;

pub use application::{Application, Catalogue, ProfileText, Times};
pub use curve::{Curve, Mix, StepTime};
pub use runs::{Gradient, Runs};
pub use steps::Steps;
pub use throughputs::Throughputs;
