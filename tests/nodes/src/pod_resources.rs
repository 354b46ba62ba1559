//! The kubelet's PodResources API, v1: generated from `agent/proto/podresources.proto`.

#![allow(missing_docs, clippy::all, reason = "generated")]

// An include, because rustfmt would follow a module and the file is compared byte by byte.
include!("generated/v1.rs");
