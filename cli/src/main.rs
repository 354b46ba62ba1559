//! `plimsoll`: size a job without a cluster.

use std::process::ExitCode;

fn main() -> ExitCode {
    plimsoll_cli::main("plimsoll")
}
