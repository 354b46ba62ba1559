//! `kubectl plimsoll`: the same command under the name by which kubectl finds its plugins.

use std::process::ExitCode;

fn main() -> ExitCode {
    plimsoll_cli::main("kubectl plimsoll")
}
