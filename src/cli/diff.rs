//! `syncline diff`: names the rows and fields that differ in one table.

use model::cells;
use std::path::PathBuf;

use connectors::config::Role;
use model::{Key, LogicalType, RunKind, TablePlan};
use serde_json::json;
use service::Problem;
use service::problem::code;
use worker::Fields;
use worker::diff::{Difference, diff, diff_row};

use super::context::{Context, connector_problem, plan_problem};
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, INCOMPLETE, Outcome, tables};
use crate::compose;
use model::human::counted;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file
    spec: PathBuf,
    /// The source table
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// Only the row at this key; values of a key of several columns are separated by commas
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Rows named at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Show the values that differ, not only the columns
    #[arg(long)]
    values: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let loaded = context.ready_spec(&args.spec)?;
    let connections = compose::connections(&[&loaded.spec], 1);
    let spec = tables::narrowed(&loaded.spec, &args.table, &connections).await?;
    let planned =
        coordinator::plan_run(&spec, RunKind::Verify, &connections).await.map_err(|e| plan_problem(&e))?;
    let [table] = planned.tables.as_slice() else {
        let detail = format!("`{}` means {}", args.table, counted(planned.tables.len() as u64, "table"));
        return Err(Problem::new(code::BAD_SETTING, detail, "name one table with --table"));
    };
    let plan = &table.plan;
    if plan.key.is_empty() {
        let detail = format!("table `{}` has no key: its rows cannot be told apart", plan.source.table);
        return Err(Problem::new(
            code::UNSUPPORTED,
            detail,
            "name unique columns with `key: [..]` in the spec",
        ));
    }
    let source = connections.get(&spec.source, Role::Source).map_err(|e| connector_problem(&e))?;
    let target = connections.get(&spec.target, Role::Target).map_err(|e| connector_problem(&e))?;
    let fields = Fields::new(plan, &connections).map_err(|e| connector_problem(&e))?;
    let found = match &args.key {
        Some(text) => diff_row((plan, &fields), &*source, &*target, &parse_key(plan, text)?)
            .await
            .map(|found| found.into_iter().collect()),
        None => diff((plan, &fields), &*source, &*target, args.limit as usize).await,
    };
    let found: Vec<Difference> = found.map_err(|e| connector_problem(&e))?;
    if context.screen.json {
        for difference in &found {
            context.screen.event("difference", &as_json(plan, difference, args.values));
        }
    } else {
        show(context, plan, &found, args);
    }
    Ok(if found.is_empty() { DONE } else { INCOMPLETE })
}

fn show(context: &Context, plan: &TablePlan, found: &[Difference], args: &Args) {
    let screen = &context.screen;
    let table = &plan.source.table;
    if found.is_empty() {
        let what = if args.key.is_some() { "the row is" } else { "all rows are" };
        screen.print(format!("{} {table}: {what} equal on both sides", screen.ink(Ink::Good, "ok")));
        return;
    }
    let key_title = "key";
    if args.values {
        let mut grid = Grid::new(&[
            Column::text(key_title),
            Column::text("what"),
            Column::text("column"),
            Column::text("source"),
            Column::text("target"),
        ]);
        found.iter().for_each(|difference| value_rows(&mut grid, difference));
        grid.print(screen);
    } else {
        let mut grid = Grid::new(&[Column::text(key_title), Column::text("what"), Column::text("columns")]);
        for difference in found {
            let (key, what, columns) = words(difference);
            grid.inked_row([(key, None), (what.to_owned(), Some(Ink::Warn)), (columns, None)]);
        }
        grid.print(screen);
    }
    screen.print("");
    let all = if found.len() >= args.limit as usize { "first " } else { "" };
    screen.print(format!(
        "{table}: {all}{}, by key {}",
        counted(found.len() as u64, "difference"),
        plan.source_key().join(", ")
    ));
    if !args.values {
        screen.say(format!(
            "{} the same with --values shows what each side has",
            screen.ink_err(Ink::Name, "next:")
        ));
    }
}

fn words(difference: &Difference) -> (String, &'static str, String) {
    match difference {
        Difference::Different { key, fields } => {
            let columns: Vec<&str> = fields.iter().map(|field| field.column.as_str()).collect();
            (cells::key(key), "different", columns.join(", "))
        }
        Difference::Missing { key } => (cells::key(key), "missing at the target", String::new()),
        Difference::Extra { key } => (cells::key(key), "only at the target", String::new()),
        Difference::NotComparable { key, column, reason } => {
            let column = column.as_deref().map_or_else(String::new, |column| format!("{column}: "));
            (cells::key(key), "not comparable", format!("{column}{reason}"))
        }
    }
}

fn value_rows(grid: &mut Grid, difference: &Difference) {
    let (key, what, columns) = words(difference);
    let what = (what.to_owned(), Some(Ink::Warn));
    let Difference::Different { fields, .. } = difference else {
        grid.inked_row([(key, None), what, (columns, None), (String::new(), None), (String::new(), None)]);
        return;
    };
    for (at, field) in fields.iter().enumerate() {
        let first = at == 0;
        grid.inked_row([
            (if first { key.clone() } else { String::new() }, None),
            if first { what.clone() } else { (String::new(), None) },
            (field.column.clone(), None),
            (cells::value(&field.source), None),
            (cells::value(&field.target), None),
        ]);
    }
}

fn as_json(plan: &TablePlan, difference: &Difference, with_values: bool) -> serde_json::Value {
    let table = plan.source.table.to_string();
    match difference {
        Difference::Different { key, fields } => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| {
                    if with_values {
                        json!({ "column": field.column, "source": field.source, "target": field.target })
                    } else {
                        json!({ "column": field.column })
                    }
                })
                .collect();
            json!({ "table": table, "what": "different", "key": key, "fields": fields })
        }
        Difference::Missing { key } => json!({ "table": table, "what": "missing", "key": key }),
        Difference::Extra { key } => json!({ "table": table, "what": "extra", "key": key }),
        Difference::NotComparable { key, column, reason } => {
            json!({ "table": table, "what": "not-comparable", "key": key, "column": column, "reason": reason })
        }
    }
}

/// A key from the command line, in the source's types.
fn parse_key(plan: &TablePlan, text: &str) -> Result<Key, Problem> {
    let types: Vec<&LogicalType> = plan.key.iter().map(|at| &plan.columns[*at].source.logical).collect();
    let parts: Vec<&str> =
        if types.len() == 1 { vec![text] } else { text.split(',').map(str::trim).collect() };
    let refuse = |detail: String| {
        Problem::new(code::BAD_SETTING, detail, format!("--key takes: {}", plan.source_key().join(",")))
    };
    if parts.len() != types.len() {
        return Err(refuse(format!("the key has {}", counted(types.len() as u64, "column"))));
    }
    let values = parts.iter().zip(types).map(|(part, logical)| {
        model::convert::read(part, logical)
            .map_err(|error| refuse(format!("`{part}` is not of type {logical}: {}", error.reason)))
    });
    values.collect::<Result<Vec<_>, _>>().map(Key)
}
