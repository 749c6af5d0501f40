//! The command line: a file per subcommand. The only module that prints.

mod alerts;
mod audit;
mod bars;
mod check;
mod completions;
mod config;
mod conflicts;
mod context;
mod control;
mod demo;
mod diff;
mod doctor;
mod execute;
mod explain;
mod follow;
mod grid;
mod init;
mod ledger;
mod listen;
mod pipelines;
mod plan;
mod progress;
mod quarantine;
mod record;
mod resync;
mod retry;
mod run;
mod runs;
mod screen;
mod security;
mod serve;
mod show;
mod status;
mod tables;
mod token;
mod verify;
mod worker;
mod workers;

use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use service::problem::code;
use service::{LogFormat, Problem};

use self::context::Context;
use self::screen::{ColorChoice, Screen};

/// What a command came to: its exit code, or a problem that has one.
type Outcome = Result<u8, Problem>;

/// Done, nothing to say.
const DONE: u8 = 0;
/// Done, but rows were quarantined or differ.
const INCOMPLETE: u8 = 3;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::White.on_default().dimmed());

const AFTER_HELP: &str = "\
First steps:
  syncline demo                   see it work; needs no server
  syncline init --from sqlite:a.db --to sqlite:b.db --out spec.yaml
  syncline plan spec.yaml         what would be done
  syncline run spec.yaml          do it
  syncline verify spec.yaml       compare both sides

Exit codes:
  0 done                 3 done, but rows quarantined or different    6 not permitted
  1 failed               4 spec or setting invalid                    7 conflict
  2 wrong usage          5 not reachable                              8 refused for safety
  130, 143 interrupted; what was under way is given back";

/// Copies, merges and verifies tables between databases: in parallel, restartable at any point.
#[derive(Debug, Parser)]
#[command(name = "syncline", version, styles = STYLES, after_help = AFTER_HELP, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Print JSON, one object a line; errors too, on stderr
    #[arg(long, global = true)]
    json: bool,
    /// Colours; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    color: ColorChoice,
    /// No bars, no colours: a line now and then
    #[arg(long, global = true)]
    plain: bool,
    /// Where runs are recorded: a SQLite file, or to share it mysql:// or postgres://user:password@host/database
    #[arg(long, global = true, value_name = "URL", env = "SYNCLINE_LEDGER", hide_env_values = true, default_value = context::LEDGER_DEFAULT)]
    ledger: String,
    /// Log more to stderr; twice for debug. SYNCLINE_LOG sets a filter
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Form of log lines: human or json
    #[arg(long, global = true, value_name = "FORM", default_value = "human")]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a spec by looking at the databases
    Init(init::Args),
    /// Check a spec without connecting to anything
    Check(check::Args),
    /// Check databases, ledger and queue: reachable, writable, clocks
    Doctor(doctor::Args),
    /// Show what a run would do; writes nothing
    Plan(plan::Args),
    /// Copy and verify the tables of a spec
    Run(run::Args),
    /// Read incremental tables whole once more
    Resync(resync::Args),
    /// Compare both sides; writes nothing
    Verify(verify::Args),
    /// Name the rows and fields that differ in one table
    Diff(diff::Args),
    /// Where a run stands
    Status(status::Args),
    /// List runs
    Runs(runs::Args),
    /// The record of a run, its chunks and their attempts
    Show(show::Args),
    /// Rows set aside: list, export
    Quarantine(quarantine::Args),
    /// Rows that were changed on both sides, and which side won
    Conflicts(conflicts::Args),
    /// Set quarantined chunks going again
    Retry(retry::Args),
    /// Hold a run: what is under way is given back, nothing is lost
    Pause(control::Args),
    /// Let a paused run go on, or set a failed or cancelled one going again
    Resume(control::Args),
    /// Change how fast a run may go, while it goes on
    Set(control::SetArgs),
    /// Stop a run
    Cancel(control::Args),
    /// What `serve` runs again and again: list, pause, resume, trigger, change the interval
    Pipelines(pipelines::Args),
    /// List workers, or ask one to finish what it holds and leave
    Workers(workers::Args),
    /// Coordinate runs, for workers on many machines or in this process, and start those of pipelines
    Serve(serve::Args),
    /// Work for a `serve`, as one of many
    Worker(worker::Args),
    /// Messages to people about runs that failed: list them, or see that they arrive
    Alerts(alerts::Args),
    /// Who may use the HTTP API: make, list and revoke tokens
    Token(token::Args),
    /// Security events: jobs that nobody believed, tokens that were refused
    Security(security::Args),
    /// Who asked for what: list, verify, export
    Audit(audit::Args),
    /// See to the ledger itself, after it was restored from a copy
    Ledger(ledger::Args),
    /// See it work: copy 215,000 rows, kill it in the middle, resume, verify
    Demo(demo::Args),
    /// Print shell completions
    Completions(completions::Args),
    /// Explain an error code
    Explain(explain::Args),
    /// Print the JSON schema of specs, or what the environment says
    Config(config::Args),
}

/// Threads stop at once, unless the system holds one up: in looking up a name, in a file.
const THREADS_STOP_WITHIN: Duration = Duration::from_millis(300);

/// Parses the command line, does what it says and returns the exit code.
pub(crate) fn main() -> u8 {
    // Before anything is parsed: flags have variables too.
    let loaded = service::environment::load_file();
    let Cli { globals, command } = Cli::parse();
    let screen = Screen::new(globals.json, globals.plain, globals.color);
    let started = loaded.and_then(|()| start_logs(&globals, &command)).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|e| {
            Problem::new(code::INTERNAL, format!("no runtime: {e}"), "check the limits of this user")
        })
    });
    let runtime = match started {
        Ok(runtime) => runtime,
        Err(problem) => return screen.problem(&problem),
    };
    let context = Context::new(screen, globals.ledger);
    let outcome = runtime.block_on(dispatch(&context, command));
    // What is still under way was given up on purpose: nobody waits for its end, only for its threads to stop. One that
    // goes on while the process leaves would use libraries that have cleaned up after themselves.
    runtime.shutdown_timeout(THREADS_STOP_WITHIN);
    match outcome {
        Ok(exit) => context.screen.finish(exit),
        Err(problem) => context.screen.problem(&problem),
    }
}

/// Services log what they do; commands speak for themselves.
fn start_logs(globals: &Globals, command: &Command) -> Result<(), Problem> {
    let is_service = matches!(command, Command::Serve(_) | Command::Worker(_));
    let fallback = match (globals.verbose, is_service) {
        (0, false) => "off",
        (0, true) | (1, _) => "info,sqlx=warn,apalis=warn",
        (_, _) => "debug,sqlx=info",
    };
    service::telemetry::init(globals.log_format, fallback).map_err(|error| Problem::from(&error))
}

async fn dispatch(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Init(args) => Box::pin(init::run(context, args)).await,
        Command::Check(args) => check::run(context, &args),
        Command::Doctor(args) => Box::pin(doctor::run(context, &args)).await,
        Command::Plan(args) => Box::pin(plan::run(context, &args)).await,
        Command::Run(args) => Box::pin(run::run(context, args)).await,
        Command::Resync(args) => Box::pin(resync::run(context, &args)).await,
        Command::Verify(args) => Box::pin(verify::run(context, &args)).await,
        Command::Diff(args) => Box::pin(diff::run(context, &args)).await,
        Command::Status(args) => Box::pin(status::run(context, &args)).await,
        Command::Runs(args) => Box::pin(runs::run(context, &args)).await,
        Command::Show(args) => Box::pin(show::run(context, &args)).await,
        Command::Alerts(args) => alerts::run(context, args).await,
        Command::Conflicts(args) => conflicts::run(context, args).await,
        Command::Quarantine(args) => Box::pin(quarantine::run(context, args)).await,
        Command::Retry(args) => Box::pin(retry::run(context, &args)).await,
        Command::Pause(args) => Box::pin(control::pause(context, &args)).await,
        Command::Resume(args) => Box::pin(control::resume(context, &args)).await,
        Command::Set(args) => Box::pin(control::set(context, &args)).await,
        Command::Cancel(args) => Box::pin(control::cancel(context, &args)).await,
        Command::Pipelines(args) => Box::pin(pipelines::run(context, &args)).await,
        Command::Workers(args) => Box::pin(workers::run(context, &args)).await,
        Command::Serve(args) => Box::pin(serve::run(context, &args)).await,
        Command::Worker(args) => Box::pin(worker::run(context, &args)).await,
        Command::Token(args) => Box::pin(token::run(context, &args)).await,
        Command::Security(args) => Box::pin(security::run(context, &args)).await,
        Command::Audit(args) => Box::pin(audit::run(context, &args)).await,
        Command::Ledger(args) => Box::pin(ledger::run(context, args)).await,
        Command::Demo(args) => Box::pin(demo::run(context, args)).await,
        Command::Completions(args) => completions::run(context, &args),
        Command::Explain(args) => explain::run(context, &args),
        Command::Config(args) => config::run(context, &args),
    }
}
