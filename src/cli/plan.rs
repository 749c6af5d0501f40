//! `syncline plan`: what a run would do. The dry run: reads catalogs and a few rows, writes nothing.

use std::path::PathBuf;

use connectors::Connections;
use connectors::config::Role;
use coordinator::PlannedRun;
use coordinator::planner::{cut, sizing};
use model::{ColumnPlan, MergePolicy, RunKind, RunSpec, TablePlan};
use serde_json::json;
use service::Problem;
use worker::Fields;
use worker::scan::{Cut, Refused, Scan};

use super::context::{Context, connector_problem, plan_problem};
use super::grid::{Column, Grid};
use super::screen::{Ink, Screen};
use super::{DONE, INCOMPLETE, Outcome, tables};
use crate::compose;
use model::human::{count, counted};

/// Tables whose columns are listed unasked.
const DETAILED_MAX: usize = 30;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file; without one the pipeline that MYSQL_*, MONGODB_* and SYNC_* describe
    #[arg(default_value = super::context::ENVIRONMENT, hide_default_value = true)]
    spec: PathBuf,
    /// Only these tables; may hold *
    #[arg(long, value_name = "GLOB")]
    table: Option<String>,
    /// Read every row, and count those that would be quarantined; exit code 3 if there are any
    #[arg(long)]
    scan: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let loaded = context.ready_spec(&args.spec)?;
    let connections = compose::connections(&[&loaded.spec], 1);
    let spec = match &args.table {
        Some(glob) => tables::narrowed(&loaded.spec, glob, &connections).await?,
        None => loaded.spec,
    };
    let mut planned =
        coordinator::plan_run(&spec, RunKind::Copy, &connections).await.map_err(|e| plan_problem(&e))?;
    let source = connections.get(&spec.source, Role::Source).map_err(|e| connector_problem(&e))?;
    for table in &mut planned.tables {
        let size = cut::first_size(&*source, &table.plan, &sizing::limits(&spec))
            .await
            .map_err(|e| connector_problem(&e))?;
        table.plan.rows_per_chunk = size;
    }
    let screen = &context.screen;
    let scans = if args.scan { scan_all(screen, &spec, &planned, &connections).await? } else { Vec::new() };
    let is_whole = scans.iter().all(|scan| scan.refused.is_empty());
    let exit = if is_whole { DONE } else { INCOMPLETE };
    if screen.json {
        for (at, table) in planned.tables.iter().enumerate() {
            let mut body = json!({ "rows_estimate": table.rows_estimate, "plan": table.plan });
            if let Some(scan) = scans.get(at) {
                body["scan"] = json!(scan);
            }
            screen.event("table-plan", &body);
        }
        return Ok(exit);
    }
    screen.print(headline(screen, &spec, &planned));
    screen.print("");
    overview(&planned).print(screen);
    if planned.tables.len() <= DETAILED_MAX || args.table.is_some() {
        for table in &planned.tables {
            details(screen, &table.plan);
        }
    } else {
        screen.print(format!(
            "\ncolumns and notes of a table: syncline plan {} --table NAME",
            args.spec.display()
        ));
    }
    if args.scan {
        found(screen, &planned, &scans);
    }
    screen.say(format!("\n{} syncline run {}", screen.ink_err(Ink::Name, "next:"), args.spec.display()));
    Ok(exit)
}

/// One scan per planned table, in their order.
async fn scan_all(
    screen: &Screen,
    spec: &RunSpec,
    planned: &PlannedRun,
    connections: &Connections,
) -> Result<Vec<Scan>, Problem> {
    let source = connections.get(&spec.source, Role::Source).map_err(|e| connector_problem(&e))?;
    let target = connections.get(&spec.target, Role::Target).map_err(|e| connector_problem(&e))?;
    let mut scans = Vec::with_capacity(planned.tables.len());
    for table in &planned.tables {
        screen.say(format!("scanning {}", table.plan.source.table));
        let fields = Fields::new(&table.plan, connections).map_err(|e| connector_problem(&e))?;
        let scan = worker::scan::scan(&table.plan, &fields, &*source, &*target).await;
        scans.push(scan.map_err(|e| connector_problem(&e))?);
    }
    Ok(scans)
}

/// What the scans found, a line for each reason.
fn found(screen: &Screen, planned: &PlannedRun, scans: &[Scan]) {
    let rows: u64 = scans.iter().map(|scan| scan.rows).sum();
    let refused: u64 = scans.iter().map(Scan::refused_rows).sum();
    let is_cut = scans.iter().any(|scan| !scan.cut.is_empty());
    let lossy = if is_cut { "; some would lose what the plan says" } else { "" };
    screen.print(format!(
        "\nscan: {} read, {} would be quarantined{lossy}",
        counted(rows, "row"),
        count(refused)
    ));
    if refused == 0 && !is_cut {
        return;
    }
    let mut grid = Grid::new(&[
        Column::text("table"),
        Column::text("column"),
        Column::number("rows"),
        Column::text("kind"),
        Column::text("reason").or_drop(),
    ]);
    for (table, scan) in planned.tables.iter().zip(scans) {
        let name = table.plan.source.table.to_string();
        for Refused { column, kind, reason, rows } in &scan.refused {
            let column = column.as_deref().unwrap_or("?");
            grid.row([&name, column, &count(*rows), &kind.to_string(), reason]);
        }
        for Cut { column, loss, rows } in &scan.cut {
            grid.row([&name, column, &count(*rows), "loss", loss]);
        }
    }
    grid.print(screen);
}

fn headline(screen: &Screen, spec: &RunSpec, planned: &PlannedRun) -> String {
    format!(
        "plan {}: {} ({}) → {} ({}); nothing was written",
        screen.ink(Ink::Strong, &spec.name),
        spec.source.address(),
        planned.source.version,
        spec.target.address(),
        planned.target.version
    )
}

fn overview(planned: &PlannedRun) -> Grid {
    let mut grid = Grid::new(&[
        Column::text("table"),
        Column::text("target"),
        Column::number("rows"),
        Column::number("chunk rows"),
        Column::text("mode"),
        Column::text("key"),
        Column::number("wave"),
        Column::number("losses"),
        Column::number("notes"),
    ]);
    let mut rows = 0;
    for table in &planned.tables {
        let plan = &table.plan;
        rows += table.rows_estimate.unwrap_or(0);
        let losses = plan.columns.iter().filter(|column| column.loss.is_some()).count();
        let key = plan.source_key();
        let made = if plan.create_target {
            "new"
        } else if plan.fresh {
            "empty"
        } else {
            "exists"
        };
        let target = &plan.target.table.name;
        let plain = |text: String| (text, None);
        grid.inked_row([
            plain(plan.source.table.to_string()),
            plain(if *target == plan.source.table.name {
                made.to_owned()
            } else {
                format!("{target} ({made})")
            }),
            plain(table.rows_estimate.map_or_else(|| "?".to_owned(), |rows| format!("~{}", count(rows)))),
            plain(count(plan.rows_per_chunk)),
            plain(mode(plan)),
            if key.is_empty() { ("none".to_owned(), Some(Ink::Warn)) } else { plain(key.join(", ")) },
            plain(plan.wave.to_string()),
            (losses.to_string(), (losses > 0).then_some(Ink::Warn)),
            plain(plan.notes.len().to_string()),
        ]);
    }
    grid.rule();
    let tables = counted(planned.tables.len() as u64, "table");
    grid.row([&tables, "", &format!("~{}", count(rows)), "", "", "", "", "", ""]);
    grid
}

fn mode(plan: &TablePlan) -> String {
    let policy = &plan.policy;
    let mode = match policy {
        MergePolicy::InsertOnly | MergePolicy::Mirror => policy.name().to_owned(),
        MergePolicy::NewestWins { column, .. } => format!("merge, newest {column}"),
        MergePolicy::KeepTarget | MergePolicy::SourceWins => format!("merge, {}", policy.name()),
    };
    match &plan.window {
        Some(window) => format!("{mode}, changes by {}", plan.columns[window.column].source.name),
        None => mode,
    }
}

fn details(screen: &Screen, plan: &TablePlan) {
    let name = screen.ink(Ink::Strong, plan.source.table.to_string());
    screen.print(format!("\n{name} → {}", plan.target.table));
    let has_rules = plan.columns.iter().any(|column| column.rule.is_some());
    let mut columns =
        vec![Column::text("  column"), Column::text("source"), Column::text("target"), Column::text("null")];
    columns.extend(has_rules.then(|| Column::text("rule").or_drop()));
    columns.push(Column::text("loss").or_drop());
    let mut grid = Grid::new(&columns);
    for (at, column) in plan.columns.iter().enumerate() {
        let mark = if plan.key.contains(&at) { "*" } else { " " };
        let plain = |text: String| (text, None);
        let mut row = vec![
            plain(format!("{mark} {}", column_name(column))),
            plain(if column.is_added() { "–".to_owned() } else { column.source.native.clone() }),
            plain(column.target.native.clone()),
            plain(if column.target.nullable { "null".to_owned() } else { String::new() }),
        ];
        let rule = || plain(column.rule.as_ref().map(ToString::to_string).unwrap_or_default());
        row.extend(has_rules.then(rule));
        // Without a colour where there is nothing: padding in colour would be as wide as the longest loss.
        row.push(
            column.loss.as_ref().map_or_else(<_>::default, |loss| (format!("! {loss}"), Some(Ink::Warn))),
        );
        grid.inked_row(row);
    }
    grid.print(screen);
    for note in &plan.notes {
        screen.print(format!("  note: {note}"));
    }
}

fn column_name(column: &ColumnPlan) -> String {
    if column.source.name == column.target.name {
        column.source.name.clone()
    } else {
        format!("{} → {}", column.source.name, column.target.name)
    }
}
