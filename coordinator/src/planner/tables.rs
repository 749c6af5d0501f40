//! Table plans for a whole spec: describe both sides, pair columns, choose keys, order tables.

use std::collections::{BTreeMap, BTreeSet};

use connectors::config::Role;
use connectors::{Connections, ServerInfo, Target};
use model::fields::OnFail;
use model::{
    Column, ColumnPlan, ErrorKind, ForeignKey, Index, KeyRange, LogicalType, MergePolicy, RunKind, RunSpec,
    TablePlan, TableRef, TableSchema, TableSpec, Window,
};

use super::checks::{
    check_cascades, check_excluded, check_keyless, check_mirror_key, check_names, check_unfilled,
    check_unique, check_width, policy,
};
use super::error::PlanError;
use super::fields::Field;
use super::{compare, fields, nests, range, waves, window};

/// What the engine with the shortest keys holds of a text.
const KEY_CHARS: u64 = 255;

/// All tables of a run, in waves, as they would be copied.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    pub tables: Vec<PlannedTable>,
    pub source: ServerInfo,
    pub target: ServerInfo,
}

/// One table of a planned run.
#[derive(Debug, Clone)]
pub struct PlannedTable {
    pub spec: TableSpec,
    pub plan: TablePlan,
    pub rows_estimate: Option<u64>,
}

/// What the ledger knows of a spec's tables before they are planned again.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Target tables that an earlier run made and did not finish: their indexes and foreign keys are still to come.
    pub unfinished: BTreeSet<TableRef>,
    /// Source tables that this run has planned already: what it copied of them is no reason to refuse it.
    pub planned: BTreeSet<TableRef>,
}

impl Known {
    /// A table that this run has planned, or that an earlier one made, is as wide as it can be: a key of text without end has
    /// one at some targets.
    fn eased(&self, spec: TableSpec, source: &TableSchema, target: Option<&TableSchema>) -> TableSpec {
        let is_made = target.is_some_and(|target| self.unfinished.contains(&target.table));
        let lossy_allowed = spec.lossy_allowed || is_made || self.planned.contains(&source.table);
        TableSpec { lossy_allowed, ..spec }
    }
}

/// Plans every table of `spec`: connects, describes, compares. Writes nothing.
///
/// # Errors
/// A database that cannot be used, a table that is not there, one without a usable key, a key that cannot be kept:
/// the message names the object, `next` the way out.
pub async fn plan_run(
    spec: &RunSpec,
    kind: RunKind,
    connections: &Connections,
) -> Result<PlannedRun, PlanError> {
    plan_known(spec, kind, connections, &Known::default()).await
}

/// As [`plan_run`], for a spec of which the ledger knows something.
///
/// # Errors
/// As [`plan_run`].
pub async fn plan_known(
    spec: &RunSpec,
    kind: RunKind,
    connections: &Connections,
    known: &Known,
) -> Result<PlannedRun, PlanError> {
    let source = connections.get(&spec.source, Role::Source)?;
    let target = connections.get(&spec.target, Role::Target)?;
    fields::find_keys(spec, connections)?;
    let servers = (source.server().await?, target.server().await?);
    if kind == RunKind::Copy && !servers.1.writable {
        return Err(PlanError::new(
            ErrorKind::ReadOnly,
            format!("the target {} takes no writes", spec.target.address()),
            "connect to a writable server, or make the file or server writable",
        ));
    }
    let chosen = chosen_tables(spec, &*source).await?;
    let mut tables = Vec::with_capacity(chosen.len());
    for (table, spec_table) in chosen {
        let mut planned = plan_table(kind, (&*source, &*target), &table, &spec_table, known).await?;
        window::set_shape(spec, &mut planned);
        tables.push(planned);
    }
    order(&mut tables);
    leave_out_strangers(&mut tables, &*target).await?;
    Ok(PlannedRun { tables, source: servers.0, target: servers.1 })
}

/// Expands patterns against the source's catalog. Each source table once; names beat patterns.
async fn chosen_tables(spec: &RunSpec, source: &dyn Target) -> Result<Vec<(TableRef, TableSpec)>, PlanError> {
    let catalog = source.tables().await?;
    let mut chosen: BTreeMap<TableRef, TableSpec> = BTreeMap::new();
    for entry in &spec.tables {
        if !entry.is_pattern() {
            let wanted: TableRef = entry.from.parse().unwrap_or_else(|never| match never {});
            chosen.insert(wanted, entry.clone());
            continue;
        }
        let mut matched = false;
        for table in catalog.iter().filter(|t| entry.matches(&t.to_string())) {
            matched = true;
            chosen.entry(table.clone()).or_insert_with(|| entry.clone());
        }
        if !matched {
            return Err(PlanError::new(
                ErrorKind::UnknownTable,
                format!("no table of the source {} matches `{}`", spec.source.address(), entry.from),
                "check the pattern against the tables that `syncline init --from` lists",
            ));
        }
    }
    Ok(chosen.into_iter().collect())
}

async fn plan_table(
    kind: RunKind,
    (source, target): (&dyn Target, &dyn Target),
    table: &TableRef,
    spec: &TableSpec,
    known: &Known,
) -> Result<PlannedTable, PlanError> {
    let described = described(source, table).await?;
    check_excluded(&described, spec)?;
    let (spec, others) = nests::complete((source, target), &described, spec).await?;
    let wanted: TableRef = match &spec.to {
        Some(to) => to.parse().unwrap_or_else(|never| match never {}),
        None => TableRef::named(described.table.name.clone()),
    };
    let existing = target.describe(&wanted).await?;
    let spec = &known.eased(spec, &described, existing.as_ref());
    if existing.is_none() && kind == RunKind::Verify {
        return Err(PlanError::new(
            ErrorKind::UnknownTable,
            format!("table `{wanted}` does not exist at the target"),
            "copy it first with `syncline run`",
        ));
    }
    let columns = pair_columns(&described, existing.as_ref(), target, spec, source.engine())?;
    let key = key_places(&described, &columns, spec)?;
    fields::check(&described, &columns, &key, spec)?;
    let rows = match &existing {
        // Whether there are any is all that matters.
        Some(schema) => target.count(&schema.table, 1).await?,
        None => 0,
    };
    if !known.planned.contains(&described.table) {
        check_keyless(&described, &key, spec, rows, kind)?;
    }
    check_unique(&described, existing.as_ref(), &columns, &key)?;
    let policy = policy(&described, &columns, spec)?;
    if kind == RunKind::Copy {
        check_deletes(spec, (&columns, &key), (source, target), existing.as_ref()).await?;
    }
    let is_ours = existing.as_ref().is_none_or(|schema| known.unfinished.contains(&schema.table));
    let target_schema =
        target_schema(&described, existing.as_ref().filter(|_| !is_ours), &columns, &key, wanted);
    check_names(&target_schema, target.engine())?;
    let range = range::range(&described, &columns, &key, spec)?;
    let window = window::window(&described, &columns, spec)?.filter(|_| range.is_none());
    let nests = nests::plans(&others, &columns, target);
    let mut notes = notes(&described, existing.as_ref(), &columns);
    notes.extend(reading_notes(&described, &columns, spec, (window.as_ref(), range.as_ref())));
    let mark = window.as_ref().map(|window| columns[window.column].source.name.as_str());
    notes.extend(nests::notes(&nests, mark));
    let inputs = fields::inputs(&described, &columns);
    let copied = columns.iter().filter(|pair| !pair.is_added()).map(|pair| &pair.source);
    let source_columns = copied.chain(&inputs).cloned().collect();
    let plan = TablePlan {
        v: 1,
        source: TableSchema { columns: source_columns, ..described.clone() },
        target: target_schema,
        columns,
        inputs,
        nests,
        key,
        policy,
        create_target: is_ours,
        fresh: rows == 0,
        wave: 0,
        in_cycle: false,
        rows_per_chunk: 0,
        delete_guard: spec.delete_guard,
        quarantined_max: spec.quarantined_max,
        notes,
        window,
        range,
    };
    let rows_estimate = described.row_estimate;
    Ok(PlannedTable { spec: spec.clone(), plan, rows_estimate })
}

async fn described(source: &dyn Target, table: &TableRef) -> Result<TableSchema, PlanError> {
    source.describe(table).await?.ok_or_else(|| {
        PlanError::new(
            ErrorKind::UnknownTable,
            format!("table `{table}` does not exist at the source"),
            format!("correct `from: {table}` in the spec; names are case-sensitive on some servers"),
        )
    })
}

/// Rows that are deleted must be those that are meant, and take no others along.
async fn check_deletes(
    spec: &TableSpec,
    (columns, key): (&[ColumnPlan], &[usize]),
    (source, target): (&dyn Target, &dyn Target),
    existing: Option<&TableSchema>,
) -> Result<(), PlanError> {
    let is_mirror = spec.policy == MergePolicy::Mirror;
    if is_mirror {
        check_mirror_key(columns, key, (source.engine(), target.engine()))?;
    }
    let deletes = is_mirror || spec.fields.iter().any(|rule| rule.on_fail == OnFail::Delete);
    match existing.filter(|_| deletes) {
        Some(schema) => check_cascades(schema, &target.cascading_children(&schema.table).await?),
        None => Ok(()),
    }
}

fn pair_columns(
    source: &TableSchema,
    existing: Option<&TableSchema>,
    target: &dyn Target,
    spec: &TableSpec,
    source_engine: model::Engine,
) -> Result<Vec<ColumnPlan>, PlanError> {
    let mut pairs = Vec::with_capacity(source.columns.len());
    for Field { source: column, seen, rule } in fields::fields(source, spec)? {
        let counterpart = match existing {
            None => target.column_for(&seen),
            Some(schema) if target.takes_new_columns() && schema.column(&seen.name).is_none() => {
                target.column_for(&seen)
            }
            Some(schema) => schema.column(&seen.name).cloned().ok_or_else(|| {
                PlanError::new(
                    ErrorKind::UnknownColumn,
                    format!(
                        "column `{}` of table `{}` does not exist at the target",
                        seen.name, source.table
                    ),
                    format!(
                        "add it to the target table, give it another name with `fields:`, or list it under `exclude:` \
                         of table `{}`",
                        source.table
                    ),
                )
            })?,
        };
        if existing.is_some() && !spec.lossy_allowed && !is_bounded_key(source, spec, &column, &counterpart) {
            check_width(&seen, &counterpart, target, source)?;
        }
        let pair = compare::pair(&seen, counterpart, (source_engine, target.engine()));
        pairs.push(ColumnPlan { source: column, rule: rule.cloned(), ..pair });
    }
    if let Some(schema) = existing {
        check_unfilled(schema, &pairs, source, target.engine())?;
    }
    Ok(pairs)
}

fn key_names(source: &TableSchema, spec: &TableSpec) -> Vec<String> {
    spec.key.clone().or_else(|| source.key()).unwrap_or_default()
}

/// Whether this is a key of text without end, which has one at the target as we would make it: what is longer is set aside.
fn is_bounded_key(source: &TableSchema, spec: &TableSpec, column: &Column, target: &Column) -> bool {
    let is_bounded = match (&column.logical, &target.logical) {
        (LogicalType::Text { max_chars: None, .. }, LogicalType::Text { max_chars: Some(most), .. }) => {
            *most >= KEY_CHARS
        }
        _ => false,
    };
    is_bounded && key_names(source, spec).contains(&column.name)
}

fn key_places(
    source: &TableSchema,
    columns: &[ColumnPlan],
    spec: &TableSpec,
) -> Result<Vec<usize>, PlanError> {
    let names = key_names(source, spec);
    if names.len() > model::key::KEY_COLUMNS_MAX {
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!(
                "the key of table `{}` has more than {} columns",
                source.table,
                model::key::KEY_COLUMNS_MAX
            ),
            "name a shorter unique key with `key:`",
        ));
    }
    let mut places = Vec::with_capacity(names.len());
    for name in &names {
        let place = columns.iter().position(|c| c.reads(name)).or_else(|| {
            columns.iter().position(|c| !c.is_added() && c.source.name.eq_ignore_ascii_case(name))
        });
        let place = place.ok_or_else(|| {
            PlanError::new(
                ErrorKind::UnknownColumn,
                format!("key column `{name}` of table `{}` is not among the copied columns", source.table),
                "correct `key:`, or take the column out of `exclude:`",
            )
        })?;
        if columns[place].source.nullable {
            return Err(PlanError::new(
                ErrorKind::Unsupported,
                format!(
                    "key column `{name}` of table `{}` may be NULL, or holds NULL: rows with NULL keys cannot be told apart",
                    source.table
                ),
                "choose key columns that are NOT NULL",
            ));
        }
        if columns[place].target.logical == LogicalType::Float32 && columns[place].loss.is_some() {
            return Err(PlanError::new(
                ErrorKind::Refused,
                format!("key column `{name}` of table `{}` would lose digits", source.table),
                "make the target column as wide as the source's",
            ));
        }
        places.push(place);
    }
    Ok(places)
}

/// The target table as it is, or as it will be made: key, indexes and foreign keys follow the source.
fn target_schema(
    source: &TableSchema,
    existing: Option<&TableSchema>,
    columns: &[ColumnPlan],
    key: &[usize],
    wanted: TableRef,
) -> TableSchema {
    let target_columns: Vec<Column> = columns.iter().map(|c| c.target.clone()).collect();
    if let Some(schema) = existing {
        return TableSchema { columns: target_columns, ..schema.clone() };
    }
    let name_of = |source: &String| {
        let found = columns.iter().find(|c| c.reads(source));
        found.map(|c| c.target.name.clone())
    };
    let names_of = |names: &[String]| names.iter().map(name_of).collect::<Option<Vec<_>>>();
    let indexes = source
        .indexes
        .iter()
        .filter_map(|index| names_of(&index.columns).map(|columns| Index { columns, ..index.clone() }));
    let foreign_keys = source.foreign_keys.iter().filter_map(|foreign| {
        names_of(&foreign.columns).map(|columns| ForeignKey { columns, ..foreign.clone() })
    });
    TableSchema {
        table: wanted,
        indexes: indexes.collect(),
        foreign_keys: foreign_keys.collect(),
        primary_key: key.iter().map(|i| columns[*i].target.name.clone()).collect(),
        columns: target_columns,
        row_estimate: None,
    }
}

fn notes(source: &TableSchema, existing: Option<&TableSchema>, columns: &[ColumnPlan]) -> Vec<String> {
    let mut notes = Vec::new();
    if source.key().is_none() {
        notes.push("no key: the table is loaded as one chunk and compared as a whole".to_owned());
    }
    for column in columns.iter().filter(|c| c.source.generated && !c.target.generated) {
        notes.push(format!(
            "column {} is computed at the source and copied as a plain value",
            column.source.name
        ));
    }
    if let Some(schema) = existing {
        let extra: Vec<&str> = schema
            .columns
            .iter()
            .filter(|c| !columns.iter().any(|p| p.target.name == c.name))
            .map(|c| c.name.as_str())
            .collect();
        if !extra.is_empty() {
            notes.push(format!("not compared, target only: columns {}", extra.join(", ")));
        }
    }
    notes
}

/// What a person should know of how the source is read.
fn reading_notes(
    source: &TableSchema,
    columns: &[ColumnPlan],
    spec: &TableSpec,
    (window, range): (Option<&Window>, Option<&KeyRange>),
) -> Vec<String> {
    if range.is_some() {
        return vec!["only a range of keys: all else stays as it is".to_owned()];
    }
    window::notes(source, columns, spec, window)
}

/// A foreign key to a table that is neither copied nor at the target cannot be made there.
async fn leave_out_strangers(tables: &mut [PlannedTable], target: &dyn Target) -> Result<(), PlanError> {
    let copied: BTreeSet<String> = tables.iter().map(|t| t.plan.target.table.name.clone()).collect();
    for table in tables.iter_mut().filter(|t| t.plan.create_target) {
        for foreign in std::mem::take(&mut table.plan.target.foreign_keys) {
            if copied.contains(&foreign.parent.name) || target.describe(&foreign.parent).await?.is_some() {
                table.plan.target.foreign_keys.push(foreign);
            } else {
                let (name, parent) = (&foreign.name, &foreign.parent);
                table
                    .plan
                    .notes
                    .push(format!("{name} is left out: {parent} is neither copied nor at the target"));
            }
        }
    }
    Ok(())
}

/// Puts tables into waves by foreign keys of either side, and renames references to the targets' names.
fn order(tables: &mut [PlannedTable]) {
    let by_source: BTreeMap<String, usize> =
        tables.iter().enumerate().map(|(i, t)| (t.plan.source.table.name.clone(), i)).collect();
    let by_target: BTreeMap<String, usize> =
        tables.iter().enumerate().map(|(i, t)| (t.plan.target.table.name.clone(), i)).collect();
    let parents: Vec<BTreeSet<usize>> = tables
        .iter()
        .map(|t| {
            let source = t.plan.source.foreign_keys.iter().filter_map(|f| by_source.get(&f.parent.name));
            let names = if t.plan.create_target { &by_source } else { &by_target };
            let target = t.plan.target.foreign_keys.iter().filter_map(|f| names.get(&f.parent.name));
            source.chain(target).copied().collect()
        })
        .collect();
    let waves = waves::waves(&parents);
    let targets: Vec<(TableRef, BTreeMap<String, String>)> = tables
        .iter()
        .map(|t| {
            let columns =
                t.plan.columns.iter().map(|c| (c.source.name.clone(), c.target.name.clone())).collect();
            (t.plan.target.table.clone(), columns)
        })
        .collect();
    for (table, (wave, in_cycle)) in tables.iter_mut().zip(waves) {
        table.plan.wave = wave;
        table.plan.in_cycle = in_cycle;
        if !table.plan.create_target {
            continue;
        }
        for foreign in &mut table.plan.target.foreign_keys {
            let Some(parent) = by_source.get(&foreign.parent.name) else {
                continue;
            };
            let (name, columns) = &targets[*parent];
            foreign.parent = name.clone();
            for column in &mut foreign.parent_columns {
                if let Some(renamed) = columns.get(column) {
                    column.clone_from(renamed);
                }
            }
        }
    }
    tables.sort_by(|a, b| (a.plan.wave, &a.plan.source.table).cmp(&(b.plan.wave, &b.plan.source.table)));
}
