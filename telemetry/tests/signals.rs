//! What the system's signals do to a process, seen from outside.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plimsoll_telemetry::shutdown;

/// The process under test: this very binary, asked for one ignored test.
#[tokio::test]
#[ignore = "run by the other tests as a process of its own"]
async fn process_that_never_ends_by_itself() {
    let wish = shutdown::Signal::install().unwrap();
    println!("listens");
    wish.wait().await;
    println!("winds down");
    std::future::pending::<()>().await;
}

fn start() -> (Child, impl FnMut(&str)) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process_that_never_ends_by_itself", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let until = move |wanted: &str| {
        assert!(lines.any(|line| line.unwrap().ends_with(wanted)), "the process ended before it said {wanted}");
    };
    (child, until)
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn the_first_signal_is_a_wish_and_the_second_an_order() {
    for (first, second, code) in [(Signal::SIGTERM, Signal::SIGINT, 130), (Signal::SIGINT, Signal::SIGTERM, 143)] {
        let (mut child, mut until) = start();
        until("listens");
        send(&child, first);
        until("winds down");
        assert!(child.try_wait().unwrap().is_none(), "the first signal must not end the process");
        send(&child, second);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}
