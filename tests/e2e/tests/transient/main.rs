//! What does not last: images that do not come, containers that fail or never end, pods that are refused or taken away,
//! nodes that are drained or do not answer, jobs that give way. Each is a scenario on the real node, with its true reason and end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at the first surprise")]

mod containers;
mod job;
mod nodes;
mod refusals;
mod turns;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use plimsoll_e2e::binaries::Binaries;
use plimsoll_e2e::scenario::Play;
use plimsoll_e2e::stage::{Stage, StageSpec};

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(real_node),
    ignore = "needs root, runc, CNI plugins, nftables, iproute2 and cc; touch build.rs once they are there"
)]
async fn what_does_not_last_is_said_truly_and_ends_as_it_should() -> Result<()> {
    let say = |line: &str| eprintln_in_test(line);
    let binaries = Binaries::build(&say).await?;
    let spec = StageSpec {
        name: "transient".to_owned(),
        cluster: Some(here("cluster.yaml")),
        values: vec![here("values.yaml")],
        ..StageSpec::default()
    };
    let mut stage = Stage::set(&spec, &binaries, &say).await?;
    ensure!(stage.cluster.has_real_node(), "no real node: what is missing is said above");
    let play = Play::on(&mut stage);
    // Side by side, as far as they are not about the whole node.
    let together = [containers::all(), refusals::all(), vec![nodes::force_deleted()]].concat();
    try_join_all(together.iter().map(|scenario| play.whole(scenario, &say))).await?;
    play.whole(&turns::gives_way(), &say).await?;
    // A job has run for a minute before a drain waits for it.
    let drained = nodes::drained();
    play.begin(&drained).await?;
    play.whole(&nodes::kubelet(), &say).await?;
    play.go_on(&drained, &say).await?;
    stage.cluster.down().await?;
    Ok(())
}

/// A file beside this one.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transient").join(name)
}

#[allow(clippy::print_stderr, reason = "libtest shows it when the test fails, or with --nocapture")]
fn eprintln_in_test(line: &str) {
    eprintln!("{line}");
}
