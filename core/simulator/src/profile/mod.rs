//! The truth: what applications were measured to do.

mod application;
mod curve;
mod runs;
mod scattered;
mod steps;
mod throughputs;

pub use application::{Application, Catalogue, ProfileText, Times};
pub use curve::{Curve, StepTime};
pub use runs::{Gradient, Runs};
pub use steps::Steps;
pub use throughputs::Throughputs;
