//! `syncline config schema`: the JSON schema of specs, for editors.

use clap::Subcommand;
use service::Problem;
use service::problem::code;

use super::context::Context;
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
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let What::Schema = args.what;
    let schema = serde_json::to_string_pretty(&service::spec_schema())
        .map_err(|error| Problem::new(code::INTERNAL, error.to_string(), "report it"))?;
    context.screen.print(schema);
    Ok(DONE)
}
