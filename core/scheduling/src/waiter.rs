//! A job that does not start in this cycle, and why.

use jiff::{SignedDuration, Timestamp};
use plimsoll_menu::ClassName;

use crate::books::Books;
use crate::cluster::Cluster;
use crate::kinds::Kind;
use crate::namespace_quota::charges;
use crate::options::Options;
use crate::{Job, JobKey};

/// A job that does not start in this cycle.
pub(crate) struct Waiter<'a> {
    pub(crate) job: &'a Job,
    pub(crate) kind: Kind,
    pub(crate) options: Options<'a>,
    /// An earlier job for which what it could use is kept.
    pub(crate) kept_for: Option<&'a JobKey>,
    /// What is kept for it.
    pub(crate) promise: Option<Promise>,
}

/// With what a job's wait ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Promise {
    /// With what is coming back already.
    Coming {
        /// Within these seconds.
        grace_seconds: f64,
    },
    /// With what others were told to give back for it.
    Preempted {
        /// So many devices.
        gpus: u32,
        /// Within these seconds.
        grace_seconds: f64,
    },
    /// With what is predicted to end.
    Predicted {
        /// Seconds from now.
        seconds: f64,
    },
}

impl Promise {
    /// When it starts as far as that is predicted; `None` when its devices are being given back.
    pub(crate) fn at(self, now: Timestamp) -> Option<Timestamp> {
        let Self::Predicted { seconds } = self else { return None };
        let wait = SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::MAX);
        Some(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
    }
}

/// What somebody waits for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want<'a> {
    /// Devices of a class.
    Devices(&'a ClassName),
    /// First of all its queue's quota for devices of a class: who is of another queue takes nothing from it.
    QueueQuota { queue: &'a str, class: &'a ClassName },
    /// Its share of a ResourceQuota, of any resource in it.
    NamespaceQuota { namespace: &'a str, name: &'a str },
}

impl<'a> Waiter<'a> {
    /// What it wants: devices of a class, or first of all a quota for them.
    pub(crate) fn wants(&self, cluster: &Cluster<'a>, books: &Books<'a>) -> Vec<Want<'a>> {
        let Options::Some { queue, takeable, .. } = &self.options else { return Vec::new() };
        let (job, queue) = (self.job, *queue);
        let namespace = job.key.namespace.as_str();
        let quotas = job.namespace_quotas.iter().map(|name| Want::NamespaceQuota { namespace, name });
        let devices = takeable.iter().filter_map(|candidate| {
            let class = &candidate.shape.class;
            if !books.now.quota_allows(queue, class, candidate.shape.gpus()) {
                return Some(Want::QueueQuota { queue: &queue.name, class });
            }
            let blocked = books.now.too_little(&charges(cluster, job, &candidate.shape)).is_some();
            (!blocked).then_some(Want::Devices(class))
        });
        quotas.chain(devices).collect()
    }
}
