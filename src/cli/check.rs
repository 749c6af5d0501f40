//! `syncline check`: a spec without connecting to anything.

use std::path::PathBuf;

use model::RunSpec;
use service::Problem;
use service::problem::code;

use super::context::Context;
use super::screen::Ink;
use super::{DONE, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file; without one the pipeline that MYSQL_*, MONGODB_* and SYNC_* describe
    #[arg(default_value = super::context::ENVIRONMENT, hide_default_value = true)]
    spec: PathBuf,
    /// Refuse what is allowed but unwise, such as a password in the file
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let screen = &context.screen;
    let loaded = context.load_spec(&args.spec)?;
    if args.strict && !loaded.warnings.is_empty() {
        let next = format!("correct it, then: syncline check --strict {}", args.spec.display());
        return Err(Problem::new(code::SPEC_INVALID, loaded.warnings.join("\n"), next));
    }
    let spec = &loaded.spec;
    if screen.json {
        screen.event(
            "checked",
            &serde_json::json!({
                "name": spec.name, "source": spec.source.address(), "target": spec.target.address(),
                "tables": spec.tables.len(), "warnings": loaded.warnings,
            }),
        );
        return Ok(DONE);
    }
    screen.print(format!("{} {}", screen.ink(Ink::Good, "ok"), describe(spec)));
    screen.say(format!("{} syncline plan {}", screen.ink_err(Ink::Name, "next:"), args.spec.display()));
    Ok(DONE)
}

fn describe(spec: &RunSpec) -> String {
    let entries = match spec.tables.len() {
        1 => "1 table entry".to_owned(),
        n => format!("{n} table entries"),
    };
    let patterns = match spec.tables.iter().filter(|table| table.is_pattern()).count() {
        0 => String::new(),
        n => format!(", {n} by pattern"),
    };
    format!("{}: {} → {}, {entries}{patterns}", spec.name, spec.source.address(), spec.target.address())
}
