//! The agent on a node that is played: the driver is a library of our own, the kubelet a socket, the apiserver a
//! function. Everything between them is the real agent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may end at the first surprise")]

mod api;
mod driver;
mod holders;
mod kubelet;
mod rig;
mod status;
