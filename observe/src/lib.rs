//! Kubernetes objects to a scheduling Snapshot, without a client.
