//! Where log lines go and what they look like.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, filter::ParseError};

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for a log store.
    #[default]
    Json,
    /// For people.
    Text,
}

/// A name that is no [`Format`].
#[derive(Debug, thiserror::Error)]
#[error("failed to read log format {0:?}: it is json or text")]
pub struct FormatError(String);

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter has a wrong form.
    #[error("failed to read log filter {filter:?}")]
    ReadFilter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// This process logs already.
    #[error("failed to install the log subscriber")]
    Install(#[source] TryInitError),
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        match name.to_ascii_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(FormatError(name.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// Sends the log lines that pass `filter` (as in `info,kube=warn`) to standard error. Once per process.
pub fn init(format: Format, filter: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LoggingError::ReadFilter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        // Colours are for eyes: a pipe or a file gets none.
        Format::Text if !io::stderr().is_terminal() => lines.with_ansi(false).boxed(),
        Format::Text => lines.boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().map_err(LoggingError::Install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_reads_back_what_it_writes() {
        for format in [Format::Json, Format::Text] {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        assert_eq!("JSON".parse::<Format>().unwrap(), Format::Json);
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("json or text"));
    }

    #[test]
    fn a_wrong_filter_is_refused_and_a_second_start_too() {
        assert!(matches!(init(Format::Json, "plimsoll=loud"), Err(LoggingError::ReadFilter { .. })));
        init(Format::Json, "info,plimsoll_telemetry=debug").unwrap();
        assert!(matches!(init(Format::Text, "info"), Err(LoggingError::Install(_))));
    }
}
