//! What a seed copies: tables, rows on both sides, policies, chunk sizes, and what happens between runs.

use std::collections::BTreeMap;

use connectors::memory::Memory;
use model::plan::DeleteGuard;
use model::spec::{ChunkLimits, Mode};
use model::{
    Column, ConnectionSpec, Engine, ForeignKey, Limits, LogicalType, MergePolicy, Row, RunKind, RunSpec,
    TableRef, TableSchema, TableSpec, Value,
};

use crate::dice::Dice;
use crate::fleet::Crew;

/// Longest name that a target table takes which was there before; the source has longer ones.
pub(crate) const NAME_CHARS: usize = 12;

/// A row as the model knows it, without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cells {
    pub(crate) name: String,
    pub(crate) n: Option<i64>,
    /// Grows with every edit.
    pub(crate) at: i64,
    pub(crate) parent: Option<i64>,
}

pub(crate) type Rows = BTreeMap<i64, Cells>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Int,
    Text,
    /// Rows cannot be told apart: one chunk, into an empty target.
    None,
}

#[derive(Debug, Clone)]
pub(crate) struct TableShape {
    pub(crate) name: &'static str,
    pub(crate) key: KeyKind,
    pub(crate) policy: MergePolicy,
    /// The target has the table already, with narrower columns; else it is made.
    pub(crate) is_there: bool,
    pub(crate) has_parent: bool,
    pub(crate) source: Rows,
    pub(crate) target: Rows,
}

/// One run, and what comes before and into it.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    pub(crate) kind: RunKind,
    /// Users change the source first.
    pub(crate) is_edited: bool,
    pub(crate) cancel: Option<Cancel>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cancel {
    pub(crate) after_ms: u64,
    /// The next run takes over, with workers of this one perhaps still at work.
    pub(crate) is_for_good: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) tables: Vec<TableShape>,
    pub(crate) rows_max: u64,
    pub(crate) crew: Crew,
    pub(crate) lease_ms: u64,
    pub(crate) phases: Vec<Phase>,
    pub(crate) calm_at_ms: u64,
}

impl Shape {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let mut tables = vec![table(dice, "accounts", false)];
        if dice.chance(5_000) {
            // Children refer to numbers.
            tables[0].key = KeyKind::Int;
            tables.push(table(dice, "orders", true));
        }
        if dice.chance(3_000) {
            tables.push(table(dice, "notes", false));
        }
        if dice.chance(800) {
            tables.push(keyless(dice));
        }
        let phases = phases(dice, &tables);
        let crew = Crew {
            coordinators: dice.between(1, 2),
            workers: dice.between(2, 5),
            slots: if dice.chance(5_000) { 1 } else { 2 },
        };
        let rows_max = dice.between(3, 9);
        let lease_ms = *dice.one_of(&[2_000, 2_000, 5_000, 15_000]);
        Self { tables, rows_max, crew, lease_ms, phases, calm_at_ms: dice.between(8_000, 60_000) }
    }

    pub(crate) fn spec(&self, name: &str) -> RunSpec {
        RunSpec {
            name: "sim".to_owned(),
            source: connection(&format!("{name}-source")),
            target: connection(&format!("{name}-target")),
            tables: self.tables.iter().map(TableShape::spec).collect(),
            chunk: ChunkLimits { rows_max: self.rows_max, ..ChunkLimits::default() },
            limits: Limits::default(),
            brakes: vec![],
            reads_all: false,
            retry: model::RetryPolicy::default(),
            alerts: vec![],
        }
    }

    /// Users edit the source while no run is under way: some rows change, some go, some come. After a run that was given
    /// up, rows go only where they go from the target too: nobody knows which of them it had copied.
    pub(crate) fn edit(&mut self, dice: &mut Dice, is_after_abandoned: bool) {
        for table in &mut self.tables {
            let ids: Vec<i64> = table.source.keys().copied().collect();
            let may_go =
                table.name != "accounts" && (!is_after_abandoned || table.policy == MergePolicy::Mirror);
            for id in ids {
                if dice.chance(1_500)
                    && let Some(cells) = table.source.get_mut(&id)
                {
                    cells.name = format!("new{}", dice.between(0, 999));
                    cells.at += 100;
                } else if dice.chance(300) && may_go {
                    table.source.remove(&id);
                }
            }
            for _ in 0..dice.between(0, 6) {
                let id = 5_000 + i64::try_from(dice.between(0, 500)).unwrap_or(0);
                let parent = table.has_parent.then_some(1);
                table.source.insert(id, Cells { name: "late".to_owned(), n: Some(1), at: 500, parent });
            }
        }
    }
}

fn connection(database: &str) -> ConnectionSpec {
    ConnectionSpec { database: Some(database.to_owned()), ..ConnectionSpec::new(Engine::Memory) }
}

fn table(dice: &mut Dice, name: &'static str, has_parent: bool) -> TableShape {
    let policy = match dice.between(0, 9) {
        0..=2 => MergePolicy::SourceWins,
        3..=5 => MergePolicy::Mirror,
        6 => MergePolicy::KeepTarget,
        7 => MergePolicy::NewestWins { column: "at".to_owned(), or_source: false },
        _ => MergePolicy::InsertOnly,
    };
    let is_there = dice.chance(6_000);
    let bad = if is_there && dice.chance(6_000) { 400 } else { 0 };
    let most = *dice.one_of(&[20, 60, 150]);
    let rows = dice.between(12, most);
    let mut source = Rows::new();
    for id in 1..=i64::try_from(rows).unwrap_or(0) {
        // Gaps, so that keys are no count. Parents keep theirs: children refer to them.
        if name == "accounts" || !dice.chance(1_000) {
            source.insert(id, cells(dice, bad, has_parent));
        }
    }
    let mut target = Rows::new();
    if is_there && !dice.chance(2_000) {
        for (id, row) in &source {
            match dice.between(0, 9) {
                0..=1 if !is_bad(row) => drop(target.insert(*id, row.clone())),
                2..=3 => drop(target.insert(*id, cells(dice, 0, has_parent))),
                _ => {}
            }
        }
        for _ in 0..dice.between(0, 8) {
            let id = i64::try_from(dice.between(1, 3_000)).unwrap_or(1);
            target.entry(id).or_insert_with(|| cells(dice, 0, has_parent));
        }
    }
    let key = if dice.chance(6_500) { KeyKind::Int } else { KeyKind::Text };
    TableShape { name, key, policy, is_there, has_parent, source, target }
}

fn keyless(dice: &mut Dice) -> TableShape {
    let rows = i64::try_from(dice.between(5, 40)).unwrap_or(5);
    let source = (1..=rows).map(|id| (id, cells(dice, 0, false))).collect();
    TableShape {
        name: "scraps",
        key: KeyKind::None,
        policy: MergePolicy::InsertOnly,
        is_there: false,
        has_parent: false,
        source,
        target: Rows::new(),
    }
}

fn cells(dice: &mut Dice, bad: u64, has_parent: bool) -> Cells {
    let mut cells = Cells {
        name: format!("n{}", dice.between(0, 99)),
        n: Some(i64::try_from(dice.between(0, 3)).unwrap_or(0)),
        at: i64::try_from(dice.between(0, 20)).unwrap_or(0),
        parent: has_parent.then(|| i64::try_from(dice.between(1, 12)).unwrap_or(1)),
    };
    if dice.chance(bad) {
        cells.name = "a name that is too long".to_owned();
    } else if dice.chance(bad) {
        cells.n = None;
    }
    cells
}

/// Whether the narrower target refuses the row.
pub(crate) fn is_bad(cells: &Cells) -> bool {
    cells.name.chars().count() > NAME_CHARS || cells.n.is_none()
}

fn phases(dice: &mut Dice, tables: &[TableShape]) -> Vec<Phase> {
    let is_keyless = tables.iter().any(|table| table.key == KeyKind::None);
    // What an abandoned run has copied must not decide what the next one is to find.
    let may_edit_always = tables.iter().all(|table| {
        matches!(table.policy, MergePolicy::SourceWins | MergePolicy::Mirror | MergePolicy::NewestWins { .. })
    });
    let copy = |is_edited, cancel| Phase { kind: RunKind::Copy, is_edited, cancel };
    let is_cancelled = dice.chance(3_000);
    let cancel =
        Cancel { after_ms: dice.between(200, 15_000), is_for_good: !is_keyless && dice.chance(7_000) };
    let mut phases = vec![copy(false, is_cancelled.then_some(cancel))];
    let is_abandoned = is_cancelled && cancel.is_for_good;
    if is_abandoned {
        phases.push(copy(may_edit_always && dice.chance(7_000), None));
    } else if !is_keyless && dice.chance(2_500) {
        phases.push(copy(dice.chance(7_000), None));
    }
    if dice.chance(2_000) {
        phases.push(Phase { kind: RunKind::Verify, is_edited: false, cancel: None });
    }
    phases
}

impl TableShape {
    pub(crate) fn table(&self) -> TableRef {
        TableRef::named(self.name)
    }

    fn spec(&self) -> TableSpec {
        let mode = match self.policy {
            MergePolicy::InsertOnly => Mode::InsertOnly,
            MergePolicy::Mirror => Mode::Mirror,
            MergePolicy::KeepTarget | MergePolicy::SourceWins | MergePolicy::NewestWins { .. } => Mode::Merge,
        };
        TableSpec {
            range: None,
            from: self.name.to_owned(),
            to: None,
            except: Vec::new(),
            key: None,
            mode,
            policy: self.policy.clone(),
            exclude: Vec::new(),
            delete_guard: DeleteGuard { rows: u64::MAX, percent: 100.0 },
            quarantined_max: 100_000,
            lossy_allowed: true,
            incremental: None,
            fields: Vec::new(),
        }
    }

    fn schema(&self, is_target: bool) -> TableSchema {
        let int = |bits| LogicalType::Int { bits, unsigned: false };
        let text = |chars| LogicalType::Text { max_chars: Some(chars), fixed: false, long: false };
        let id = if self.key == KeyKind::Text { text(20) } else { int(64) };
        let name_chars = if is_target { NAME_CHARS as u64 } else { 60 };
        let mut columns = vec![
            Column::new("id", id, false),
            Column::new("name", text(name_chars), true),
            Column::new("n", int(32), !is_target),
            Column::new("at", int(64), false),
        ];
        let mut foreign_keys = Vec::new();
        if self.has_parent {
            columns.push(Column::new("account", int(64), true));
            foreign_keys.push(ForeignKey {
                name: format!("{}_account", self.name),
                columns: vec!["account".to_owned()],
                parent: TableRef::named("accounts"),
                parent_columns: vec!["id".to_owned()],
            });
        }
        let primary_key = if self.key == KeyKind::None { Vec::new() } else { vec!["id".to_owned()] };
        TableSchema {
            table: self.table(),
            columns,
            primary_key,
            indexes: Vec::new(),
            foreign_keys,
            row_estimate: None,
        }
    }

    pub(crate) fn row(&self, id: i64, cells: &Cells) -> Row {
        let mut row = vec![self.key_of(id), Value::Text(cells.name.clone())];
        row.push(cells.n.map_or(Value::Null, Value::Int));
        row.push(Value::Int(cells.at));
        if self.has_parent {
            row.push(cells.parent.map_or(Value::Null, Value::Int));
        }
        row
    }

    /// Texts of one length, so that their order is that of the numbers.
    pub(crate) fn key_of(&self, id: i64) -> Value {
        if self.key == KeyKind::Text { Value::Text(format!("k{id:08}")) } else { Value::Int(id) }
    }

    /// Puts the source as it is now.
    pub(crate) async fn put_source(&self, source: &Memory) {
        source.create_table(self.schema(false));
        put(source, self, &self.source).await;
    }

    /// Puts the target as it was before the first run.
    pub(crate) async fn put_target(&self, target: &Memory) {
        if self.is_there {
            target.create_table(self.schema(true));
            put(target, self, &self.target).await;
        }
    }
}

async fn put(database: &Memory, table: &TableShape, rows: &Rows) {
    for (id, cells) in rows {
        let put = database.put(&table.table(), table.row(*id, cells)).await;
        put.expect("a row of the model fits its table");
    }
}
