//! The plimsoll command: size a job, plan a saved snapshot, simulate a workload.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failure, 2 bad usage, 3 the job is valid
//! but does not fit.

mod args;
mod palette;
mod plan;
mod simulate;
mod size;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use thiserror::Error;

use args::{Args, Command};

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    #[error("failed to size")]
    Size(#[from] size::SizeError),
    #[error("failed to plan")]
    Plan(#[from] plan::PlanError),
    #[error("failed to simulate")]
    Simulate(#[from] simulate::SimulateError),
    #[error("failed to write the output")]
    Write(#[from] io::Error),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// It failed.
    Failed,
    /// It was called wrongly.
    Usage,
    /// The job is valid but does not fit.
    DoesNotFit,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 2,
            Outcome::DoesNotFit => 3,
        })
    }
}

/// Runs the command with the process's arguments and streams; `name` is what usage calls it.
pub fn main(name: &'static str) -> ExitCode {
    run(name, std::env::args_os(), &mut anstream::stdout().lock(), &mut anstream::stderr().lock()).into()
}

/// Runs the command.
pub fn run(
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Outcome {
    let command = Args::command().name(name).bin_name(name);
    let args = match command.try_get_matches_from(arguments).and_then(|matches| Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => {
            let stream: &mut dyn Write = if error.use_stderr() { &mut *stderr } else { &mut *stdout };
            // A closed stream leaves nobody to tell.
            let _ = write!(stream, "{}", error.render().ansi());
            return if error.use_stderr() { Outcome::Usage } else { Outcome::Done };
        }
    };
    match dispatch(name, args.command, stdout, stderr) {
        Ok(outcome) => outcome,
        // `plimsoll size | head` is no failure.
        Err(CommandError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Done,
        Err(error) => {
            let _ = writeln!(stderr, "error: {}", chain(&error));
            Outcome::Failed
        }
    }
}

fn dispatch(
    name: &'static str,
    command: Command,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    match command {
        Command::Size(args) => size::run(&args, stdout, stderr),
        Command::Plan(args) => plan::run(&args, stdout, stderr),
        Command::Simulate(args) => simulate::run(&args, stdout, stderr),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            // Completion is for the word that is typed, which for a plugin is its file name.
            clap_complete::generate(shell, &mut Args::command(), name.replace(' ', "-"), &mut script);
            stdout.write_all(&script)?;
            Ok(Outcome::Done)
        }
        Command::Version => {
            writeln!(stdout, "plimsoll {}", env!("CARGO_PKG_VERSION"))?;
            Ok(Outcome::Done)
        }
    }
}

/// An error with its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
