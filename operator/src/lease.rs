//! Who leads: one Lease, and a fence that no write passes after the lease's deadline. Client required.
//!
//! The deadline is kept by the monotonic clock of this process and counts from *before* the renewal was sent, so that a
//! slow apiserver or a paused process can only make it earlier. Other holders' leases expire by how long this process
//! has seen them unchanged, so that clocks of two machines are never compared.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

/// Leading ended, or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It was not renewed in time, or another replica has it.
    #[error("lost the lease {name}: {why}")]
    Lost {
        /// Name of the Lease.
        name: String,
        /// What happened.
        why: String,
    },
}

/// Refuses writes after the lease's deadline. Cheap to clone; every write asks it first.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Instant>>>);

/// A write that came too late.
#[derive(Debug, thiserror::Error)]
#[error("failed to write: the lease is over")]
pub struct Fenced;

impl Fence {
    /// Whether writes may pass now.
    ///
    /// # Errors
    /// When this replica does not lead.
    pub fn check(&self) -> Result<(), Fenced> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(deadline) if Instant::now() < deadline => Ok(()),
            _ => Err(Fenced),
        }
    }

    /// Opens the fence until `deadline`, or closes it.
    pub fn set(&self, deadline: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    fn deadline(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The competition for one Lease.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    fence: Fence,
    seen: Option<Seen>,
}

/// What was last seen of the Lease, and since when it has looked so.
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// What to do with a Lease that was read.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is ours, or nobody's, or its holder went silent.
    Take,
    /// Its holder still has time.
    Wait,
}

impl Election {
    /// Competes for `namespace/name` as `identity`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, duration: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.into(),
            identity: identity.into(),
            duration,
            fence: Fence::default(),
            seen: None,
        }
    }

    /// The fence of this replica.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Waits until this replica leads. Failing calls are tried again for ever: a standby has nothing else to do.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, lease = self.name, "failed to compete for the lease"),
            }
            // More often than a holder renews: nobody leads between the end of its lease and the next look.
            tokio::time::sleep(self.duration / 15).await;
        }
    }

    /// Renews until the lease is lost.
    ///
    /// # Errors
    /// Always, once it is lost.
    pub async fn hold(&mut self) -> LeaseError {
        loop {
            tokio::time::sleep(self.retry()).await;
            let why = match self.attempt().await {
                Ok(true) => continue,
                Ok(false) => "another replica holds it".to_owned(),
                Err(error) => error,
            };
            if self.fence.check().is_err() || why.starts_with("another") {
                self.fence.set(None);
                return LeaseError::Lost { name: self.name.clone(), why };
            }
            tracing::warn!(why, lease = self.name, "failed to renew the lease");
        }
    }

    /// Gives the lease back, so that the other replica need not wait for it to expire.
    pub async fn release(&mut self) {
        if self.fence.check().is_err() {
            return;
        }
        self.fence.set(None);
        let released = tokio::time::timeout(Duration::from_secs(2), async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        });
        if let Err(error) = released.await.map_err(|e| e.to_string()).and_then(|r| r.map_err(|e| e.to_string())) {
            tracing::warn!(error, lease = self.name, "failed to release the lease; it expires by itself");
        }
    }

    fn retry(&self) -> Duration {
        self.duration / 5
    }

    /// One try to take or renew. What takes longer than the lease has left is given up.
    async fn attempt(&mut self) -> Result<bool, String> {
        let patience = self.fence.deadline().map_or(self.duration, |d| d.saturating_duration_since(Instant::now()));
        let limit = patience.clamp(Duration::from_millis(200), self.duration / 2);
        match tokio::time::timeout(limit, self.take()).await {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }

    async fn take(&mut self) -> Result<bool, kube::Error> {
        let asked = Instant::now();
        let old = self.api.get_opt(&self.name).await?;
        let version = old.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if self.seen.as_ref().is_none_or(|seen| seen.version != version) {
            self.seen = Some(Seen { version, since: asked });
        }
        let unchanged = self.seen.as_ref().map_or(Duration::ZERO, |seen| asked.duration_since(seen.since));
        let spec = old.as_ref().and_then(|lease| lease.spec.as_ref());
        if decide(spec, &self.identity, unchanged) == Step::Wait {
            return Ok(false);
        }
        let lease = self.written(old, Timestamp::now());
        let params = PostParams::default();
        let result = match &lease.metadata.resource_version {
            Some(_) => self.api.replace(&self.name, &params, &lease).await,
            None => self.api.create(&params, &lease).await,
        };
        match result {
            Ok(_) => {
                self.fence.set(Some(asked + self.duration));
                Ok(true)
            }
            // Another replica was faster; what it wrote is read at the next try.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(self.fence.check().is_ok()),
            Err(error) => Err(error),
        }
    }

    /// The Lease as this replica writes it, over what was read.
    fn written(&self, old: Option<Lease>, now: Timestamp) -> Lease {
        let mut lease = old.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.renew_time = Some(MicroTime(now));
        spec.lease_duration_seconds = i32::try_from(self.duration.as_secs()).ok();
        lease
    }
}

/// Whether a Lease may be taken, given for how long this process has seen it unchanged.
fn decide(spec: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Step {
    let Some(spec) = spec else { return Step::Take };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let duration = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    if holder.is_empty() || holder == me || unchanged > Duration::from_secs(duration) { Step::Take } else { Step::Wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.into()), lease_duration_seconds: Some(15), ..LeaseSpec::default() }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_ours_or_silent_for_its_duration() {
        assert_eq!(decide(None, "a", Duration::ZERO), Step::Take);
        assert_eq!(decide(Some(&LeaseSpec::default()), "a", Duration::ZERO), Step::Take);
        assert_eq!(decide(Some(&held_by("a")), "a", Duration::ZERO), Step::Take);
        assert_eq!(decide(Some(&held_by("b")), "a", Duration::ZERO), Step::Wait);
        assert_eq!(decide(Some(&held_by("b")), "a", Duration::from_secs(15)), Step::Wait);
        assert_eq!(decide(Some(&held_by("b")), "a", Duration::from_secs(16)), Step::Take);
    }

    #[test]
    fn no_write_passes_a_closed_or_expired_fence() {
        let fence = Fence::default();
        assert!(fence.check().is_err(), "a replica that never led may not write");
        let now = Instant::now();
        fence.set(Some(now + Duration::from_secs(60)));
        assert!(fence.check().is_ok());
        fence.set(Some(now));
        assert!(fence.check().is_err());
        fence.set(None);
        assert!(fence.check().is_err());
    }
}
