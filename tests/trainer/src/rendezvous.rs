//! Where the pods of a revision meet: a name that the cluster's DNS knows once pod 0 has an address.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

/// How long the name may take to be known.
const BOUND: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// The name and port to meet at; `None` in a revision of one pod.
#[allow(clippy::disallowed_methods, reason = "the contract's variables, read once at the start")]
pub(crate) fn name() -> Option<String> {
    let given = |name: &str| std::env::var(name).ok();
    (given("PET_NNODES")? != "1").then(|| Some(format!("{}:{}", given("MASTER_ADDR")?, given("MASTER_PORT")?)))?
}

/// The addresses behind a name and port.
pub(crate) async fn addresses(name: &str) -> anyhow::Result<BTreeSet<IpAddr>> {
    let deadline = Instant::now() + BOUND;
    loop {
        match tokio::net::lookup_host(name).await {
            Ok(found) => return Ok(found.map(|address| address.ip()).collect()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("failed to find the rendezvous {name}"));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
