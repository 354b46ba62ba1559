//! The kubelet's device plugin API, v1beta1: generated from `proto/deviceplugin.proto`.

#![allow(missing_docs, dead_code, clippy::all, reason = "generated; tests play the kubelet's side")]

// An include, because rustfmt would follow a module and the file is compared byte by byte.
include!("generated/v1beta1.rs");
