//! Condition types, and how a condition is set without touching its transition time needlessly.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Condition types of a TrainingJob.
pub mod job {
    /// The specification can be run.
    pub const VALID: &str = "Valid";
    /// At least one size fits.
    pub const SIZED: &str = "Sized";
    /// Devices are reserved for it.
    pub const ADMITTED: &str = "Admitted";
    /// Its user suspended it.
    pub const SUSPENDED: &str = "Suspended";
    /// All its pods run.
    pub const RUNNING: &str = "Running";
    /// Its program reports progress.
    pub const REPORTING: &str = "Reporting";
    /// Its devices are used within the band.
    pub const EFFICIENT: &str = "Efficient";
    /// Its parameters and its data fit each other; absent where no law applies.
    pub const COMPUTE_OPTIMAL: &str = "ComputeOptimal";
    /// It has ended well.
    pub const COMPLETE: &str = "Complete";
    /// It has ended badly.
    pub const FAILED: &str = "Failed";
}

/// Condition types of the other kinds.
pub mod other {
    /// The object is usable.
    pub const READY: &str = "Ready";
    /// A node's resource is claimed by more than one class.
    pub const CONFLICTING: &str = "Conflicting";
}

/// Sets `condition.type_` in `conditions`: status, reason and message are replaced; the transition time moves only when
/// the status changes. Returns whether anything but times changed.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> bool {
    let status = if status { "True" } else { "False" };
    let wanted = |last_transition_time| Condition {
        last_transition_time,
        message: message.to_owned(),
        observed_generation,
        reason: reason.to_owned(),
        status: status.to_owned(),
        type_: type_.to_owned(),
    };
    let Some(at) = conditions.iter().position(|c| c.type_ == type_) else {
        conditions.push(wanted(Time(now)));
        return true;
    };
    let old = &conditions[at];
    let since = if old.status == status { old.last_transition_time.clone() } else { Time(now) };
    let new = wanted(since);
    let changed = *old != new;
    conditions[at] = new;
    changed
}

/// Whether `type_` is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let mut conditions = Vec::new();
        assert!(set(&mut conditions, job::SIZED, false, "NoFeasibleSize", "too large", Some(1), first));
        assert!(!set(&mut conditions, job::SIZED, false, "NoFeasibleSize", "too large", Some(1), later));
        assert!(set(&mut conditions, job::SIZED, false, "NoFeasibleSize", "still too large", Some(1), later));
        assert_eq!(conditions[0].last_transition_time, Time(first));
        assert!(set(&mut conditions, job::SIZED, true, "Fits", "", Some(2), later));
        assert_eq!(conditions[0].last_transition_time, Time(later));
        assert!(is_true(&conditions, job::SIZED));
    }
}
