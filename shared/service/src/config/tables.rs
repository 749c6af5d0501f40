//! Tables: modes, policies and guards of each, and how entries share the tables among them.

use model::merge::MergePolicy;
use model::plan::DeleteGuard;
use model::spec::wildcard;
use model::{ConnectionSpec, Engine, Mode, TableSpec};

use super::fields::{check_fields, fields};
use super::form::{At, Form, Place};
use super::incremental::{check_incremental, incremental};
use super::raw::{RawDefaults, RawGuard, RawMaxDelete, RawNewest, RawSpec, RawTable};
use super::units::parse_percent;
use super::validate::Findings;
use crate::problem::code;

/// Rows that may be quarantined, unless the spec says otherwise.
const QUARANTINED_MAX: u64 = 1_000;
/// Engines allow 64 to 128 characters; a schema's name may stand before.
const NAME_BYTES_MAX: usize = 512;
/// Each star multiplies the work of matching a name.
const STARS_MAX: usize = 4;
const MODES: [(&str, Mode); 3] =
    [("merge", Mode::Merge), ("mirror", Mode::Mirror), ("insert-only", Mode::InsertOnly)];

/// What a table has that does not say otherwise.
struct Defaults {
    mode: Mode,
    policy: MergePolicy,
    delete_guard: DeleteGuard,
    quarantined_max: u64,
    lossy_allowed: bool,
}

/// Source and target, as far as they are known.
type Ends<'a> = (Option<&'a ConnectionSpec>, Option<&'a ConnectionSpec>);

pub(super) fn tables(raw: &RawSpec, ends: Ends<'_>, findings: &mut Findings<'_>) -> Vec<TableSpec> {
    let nothing = RawDefaults::default();
    let defaults = defaults(raw.defaults.as_ref().unwrap_or(&nothing), findings);
    let entries = &raw.tables.value;
    if entries.is_empty() {
        findings.refuse(
            code::NO_TABLES,
            "no tables",
            raw.tables.place,
            "name them, or write `- from: \"*\"` for all",
        );
    }
    let mut tables: Vec<TableSpec> = entries.iter().map(|entry| table(entry, &defaults, findings)).collect();
    refuse_shared_targets(entries, &tables, ends.1, findings);
    refuse_copies_onto_themselves(entries, &tables, ends, findings);
    if findings.problems.iter().any(|problem| problem.code() == code::BAD_TABLE.code) {
        return tables; // What is no name is not matched with others.
    }
    refuse_overlaps(entries, &tables, findings);
    give_way(&mut tables);
    tables
}

fn defaults(raw: &RawDefaults, findings: &mut Findings<'_>) -> Defaults {
    if let Some(choice) = &raw.on_bad_row {
        findings.choose(code::UNKNOWN_CHOICE, choice, &[("quarantine", ())]);
    }
    if let Some(choice) = &raw.verify {
        findings.choose(code::UNKNOWN_CHOICE, choice, &[("digest", ())]);
    }
    let mode = raw.mode.as_ref().and_then(|given| mode(given, findings)).unwrap_or(Mode::Merge);
    let policy =
        raw.policy.as_ref().and_then(|given| policy(given, findings)).unwrap_or(MergePolicy::SourceWins);
    let fallback = (DeleteGuard::default(), QUARANTINED_MAX);
    let (delete_guard, quarantined_max) = guard(raw.guard.as_ref(), fallback, findings);
    Defaults {
        mode,
        policy,
        delete_guard,
        quarantined_max,
        lossy_allowed: lossy_allowed(raw.on_lossy_type.as_ref(), false, findings),
    }
}

fn table(raw: &RawTable, defaults: &Defaults, findings: &mut Findings<'_>) -> TableSpec {
    let mode = raw.mode.as_ref().and_then(|given| mode(given, findings)).unwrap_or(defaults.mode);
    let chosen = raw.policy.as_ref().and_then(|given| policy(given, findings));
    if let (Some(given), Mode::Mirror | Mode::InsertOnly) = (&raw.policy, mode) {
        let message = format!("mode {} takes no policy", mode.name());
        findings.refuse(
            code::POLICY_WITHOUT_MERGE,
            message,
            given.place,
            "remove `policy`, or use `mode: merge`",
        );
    }
    let policy = match mode {
        Mode::InsertOnly => MergePolicy::InsertOnly,
        Mode::Mirror => MergePolicy::Mirror,
        Mode::Merge => chosen.unwrap_or_else(|| defaults.policy.clone()),
    };
    let fallback = (defaults.delete_guard, defaults.quarantined_max);
    let (delete_guard, quarantined_max) = guard(raw.guard.as_ref(), fallback, findings);
    check_names(raw, findings);
    let table = TableSpec {
        range: None,
        from: raw.from.value.clone(),
        to: raw.to.as_ref().map(|to| to.value.clone()),
        except: names(raw.except.as_ref()),
        key: raw.key.as_ref().map(|key| names(Some(key))),
        mode,
        policy,
        exclude: names(raw.exclude.as_ref()),
        delete_guard,
        quarantined_max,
        lossy_allowed: lossy_allowed(raw.on_lossy_type.as_ref(), defaults.lossy_allowed, findings),
        incremental: raw.incremental.as_ref().and_then(|given| incremental(given, findings)),
        fields: fields(raw, findings),
    };
    check_columns(raw, &table, findings);
    check_incremental(raw, &table, findings);
    check_fields(raw, &table, findings);
    table
}

fn lossy_allowed(given: Option<&At<String>>, fallback: bool, findings: &mut Findings<'_>) -> bool {
    let choices = [("refuse", false), ("quarantine", true)];
    given.and_then(|choice| findings.choose(code::UNKNOWN_CHOICE, choice, &choices)).unwrap_or(fallback)
}

fn names(list: Option<&At<Vec<At<String>>>>) -> Vec<String> {
    list.map(|list| list.value.iter().map(|name| name.value.clone()).collect()).unwrap_or_default()
}

fn mode(given: &At<String>, findings: &mut Findings<'_>) -> Option<Mode> {
    if given.value == "stage-and-swap" {
        let message = "mode `stage-and-swap` is not available in this version";
        findings.refuse(code::NOT_AVAILABLE, message, given.place, "use `merge`, `mirror` or `insert-only`");
        return None;
    }
    findings.choose(code::UNKNOWN_MODE, given, &MODES)
}

fn policy(given: &At<Form<RawNewest>>, findings: &mut Findings<'_>) -> Option<MergePolicy> {
    match &given.value {
        Form::Map(RawNewest { newest, .. }) if newest.value.is_empty() => {
            findings.refuse(
                code::BAD_COLUMNS,
                "`newest` names no column",
                newest.place,
                "name the column of the mark",
            );
            None
        }
        Form::Map(RawNewest { newest, if_missing }) => {
            let or_source = match if_missing {
                None => false,
                Some(given) => findings.choose(code::UNKNOWN_POLICY, given, &[("source-wins", true)])?,
            };
            Some(MergePolicy::NewestWins { column: newest.value.clone(), or_source })
        }
        Form::Text(name) if name == "newest" || name == "newest-wins" => {
            let message = format!("policy `{name}` needs a column");
            findings.refuse(
                code::UNKNOWN_POLICY,
                message,
                given.place,
                "write `policy: { newest: updated_at }`",
            );
            None
        }
        Form::Text(name) => {
            let choices = [("source-wins", true), ("keep-target", false)];
            let is_source =
                findings.choose(code::UNKNOWN_POLICY, &At::new(name.clone(), given.place), &choices)?;
            Some(if is_source { MergePolicy::SourceWins } else { MergePolicy::KeepTarget })
        }
        Form::List(_) => None,
    }
}

fn guard(
    raw: Option<&RawGuard>,
    fallback: (DeleteGuard, u64),
    findings: &mut Findings<'_>,
) -> (DeleteGuard, u64) {
    let Some(raw) = raw else { return fallback };
    let deletes = raw.max_delete.as_ref().map_or(fallback.0, |given| max_delete(given, findings));
    let quarantined = raw.max_quarantined.as_ref().map_or(fallback.1, |given| given.value);
    (deletes, quarantined)
}

/// Limits that are not given do not apply.
fn max_delete(given: &At<Form<RawMaxDelete>>, findings: &mut Findings<'_>) -> DeleteGuard {
    let mut limits = Limits::default();
    match &given.value {
        Form::Text(text) => limits.add(text, given.place, findings),
        Form::List(items) => items.iter().for_each(|item| limits.add(&item.value, item.place, findings)),
        Form::Map(RawMaxDelete { rows, percent }) => {
            if let Some(rows) = rows {
                limits.add_rows(&rows.value, rows.place, findings);
            }
            if let Some(percent) = percent {
                limits.add_percent(&percent.value, percent.place, findings);
            }
        }
    }
    if limits.given == 0 {
        findings.refuse(
            code::BAD_LIMIT,
            "`max_delete` names no limit",
            given.place,
            "write 10%, 1000 or [10%, 1000]",
        );
    }
    DeleteGuard { rows: limits.rows.unwrap_or(u64::MAX), percent: limits.percent.unwrap_or(100.0) }
}

#[derive(Default)]
struct Limits {
    rows: Option<u64>,
    percent: Option<f64>,
    given: usize,
}

impl Limits {
    fn add(&mut self, text: &str, place: Place, findings: &mut Findings<'_>) {
        if text.trim_end().ends_with('%') {
            self.add_percent(text, place, findings);
        } else {
            self.add_rows(text, place, findings);
        }
    }

    fn add_rows(&mut self, text: &str, place: Place, findings: &mut Findings<'_>) {
        self.given += 1;
        match text.trim().parse() {
            Ok(_) if self.rows.is_some() => Self::refuse("a second limit of rows", place, findings),
            Ok(rows) => self.rows = Some(rows),
            Err(_) => Self::refuse("not a number of rows, nor a percentage", place, findings),
        }
    }

    fn add_percent(&mut self, text: &str, place: Place, findings: &mut Findings<'_>) {
        self.given += 1;
        match parse_percent(text) {
            Some(_) if self.percent.is_some() => Self::refuse("a second percentage", place, findings),
            Some(percent) => self.percent = Some(percent),
            None => Self::refuse("not a percentage from 0% to 100%", place, findings),
        }
    }

    fn refuse(message: &str, place: Place, findings: &mut Findings<'_>) {
        findings.refuse(code::BAD_LIMIT, message, place, "write 10%, 1000 or [10%, 1000]");
    }
}

fn check_names(raw: &RawTable, findings: &mut Findings<'_>) {
    let is_pattern = raw.from.value.contains('*');
    let excepted = raw.except.iter().flat_map(|except| &except.value);
    for name in [Some(&raw.from), raw.to.as_ref()].into_iter().flatten().chain(excepted) {
        let is_sane = name.value.len() <= NAME_BYTES_MAX && name.value.matches('*').count() <= STARS_MAX;
        if !is_sane || name.value.trim().is_empty() || name.value.contains(char::is_control) {
            findings.refuse(
                code::BAD_TABLE,
                "not a table name",
                name.place,
                "name a table, or use a pattern such as *",
            );
        }
    }
    if let Some(to) = raw.to.as_ref().filter(|_to| is_pattern) {
        let help = "remove `to`, or give the table that is renamed an entry of its own";
        findings.refuse(code::TO_WITH_PATTERN, "`to` beside a pattern", to.place, help);
    }
    if let Some(to) = raw.to.as_ref().filter(|to| to.value.contains('*')) {
        findings.refuse(code::BAD_TABLE, "`to` cannot be a pattern", to.place, "name one table");
    }
    if let Some(except) = raw.except.as_ref().filter(|_except| !is_pattern) {
        let message = "`except` beside a single table";
        findings.refuse(code::EXCEPT_WITHOUT_PATTERN, message, except.place, "remove `except`");
    }
}

fn check_columns(raw: &RawTable, table: &TableSpec, findings: &mut Findings<'_>) {
    if let Some(key) = raw.key.as_ref().filter(|key| key.value.is_empty()) {
        findings.refuse(code::BAD_COLUMNS, "`key` is empty", key.place, "name its columns, or remove `key`");
    }
    for list in [&raw.key, &raw.exclude].into_iter().flatten() {
        for (i, column) in list.value.iter().enumerate() {
            let is_repeated = list.value[..i].iter().any(|earlier| earlier.value == column.value);
            if column.value.is_empty() || is_repeated {
                let message = if is_repeated { "column named twice" } else { "column without a name" };
                findings.refuse(code::BAD_COLUMNS, message, column.place, "remove it");
            }
        }
    }
    let newest = match &table.policy {
        MergePolicy::NewestWins { column, .. } => Some(column),
        MergePolicy::InsertOnly | MergePolicy::KeepTarget | MergePolicy::SourceWins | MergePolicy::Mirror => {
            None
        }
    };
    for column in raw.exclude.iter().flat_map(|list| &list.value) {
        let is_key = table.key.as_ref().is_some_and(|key| key.contains(&column.value));
        if is_key || newest == Some(&column.value) {
            let message = format!("column `{}` is needed and cannot be excluded", column.value);
            findings.refuse(code::BAD_COLUMNS, message, column.place, "remove it from `exclude`");
        }
    }
}

/// Where one entry's rows go, if it names one table.
fn target_name(table: &TableSpec) -> Option<&str> {
    (!table.is_pattern()).then(|| table.to.as_deref().unwrap_or(&table.from))
}

fn refuse_shared_targets(
    entries: &[RawTable],
    tables: &[TableSpec],
    target: Option<&ConnectionSpec>,
    findings: &mut Findings<'_>,
) {
    let ignores_case = target.is_some_and(|target| target.engine == Engine::Sqlite);
    let is_same = |a: &TableSpec, b: &TableSpec| match (target_name(a), target_name(b)) {
        (Some(a), Some(b)) => a == b || (ignores_case && a.eq_ignore_ascii_case(b)),
        (None, None) => a.from == b.from,
        (None, Some(_)) | (Some(_), None) => false,
    };
    for (i, table) in tables.iter().enumerate() {
        if tables[..i].iter().any(|earlier| is_same(earlier, table)) {
            let place = entries[i].to.as_ref().unwrap_or(&entries[i].from).place;
            let message = "an earlier entry has the same target";
            findings.refuse(code::DUPLICATE_TARGET, message, place, "remove one, or give it another `to`");
        }
    }
}

fn refuse_copies_onto_themselves(
    entries: &[RawTable],
    tables: &[TableSpec],
    ends: Ends<'_>,
    findings: &mut Findings<'_>,
) {
    let (Some(source), Some(target)) = ends else {
        return;
    };
    if source.address() != target.address() {
        return;
    }
    for (entry, table) in entries.iter().zip(tables) {
        if target_name(table).is_none_or(|to| to == table.from) {
            let message = "source and target are the same table";
            findings.refuse(
                code::SAME_ENDS,
                message,
                entry.from.place,
                "change a connection, or rename with `to`",
            );
        }
    }
}

/// Patterns must not mean the same table, unless one is wholly within the other or takes the other out.
fn refuse_overlaps(entries: &[RawTable], tables: &[TableSpec], findings: &mut Findings<'_>) {
    for (i, table) in tables.iter().enumerate().filter(|(_i, table)| table.is_pattern()) {
        let clash = tables[..i].iter().filter(|earlier| earlier.is_pattern()).find(|earlier| {
            let is_nested = wildcard(&earlier.from, &table.from) || wildcard(&table.from, &earlier.from);
            let is_excepted = earlier.except.contains(&table.from) || table.except.contains(&earlier.from);
            !is_nested && !is_excepted && may_share(earlier.from.as_bytes(), table.from.as_bytes())
        });
        if let Some(earlier) = clash {
            let message = format!("`{}` and `{}` may mean the same table", earlier.from, table.from);
            let help = format!("add `except: [\"{}\"]` here, or the reverse there", earlier.from);
            findings.refuse(code::OVERLAP, message, entries[i].from.place, &help);
        }
    }
}

/// Whether some name matches both patterns: their fixed beginnings and ends must agree. What stands between two
/// stars is taken to fit, so that the answer errs on the side of asking.
fn may_share(a: &[u8], b: &[u8]) -> bool {
    let agree = |a: &mut dyn Iterator<Item = &u8>, b: &mut dyn Iterator<Item = &u8>| {
        a.zip(b).take_while(|(a, b)| **a != b'*' && **b != b'*').all(|(a, b)| a == b)
    };
    agree(&mut a.iter(), &mut b.iter()) && agree(&mut a.iter().rev(), &mut b.iter().rev())
}

/// The narrower entry has the table: patterns leave out the names and the narrower patterns of other entries.
fn give_way(tables: &mut [TableSpec]) {
    let all: Vec<String> = tables.iter().map(|table| table.from.clone()).collect();
    for table in tables.iter_mut().filter(|table| table.is_pattern()) {
        for other in &all {
            if *other != table.from && wildcard(&table.from, other) && !table.except.contains(other) {
                table.except.push(other.clone());
            }
        }
    }
}
