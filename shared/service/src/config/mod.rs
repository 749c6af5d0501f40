//! From the spec file to a checked `RunSpec`, or to messages that say where and what to do.
//!
//! Two steps: YAML → raw types (`raw`), which stops at the first misfit; raw → model (`validate`), which finds all
//! problems at once. Nothing past this module sees the raw types.

mod alerts;
mod connection;
mod error;
mod fields;
mod form;
mod incremental;
mod parse;
mod raw;
mod redact;
mod schedule;
mod schema;
mod tables;
mod units;
mod url;
mod validate;

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use model::{RunSpec, Schedule};

pub use error::{SpecError, SpecProblem};
pub use schema::spec_schema;
pub(crate) use url::{mongodb_url, percent_decode};

pub use units::{parse_byte_rate, parse_millis, parse_row_rate};

use crate::secret::{Variables, process_variable};

/// A spec is written by hand; nothing larger is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A spec that may be run.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSpec {
    pub spec: RunSpec,
    /// What is allowed but unwise, a sentence each. `check --strict` refuses it.
    pub warnings: Vec<String>,
    /// When `serve` runs it; absent: only when asked for.
    pub schedule: Option<Schedule>,
    /// It is meant where no pipeline is named.
    pub is_default: bool,
}

/// Reads and checks a spec file.
///
/// # Errors
/// If it cannot be read or is not valid.
pub fn load_spec(path: &Path) -> Result<LoadedSpec, SpecError> {
    let name = path.display().to_string();
    match read(path) {
        Ok(text) => parse_spec(&text, &name),
        Err(error) => Err(SpecError::unreadable(&name, &error)),
    }
}

/// Checks the text of a spec. `name` is what messages call it: its path.
///
/// # Errors
/// If it is not valid.
pub fn parse_spec(text: &str, name: &str) -> Result<LoadedSpec, SpecError> {
    parse_spec_with(text, name, &process_variable)
}

fn parse_spec_with(text: &str, name: &str, variables: Variables<'_>) -> Result<LoadedSpec, SpecError> {
    let refuse = |problems| SpecError::invalid(name, text, problems);
    let raw = parse::parse(text).map_err(|problem| refuse(vec![problem]))?;
    validate::validate(&raw, variables).map_err(refuse)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
