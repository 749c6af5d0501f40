//! Logs on stderr, and error chains in one line.

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// Variable with the filter, in the syntax of `tracing_subscriber::EnvFilter`: `debug`, `info,worker=trace`.
pub const LOG_VARIABLE: &str = "SYNCLINE_LOG";

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("expected `human` or `json`".to_owned()),
        }
    }
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{LOG_VARIABLE} is not a log filter: {reason}")]
    Filter { reason: String },
    #[error("logging was already started")]
    Started,
}

/// Sends logs to stderr. `fallback` is the filter (`warn`, `info`) that holds unless `SYNCLINE_LOG` is set.
///
/// # Errors
/// If the filter cannot be read, or logging was started before.
pub fn init(format: LogFormat, fallback: &str) -> Result<(), TelemetryError> {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let filter = filter(wanted.as_deref().unwrap_or(fallback))?;
    // A line that cannot be written is lost: telling so on the stream that just failed would panic.
    let started = match format {
        LogFormat::Human => {
            let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(std::io::stderr)
                .with_ansi(color)
                .with_target(false)
                .log_internal_errors(false)
                .try_init()
        }
        LogFormat::Json => tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .log_internal_errors(false)
            .try_init(),
    };
    started.map_err(|_set| TelemetryError::Started)
}

fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(text).map_err(|error| TelemetryError::Filter { reason: error.to_string() })
}

/// The error and its sources, outermost first, joined by `: `.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading the spec")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("no such file")]
    struct Inner;

    #[test]
    fn a_chain_reads_from_the_outside_in() {
        assert_eq!(chain(&Outer(Inner)).to_string(), "reading the spec: no such file");
        assert_eq!(chain(&Inner).to_string(), "no such file");
    }

    #[test]
    fn filters_are_checked() {
        assert!(filter("warn,worker=debug").is_ok());
        assert!(filter("worker=loud").is_err());
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
