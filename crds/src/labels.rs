//! Labels, annotations and finalizers that Plimsoll sets and reads.

/// The job that a pod belongs to.
pub const JOB_NAME: &str = "plimsoll.dev/job-name";
/// The revision of the allocation that a pod belongs to.
pub const REVISION: &str = "plimsoll.dev/revision";
/// A pod's place in its gang, from 0.
pub const POD_INDEX: &str = "plimsoll.dev/pod-index";
/// The queue of a pod's job.
pub const QUEUE_NAME: &str = "plimsoll.dev/queue-name";
/// Keeps a pod until its outcome stands in the job's status.
pub const POD_FINALIZER: &str = "plimsoll.dev/outcome";
/// `app.kubernetes.io/part-of`.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// `app.kubernetes.io/name`.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// `app.kubernetes.io/instance`.
pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";
