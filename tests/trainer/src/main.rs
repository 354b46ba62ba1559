//! A training program without a framework, for demos and tests of real containers.
//!
//! It keeps the contract of docs/training-contract.md: it prints what it was given as one JSON line, trains by waiting,
//! reports, does what the reply asks, and writes a checkpoint when it is told to end.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its log is its output")]

mod args;
mod checkpoint;
mod endpoint;
mod rendezvous;
mod training;

use anyhow::Context as _;
use clap::Parser as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::args::Args;
use self::training::Training;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Before all else: the first process of a container ignores a signal that it does not handle.
    let mut ended = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let args = Args::parse();
    let resumed = args.resume_dir().map(checkpoint::read).transpose()?.flatten();
    println!("{}", first_line(&args, resumed));
    if let Some(name) = rendezvous::name() {
        println!("{}", json!({"event": "rendezvous", "name": name, "addresses": rendezvous::addresses(&name).await?}));
    }
    let memory = allocate(args.allocate_mib)?;
    let outcome = Training::new(args, resumed).run(&mut ended).await;
    drop(memory);
    println!("{}", serde_json::to_string(&outcome?)?);
    Ok(())
}

/// What the program was given.
fn first_line(args: &Args, resumed: Option<u64>) -> serde_json::Value {
    let mut environment = serde_json::Map::new();
    for (name, value) in std::env::vars_os() {
        // All of it, save the addresses of Services, which are the cluster's: a test compares it with the contract.
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if !name.starts_with("KUBERNETES_") {
            environment.insert(name.into_owned(), value.into());
        }
    }
    // Variables come in any order.
    environment.sort_keys();
    json!({
        "event": "started",
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "seconds": args.seconds,
        "allocateMib": args.allocate_mib,
        "resumedFromStep": resumed,
        "environment": environment,
    })
}

/// Takes host memory. Written to, since memory that is only asked for takes no room.
fn allocate(mebibytes: usize) -> anyhow::Result<Vec<u8>> {
    let bytes = mebibytes.checked_mul(1 << 20).context("failed to allocate: that many MiB are no size")?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).with_context(|| format!("failed to allocate {mebibytes} MiB"))?;
    memory.resize(bytes, 1);
    Ok(std::hint::black_box(memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_as_large_as_asked() {
        assert_eq!(allocate(3).unwrap().len(), 3 << 20);
        assert!(allocate(usize::MAX).is_err());
    }

    #[test]
    fn the_first_line_says_what_was_asked_for() {
        let args = Args::try_parse_from(["trainer", "--seconds", "2", "--allocate-mib", "7"]).unwrap();
        let line = first_line(&args, Some(4));
        assert_eq!(
            (&line["seconds"], &line["allocateMib"], &line["resumedFromStep"]),
            (&2.0.into(), &7.into(), &4.into())
        );
        assert!(!line.to_string().contains('\n'));
    }
}
