//! `syncline demo`: the main job on a laptop with nothing installed, and a kill in the middle of it.

mod data;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ledger::{Ledger, LedgerUrl};
use model::{RunId, RunKind, RunRecord, RunState};
use service::Problem;
use service::problem::code;
use tokio::process::{Child, Command};

use super::context::{Context, ledger_problem, output_problem};
use super::follow::record_of;
use super::progress::Progress;
use super::screen::{Ink, ProgressStyle, Screen};
use super::{DONE, Outcome};
use model::human::{count, counted, duration};

/// Chunks are small, so that there is a middle to be killed in.
const SPEC: &str = "\
version: 1
name: demo

source: { engine: sqlite, path: source.db }
target: { engine: sqlite, path: target.db }

defaults:
  mode: merge
  chunk: { rows_max: 5000 }         # small, so that much is under way when the run is killed

tables:
  - from: \"*\"                       # 12 tables, parents before children, made at the target
";
/// Between looks at the ledger while the first run goes on.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for the first run to get to its middle.
const MIDDLE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the files go, and stay; a temporary folder if absent
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Rows of the large table
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    rows: u32,
    /// Keep the temporary folder
    #[arg(long)]
    keep: bool,
}

/// What the steps share.
struct Stage<'a> {
    screen: &'a Screen,
    dir: PathBuf,
    started: Instant,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let is_kept = args.keep || args.dir.is_some();
    let dir = args
        .dir
        .unwrap_or_else(|| std::env::temp_dir().join(format!("syncline-demo-{}", std::process::id())));
    make_folder(&dir)?;
    let stage = Stage { screen: &context.screen, dir, started: Instant::now() };
    let outcome = perform(&stage, args.rows).await;
    if is_kept {
        context.screen.say(format!("\nfiles: {}", stage.dir.display()));
    } else if outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&stage.dir);
    } else {
        context.screen.say(format!("\nkept for a look: {}", stage.dir.display()));
    }
    outcome
}

/// An empty folder; nothing of anybody's is ever overwritten.
fn make_folder(dir: &Path) -> Result<(), Problem> {
    std::fs::create_dir_all(dir).map_err(|error| output_problem(dir, &error))?;
    let mut entries = std::fs::read_dir(dir).map_err(|error| output_problem(dir, &error))?;
    if entries.next().is_some() {
        let detail = format!("{} is not empty", dir.display());
        return Err(Problem {
            exit: 7,
            ..Problem::new(code::OUTPUT, detail, "name a new folder with --dir")
        });
    }
    Ok(())
}

async fn perform(stage: &Stage<'_>, rows: u32) -> Outcome {
    let made = make_data(stage, rows).await?;
    let total = made.chinook + made.customers;
    let (ledger, run, at_kill) = run_and_kill(stage).await?;
    show_wreck(stage, &at_kill, total);

    stage.step(4, "resume it", "syncline run spec.yaml --resume");
    stage.child_to_end(&["run", "spec.yaml", "--resume"]).await?;
    let record = record_of(&ledger, run).await?;

    stage.step(5, "verify: read both sides again and compare every row", "syncline verify spec.yaml");
    stage.child_to_end(&["verify", "spec.yaml"]).await?;
    let verified = ledger.latest_run("demo").await.map_err(|e| ledger_problem(&e))?;
    let verified = match verified.filter(|run| run.kind == RunKind::Verify) {
        Some(run) => record_of(&ledger, run.id).await?,
        None => return Err(unproven("the verify left no run")),
    };
    ledger.close().await;
    conclude(stage, total, &at_kill, &record, &verified)
}

async fn make_data(stage: &Stage<'_>, rows: u32) -> Result<data::Made, Problem> {
    stage.step(1, "make a source database", "source.db");
    let began = Instant::now();
    let made = data::make(&stage.dir.join("source.db"), rows).await.map_err(|error| {
        Problem::new(code::INTERNAL, format!("the source could not be made: {error}"), "check the disk")
    })?;
    let spec = stage.dir.join("spec.yaml");
    std::fs::write(&spec, SPEC).map_err(|error| output_problem(&spec, &error))?;
    stage.tell(&format!(
        "Chinook (11 tables, {} rows) and customers ({} rows: Unicode, decimals, JSON, gaps in the key) in {}",
        count(made.chinook),
        count(made.customers),
        duration(began.elapsed())
    ));
    Ok(made)
}

/// Starts a run in a process of its own and kills it when part of the large table is copied.
async fn run_and_kill(stage: &Stage<'_>) -> Result<(Ledger, RunId, RunRecord), Problem> {
    stage.step(2, "copy it, in a process of its own", "syncline run spec.yaml");
    let mut child = stage.start(&["run", "spec.yaml"], true)?;
    let url = LedgerUrl::Sqlite(stage.dir.join("syncline.db"));
    let mut progress = Progress::new(stage.screen);
    let found = wait_for_middle(&url, &mut child, &mut progress).await;
    progress.clear();
    let (ledger, record) = found?;
    stage.step(3, "kill -9 it in the middle", &format!("kill -9 {}", child.id().unwrap_or(0)));
    child
        .kill()
        .await
        .map_err(|error| Problem::new(code::INTERNAL, format!("kill: {error}"), "run the demo again"))?;
    let record = record_of(&ledger, record.id).await?;
    Ok((ledger, record.id, record))
}

/// Watches until some chunks are done while others are at work.
async fn wait_for_middle(
    url: &LedgerUrl,
    child: &mut Child,
    progress: &mut Progress<'_>,
) -> Result<(Ledger, RunRecord), Problem> {
    let started = Instant::now();
    let mut ledger = None;
    while started.elapsed() < MIDDLE_MAX {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(unproven(&format!(
                "the run ended before it could be killed ({status}); try --rows 1000000"
            )));
        }
        let exists = matches!(url, LedgerUrl::Sqlite(path) if path.exists());
        if ledger.is_none() && exists {
            ledger = Ledger::open(url).await.ok();
        }
        if let Some(open) = &ledger
            && let Ok(runs) = open.runs(1).await
            && let Some(run) = runs.first()
            && let Ok(Some(record)) = open.record(run.id).await
        {
            if progress.moves() {
                progress.update(&record);
            }
            if is_middle(&record) {
                return Ok((open.clone(), record));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let _ = child.kill().await;
    Err(unproven("the run did not get to its middle in a minute"))
}

/// A third of the large table is done, and more is under way.
fn is_middle(record: &RunRecord) -> bool {
    record.tables.iter().any(|table| {
        let estimate = table.rows_estimate.unwrap_or(u64::MAX);
        table.source == "customers" && table.counts.read > estimate / 3 && table.chunks.running > 0
    })
}

fn show_wreck(stage: &Stage<'_>, at_kill: &RunRecord, total: u64) {
    stage.tell(&format!(
        "{} of {} rows are at the target; {} cut off in the middle of their transactions",
        count(at_kill.counts.inserted),
        count(total),
        if at_kill.chunks.running == 1 {
            "1 chunk was".to_owned()
        } else {
            format!("{} chunks were", at_kill.chunks.running)
        }
    ));
}

/// Says what was shown, if it was.
fn conclude(
    stage: &Stage<'_>,
    total: u64,
    at_kill: &RunRecord,
    record: &RunRecord,
    verified: &RunRecord,
) -> Outcome {
    let c = &record.counts;
    let copied_once = record.state == RunState::Done && c.read == total && c.inserted == total;
    let equal =
        verified.state == RunState::Done && verified.counts.matching == total && verified.counts.extra == 0;
    if !copied_once {
        return Err(unproven(&format!(
            "{} of {} rows were inserted, run {}",
            count(c.inserted),
            count(total),
            record.state
        )));
    }
    if !equal {
        return Err(unproven(&format!("{} of {} rows match", count(verified.counts.matching), count(total))));
    }
    let screen = stage.screen;
    if screen.json {
        screen.event(
            "demo-done",
            &serde_json::json!({
                "rows": total, "inserted_before_kill": at_kill.counts.inserted, "verified": true,
                "seconds": stage.started.elapsed().as_secs_f64(),
            }),
        );
        return Ok(DONE);
    }
    screen.print(format!(
        "\n{} {}, each copied exactly once; both sides are equal.\n       {} were there before the kill, and none of those was written again.",
        screen.ink(Ink::Good, "shown:"),
        counted(total, "row"),
        count(at_kill.counts.inserted)
    ));
    screen.say(format!("whole demo: {}", duration(stage.started.elapsed())));
    screen.say(format!(
        "{} syncline init --from sqlite:your.db --to mysql://user@host/database --out spec.yaml",
        screen.ink_err(Ink::Name, "next:")
    ));
    Ok(DONE)
}

fn unproven(detail: &str) -> Problem {
    Problem::new(
        code::RUN_FAILED,
        format!("the demo could not show what it should: {detail}"),
        "syncline demo --keep",
    )
}

impl Stage<'_> {
    /// A heading.
    fn step(&self, number: u8, text: &str, command: &str) {
        if self.screen.json {
            self.screen
                .event("demo-step", &serde_json::json!({ "step": number, "text": text, "command": command }));
            return;
        }
        let screen = self.screen;
        let head = screen.ink(Ink::Strong, format!("{number}  {text}"));
        let gap = if number == 1 { "" } else { "\n" };
        screen.print(format!("{gap}{head}   {}", screen.ink(Ink::Faint, command)));
    }

    fn tell(&self, text: &str) {
        if !self.screen.json {
            self.screen.print(format!("   {text}"));
        }
    }

    /// This program again, in the demo's folder. `silent`: we watch its ledger instead of its output.
    fn start(&self, arguments: &[&str], silent: bool) -> Result<Child, Problem> {
        let failed = |error: std::io::Error| {
            Problem::new(code::INTERNAL, format!("cannot start: {error}"), "syncline demo")
        };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(arguments).args(["--ledger", "syncline.db"]).current_dir(&self.dir).kill_on_drop(true);
        if self.screen.json {
            command.arg("--json");
        }
        if self.screen.progress == ProgressStyle::Lines {
            command.arg("--plain");
        }
        if self.screen.colors_out() {
            command.args(["--color", "always"]);
        }
        command.stdin(Stdio::null());
        if silent {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        } else if self.screen.progress != ProgressStyle::Bars {
            // Its talk would stand beside the story, not in it; it is shown if something goes wrong.
            command.stderr(Stdio::piped());
        }
        command.spawn().map_err(failed)
    }

    /// Runs a command to its end and wants it to succeed.
    async fn child_to_end(&self, arguments: &[&str]) -> Result<(), Problem> {
        let child = self.start(arguments, false)?;
        let ended = child.wait_with_output().await.map_err(|error| unproven(&error.to_string()))?;
        if ended.status.success() {
            return Ok(());
        }
        self.screen.say(String::from_utf8_lossy(&ended.stderr).trim_end());
        Err(unproven(&format!("`syncline {}` ended with {}", arguments.join(" "), ended.status)))
    }
}
