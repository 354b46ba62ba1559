//! Which release of Kubernetes a test runs on.

use plimsoll_test_cluster::{Release, UnknownRelease};

/// The current one, unless PLIMSOLL_TEST_KUBERNETES names another: `cargo xtask test --long` runs some tests on the oldest.
///
/// # Errors
/// When there is no release of that name.
#[allow(clippy::disallowed_methods, reason = "a test is told by its environment")]
pub fn under_test() -> Result<Release, UnknownRelease> {
    std::env::var("PLIMSOLL_TEST_KUBERNETES").map_or(Ok(Release::Current), |text| text.parse())
}
