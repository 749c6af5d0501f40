//! `syncline completions`: what a shell needs to complete commands and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::context::Context;
use super::{Cli, DONE, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

#[allow(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "syncline", &mut script);
    context.screen.print(String::from_utf8_lossy(&script).trim_end());
    Ok(DONE)
}
