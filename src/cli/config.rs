//! `syncline config`: the JSON schema of specs, for editors; and what the environment says.

use clap::Subcommand;
use serde_json::json;
use service::Problem;
use service::environment::{self, Origin};
use service::problem::code;

use super::context::Context;
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The JSON schema of specs
    Schema,
    /// The pipeline that MYSQL_*, MONGODB_* and SYNC_* describe, as a spec file that says the same
    Show {
        /// The variables instead: what each holds, and whether that came from the environment, from .env, or is the default
        #[arg(long)]
        origin: bool,
    },
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    match args.what {
        What::Schema => schema(context),
        What::Show { origin: false } => {
            context.screen.print(environment::spec_text()?.trim_end());
            Ok(DONE)
        }
        What::Show { origin: true } => {
            origins(context);
            Ok(DONE)
        }
    }
}

fn origins(context: &Context) {
    let screen = &context.screen;
    let mut grid = Grid::new(&[Column::text("variable"), Column::text("value"), Column::text("from")]);
    for variable in environment::VARIABLES {
        let (value, origin) = environment::value_of(variable);
        let shown = if variable.secret { value.map(|_hidden| "(hidden)".to_owned()) } else { value };
        if screen.json {
            let line = json!({ "name": variable.name, "value": shown, "from": origin.name(), "required": variable.required });
            screen.event("variable", &line);
            continue;
        }
        let ink = match (origin, variable.required) {
            (Origin::Unset, true) => Some(Ink::Bad),
            (Origin::Unset | Origin::Default, _) => Some(Ink::Faint),
            (Origin::Environment | Origin::File, _) => None,
        };
        let shown = shown.unwrap_or_else(|| "–".to_owned());
        grid.inked_row([(variable.name.to_owned(), None), (shown, None), (origin.name().to_owned(), ink)]);
    }
    if !screen.json {
        grid.print(screen);
    }
}

fn schema(context: &Context) -> Outcome {
    let schema = serde_json::to_string_pretty(&service::spec_schema())
        .map_err(|error| Problem::new(code::INTERNAL, error.to_string(), "report it"))?;
    context.screen.print(schema);
    Ok(DONE)
}
