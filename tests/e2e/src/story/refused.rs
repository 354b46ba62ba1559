//! Whether Plimsoll asked for anything that it may not.

use std::path::Path;

use super::Finding;
use super::expect::finding;
use crate::audit::{self, Request};

/// What must hold of the apiserver's audit log.
///
/// # Errors
/// When the log cannot be read.
pub fn refused(audit_log: &Path) -> anyhow::Result<Finding> {
    let mut all = Vec::new();
    for component in ["operator", "agent"] {
        all.extend(Request::of_user(audit_log, &audit::user(component))?);
    }
    let forbidden: Vec<_> = all.iter().filter(|request| request.is_forbidden()).map(Request::said).collect();
    let seen = if forbidden.is_empty() { format!("{} requests", all.len()) } else { forbidden.join("; ") };
    Ok(finding("no request of Plimsoll's is answered 403", forbidden.is_empty() && !all.is_empty(), seen))
}
