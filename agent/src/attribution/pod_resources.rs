//! The kubelet's PodResources API, v1: generated from `proto/podresources.proto`. The server side is for whoever plays
//! the kubelet.

#![allow(missing_docs, clippy::all, reason = "generated")]

// An include, because rustfmt would follow a module and the file is compared byte by byte.
include!("generated/v1.rs");
