//! `--table`: a spec narrowed to the tables of a glob.

use connectors::Connections;
use connectors::config::Role;
use model::spec::wildcard;
use model::{RunSpec, TableSpec};
use service::Problem;
use service::problem::code;

use super::context::connector_problem;

/// The spec with only the tables that `glob` names. Patterns are replaced by the tables they stand for.
pub(super) async fn narrowed(
    spec: &RunSpec,
    glob: &str,
    connections: &Connections,
) -> Result<RunSpec, Problem> {
    let source = connections.get(&spec.source, Role::Source).map_err(|e| connector_problem(&e))?;
    let catalog = source.tables().await.map_err(|e| connector_problem(&e))?;
    let named = |name: &str| spec.tables.iter().any(|entry| !entry.is_pattern() && entry.from == name);
    let mut tables: Vec<TableSpec> = Vec::new();
    for entry in &spec.tables {
        if !entry.is_pattern() {
            tables.extend(wildcard(glob, &entry.from).then(|| entry.clone()));
            continue;
        }
        let names = catalog.iter().map(ToString::to_string);
        tables.extend(
            names
                .filter(|name| entry.matches(name) && !named(name) && wildcard(glob, name))
                .map(|name| TableSpec { from: name, except: Vec::new(), ..entry.clone() }),
        );
    }
    if tables.is_empty() {
        let detail = format!("no table of the spec matches `{glob}`");
        return Err(Problem::new(code::UNKNOWN_TABLE, detail, "syncline plan, which lists them"));
    }
    Ok(RunSpec { tables, ..spec.clone() })
}
