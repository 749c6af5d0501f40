//! YAML text → raw types. What the parser reports becomes a problem with a code; its words about values do not.

use serde_saphyr::{Error, Location};

use super::error::SpecProblem;
use super::form::Place;
use super::raw::RawSpec;
use crate::problem::{Page, code};

/// Keys of the design that this version does not have yet.
const LATER: [&str; 2] = ["owner", "capture_user_edits"];

pub(super) fn parse(text: &str) -> Result<RawSpec, SpecProblem> {
    // A spec is a page of text: far less than what the parser would take.
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_depth: 16,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 2, // So that a second one gets an error of its own.
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(&error))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser's errors: what is not named below is a syntax error"
)]
fn problem(error: &Error) -> SpecProblem {
    let at = error.location();
    match error {
        Error::AliasError { error, .. } => problem(error),
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected, at),
        Error::SerdeMissingField { field, .. } => {
            placed(code::MISSING_KEY, format!("key `{field}` is missing"), at).label("belongs here")
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_ref().map_or_else(String::new, |key| format!(" `{key}`"));
            placed(code::REPEATED_KEY, format!("key{key} stands twice"), at).help("remove one of the two")
        }
        // `unexpected` may hold the value itself, and with it a secret.
        Error::SerdeInvalidType { expected, .. }
        | Error::SerdeInvalidValue { expected, .. }
        | Error::SerdeInvalidLength { expected, .. } => wrong_type(expected, at),
        Error::InvalidScalar { ty, .. } => wrong_type(ty, at),
        Error::Unexpected { expected, .. } => wrong_type(expected, at),
        Error::NullIntoString { .. } => wrong_type("text", at).help("give a value, or remove the key"),
        Error::TaggedScalarCannotDeserializeIntoString { .. } | Error::BinaryNotUtf8 { .. } => {
            wrong_type("text", at)
        }
        Error::MultipleDocuments { .. } => placed(code::SYNTAX, "more than one document".to_owned(), at)
            .help("a file holds one spec; remove `---`"),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            placed(code::SYNTAX, "longer, deeper or more entangled than a spec can be".to_owned(), at)
                .help("split the spec, and do without anchors")
        }
        other => placed(code::SYNTAX, first_line(&other.to_string()), at)
            .help("check indentation, colons and quotes; a `${…}` inside { } must be quoted"),
    }
}

fn wrong_type(expected: &str, at: Option<Location>) -> SpecProblem {
    let expected = match expected {
        "mapping start" | "mapping" => "a mapping",
        "sequence start" | "sequence" => "a list",
        "scalar" | "string scalar" | "string" | "a string" => "text",
        "u64" | "unsigned integer" | "integer" => "a whole number",
        other => other.strip_prefix("struct ").map_or(other, |_name| "a mapping"),
    };
    placed(code::WRONG_TYPE, format!("expected {expected}"), at)
}

fn unknown_key(field: &str, expected: &[&'static str], at: Option<Location>) -> SpecProblem {
    if LATER.contains(&field) {
        return placed(code::NOT_AVAILABLE, format!("`{field}` is not available in this version"), at)
            .help("remove the key");
    }
    placed(code::UNKNOWN_KEY, format!("unknown key `{field}`"), at).help(suggest(field, expected))
}

/// "did you mean …?" if something is near, and all that would do.
pub(super) fn suggest(given: &str, known: &[&str]) -> String {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _name)| *distance);
    match near {
        Some((_distance, name)) => format!("did you mean `{name}`? Known here: {list}"),
        None => format!("known here: {list}"),
    }
}

fn placed(page: &'static Page, message: String, at: Option<Location>) -> SpecProblem {
    SpecProblem::new(page, message, at.as_ref().map(Place::of).unwrap_or_default())
}

/// The parser's own words end with a place, which is shown otherwise.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or("not valid YAML");
    let end = [" at line ", " (line "].iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    line[..end].to_owned()
}
