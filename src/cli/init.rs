//! `syncline init`: writes a commented spec by looking at the databases.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use connectors::config::Role;
use model::{ConnectionSpec, Engine, RunSpec, TableSchema};
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, connector_problem, output_problem};
use super::screen::Ink;
use super::{DONE, Outcome};
use crate::compose;
use model::human::{count, counted};

/// What editors check the file against.
const SCHEMA: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/schema/spec.v1.json");
/// Where `--from` and `--to` lead if they are not given.
const PLACEHOLDERS: [&str; 2] = ["sqlite:source.db", "sqlite:target.db"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The source: mysql://user:password@host/database or sqlite:file.db
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The target
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The file to write; must not exist. Without it the spec goes to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    if let Some(out) = args.out.as_deref().filter(|out| out.exists()) {
        return Err(exists(out));
    }
    let spec = connections(context, &args)?;
    let tables = match &args.from {
        Some(_) => look(&spec).await?,
        None => Vec::new(),
    };
    let text = write(&spec, &tables, args.from.is_some());
    let keyless = tables.iter().filter(|table| table.key().is_none()).count() as u64;
    if keyless > 0 {
        context.screen.warn(format!(
            "{} no key: its rows cannot be told apart, so it is only loaded once, into an empty table",
            if keyless == 1 { "1 table has".to_owned() } else { format!("{keyless} tables have") }
        ));
    }
    match &args.out {
        None => context.screen.print(text.trim_end()),
        Some(out) => {
            store(out, &text)?;
            if context.screen.json {
                context.screen.event(
                    "spec-written",
                    &json!({ "file": out, "tables": tables.len(), "keyless": keyless }),
                );
            }
            context.screen.say(format!("{} with {}", out.display(), counted(tables.len() as u64, "table")));
        }
    }
    let passwords = [("SOURCE_PASSWORD", &spec.source), ("TARGET_PASSWORD", &spec.target)];
    for (name, _) in passwords.iter().filter(|(_, connection)| connection.has_inline_secret()) {
        context.screen.say(format!("the password is not in the file: export {name}=…"));
    }
    let file = args.out.as_deref().map_or_else(|| "SPEC".to_owned(), |out| out.display().to_string());
    context.screen.say(format!("{} syncline plan {file}", context.screen.ink_err(Ink::Name, "next:")));
    Ok(DONE)
}

/// A file to write to that was not there.
pub(super) fn new_file(out: &Path) -> Result<File, Problem> {
    File::create_new(out).map_err(|error| {
        let is_there = error.kind() == std::io::ErrorKind::AlreadyExists;
        if is_there { exists(out) } else { output_problem(out, &error) }
    })
}

pub(super) fn exists(out: &Path) -> Problem {
    let detail = format!("{} exists and is not overwritten", out.display());
    Problem { exit: 7, ..Problem::new(code::OUTPUT, detail, "choose another file with --out") }
}

/// Both connections, by the rules that hold in a spec.
fn connections(context: &Context, args: &Args) -> Result<RunSpec, Problem> {
    let [from, to] = PLACEHOLDERS;
    let quoted =
        |url: &Option<String>, placeholder: &str| json!(url.as_deref().unwrap_or(placeholder)).to_string();
    let text = format!(
        "version: 1\nname: init\nsource: {}\ntarget: {}\ntables: [{{ from: \"*\" }}]\n",
        quoted(&args.from, from),
        quoted(&args.to, to)
    );
    let parsed = service::parse_spec(&text, "--from and --to");
    let loaded = parsed.map_err(|error| Problem {
        next: "correct --from or --to".to_owned(),
        ..Problem::of_spec(&error, context.screen.colors_err())
    })?;
    Ok(loaded.spec)
}

/// The tables of the source.
async fn look(spec: &RunSpec) -> Result<Vec<TableSchema>, Problem> {
    let connections = compose::connections(&[spec], 1);
    let source = connections.get(&spec.source, Role::Source).map_err(|e| connector_problem(&e))?;
    let mut schemas = Vec::new();
    for table in source.tables().await.map_err(|e| connector_problem(&e))? {
        // A table that went away in the meantime is not there.
        schemas.extend(source.describe(&table).await.map_err(|e| connector_problem(&e))?);
    }
    if schemas.is_empty() {
        return Err(Problem::of_kind(
            model::ErrorKind::UnknownTable,
            format!("{} has no tables", spec.source.address()),
        ));
    }
    Ok(schemas)
}

fn store(out: &Path, text: &str) -> Result<(), Problem> {
    new_file(out)?.write_all(text.as_bytes()).map_err(|error| output_problem(out, &error))
}

fn write(spec: &RunSpec, tables: &[TableSchema], looked: bool) -> String {
    let mut text = format!("# yaml-language-server: $schema={SCHEMA}\n");
    let name = format!("name: {}", name_of(&spec.source));
    let source = connection(&spec.source, "SOURCE_PASSWORD");
    let target = connection(&spec.target, "TARGET_PASSWORD");
    let _ = write!(
        text,
        "version: 1\n{name:<36}# names the spec and its runs\n\n\
         source: {source}\ntarget: {target}\n\n\
         defaults:\n  mode: merge                       # merge | mirror (deletes too, guarded) | insert-only\n  \
         policy: source-wins               # source-wins | keep-target | {{ newest: updated_at }}\n  \
         on_bad_row: quarantine            # rows the target cannot hold exactly are set aside, never bent\n\n\
         tables:                             # or just: - from: \"*\"\n"
    );
    if !looked {
        text.push_str("  - from: \"*\"                       # every table; made at the target if it is missing there\n");
    }
    for table in tables {
        text.push_str(&entry(table));
    }
    text
}

fn entry(table: &TableSchema) -> String {
    let rows = table.row_estimate.map_or_else(String::new, |rows| format!("~{} rows, ", count(rows)));
    let from = scalar(&table.table.to_string());
    match table.key() {
        Some(key) => format!("  - from: {from:<26}# {rows}key {}\n", key.join(", ")),
        None => format!(
            "  - from: {from:<26}# {rows}no key: name unique columns with `key: [..]`, or\n    \
             mode: insert-only               # load it once, into an empty table\n"
        ),
    }
}

/// A flow mapping; the password is a reference, whatever was given.
fn connection(spec: &ConnectionSpec, variable: &str) -> String {
    let mut parts = vec![format!("engine: {}", spec.engine)];
    let mut add = |key: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{key}: {}", scalar(&value))))
    };
    match spec.engine {
        Engine::Sqlite | Engine::Memory => add("path", spec.path.clone()),
        Engine::Mysql | Engine::Postgres | Engine::Mongodb | Engine::Sqlserver => {
            add("host", spec.host.clone());
            add("port", spec.port.map(|port| port.to_string()));
            add("database", spec.database.clone());
            add("user", spec.user.clone());
            let reference = spec.password.clone().filter(|_| !spec.has_inline_secret());
            let reference = reference.or_else(|| spec.user.is_some().then(|| format!("${{env:{variable}}}")));
            add("password", reference);
        }
    }
    format!("{{ {} }}", parts.join(", "))
}

/// Text as YAML takes it inside braces: quoted unless it is plain.
fn scalar(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    if is_plain { text.to_owned() } else { json!(text).to_string() }
}

/// A name for the spec, from what is copied.
fn name_of(source: &ConnectionSpec) -> String {
    let from_path =
        source.path.as_deref().and_then(|path| Path::new(path).file_stem()).and_then(|stem| stem.to_str());
    let base = source.database.as_deref().or(from_path).unwrap_or("copy");
    let plain = base.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let name: String = plain.take(50).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "copy".to_owned() } else { format!("{name}-copy") }
}
