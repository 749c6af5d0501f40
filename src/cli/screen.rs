//! The two streams: stdout is data, stderr is talk. Every line the program writes goes through here.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use service::Problem;
use service::problem::code;

/// Version of the events and objects that `--json` prints.
pub(super) const JSON_VERSION: u8 = 1;
/// Width of talk and tables where the terminal does not tell.
const WIDTH_UNKNOWN: usize = 200;

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
    Name,
}

impl Ink {
    const fn code(self) -> &'static str {
        match self {
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Name => "36",
        }
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgressStyle {
    /// Bars that move.
    Bars,
    /// A line now and then.
    Lines,
    /// NDJSON events on stdout.
    Events,
}

/// Where and how to write.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) json: bool,
    pub(super) progress: ProgressStyle,
    color_out: bool,
    color_err: bool,
    /// Stdout could not be written, for a reason other than a reader that left.
    failed: AtomicBool,
}

impl Screen {
    pub(super) fn new(json: bool, plain: bool, color: ColorChoice) -> Self {
        let variable = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colored = |is_terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !plain && !is_dumb && !variable("NO_COLOR"),
        };
        let moves = io::stderr().is_terminal() && !plain && !is_dumb && !variable("CI");
        let progress = match (json, moves) {
            (true, _) => ProgressStyle::Events,
            (false, true) => ProgressStyle::Bars,
            (false, false) => ProgressStyle::Lines,
        };
        let (color_out, color_err) =
            (colored(io::stdout().is_terminal()), colored(io::stderr().is_terminal()));
        Self { json, progress, color_out, color_err, failed: AtomicBool::new(false) }
    }

    /// Data: a line on stdout.
    pub(super) fn print(&self, line: impl AsRef<str>) {
        let written = writeln!(io::stdout().lock(), "{}", line.as_ref());
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.failed.store(true, Ordering::Relaxed)
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Data: one JSON object on a line of stdout, with the version of its form.
    pub(super) fn event(&self, name: &str, body: &impl Serialize) {
        let mut object = serde_json::Map::new();
        object.insert("v".to_owned(), JSON_VERSION.into());
        object.insert("event".to_owned(), name.into());
        match serde_json::to_value(body) {
            Ok(serde_json::Value::Object(fields)) => object.extend(fields),
            Ok(value) => drop(object.insert("data".to_owned(), value)),
            Err(_) => self.failed.store(true, Ordering::Relaxed),
        }
        self.print(serde_json::Value::Object(object).to_string());
    }

    /// Talk: a line on stderr; with `--json` there is none.
    pub(super) fn say(&self, line: impl AsRef<str>) {
        if !self.json {
            // Nobody can be told that stderr is gone.
            let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
        }
    }

    /// Talk: something that may surprise later.
    pub(super) fn warn(&self, text: impl AsRef<str>) {
        self.say(format!("{} {}", self.ink_err(Ink::Warn, "warning:"), text.as_ref()));
    }

    /// Text for stdout in a colour, if there are any.
    pub(super) fn ink(&self, ink: Ink, text: impl AsRef<str>) -> String {
        paint(self.color_out, ink, text.as_ref())
    }

    /// Text for stderr in a colour, if there are any.
    pub(super) fn ink_err(&self, ink: Ink, text: impl AsRef<str>) -> String {
        paint(self.color_err, ink, text.as_ref())
    }

    pub(super) fn colors_out(&self) -> bool {
        self.color_out
    }

    pub(super) fn colors_err(&self) -> bool {
        self.color_err
    }

    /// Columns of the terminal on stdout; many if it is none.
    pub(super) fn width(&self) -> usize {
        if !io::stdout().is_terminal() {
            return WIDTH_UNKNOWN;
        }
        comfy_table::Table::new().width().map_or(WIDTH_UNKNOWN, usize::from)
    }

    /// How every failed command ends. Returns its exit code.
    pub(super) fn problem(&self, problem: &Problem) -> u8 {
        let mut stderr = io::stderr().lock();
        let _ = if self.json {
            let body = serde_json::json!({ "v": JSON_VERSION, "event": "error", "error": problem });
            writeln!(stderr, "{body}")
        } else {
            writeln!(stderr, "{}", self.painted(problem))
        };
        problem.exit
    }

    fn painted(&self, problem: &Problem) -> String {
        let plain = problem.to_string();
        let head = format!("error[{}]:", problem.code);
        let rest = plain.strip_prefix(&head).unwrap_or(&plain);
        let (middle, next) = rest.rsplit_once("\n  next: ").unwrap_or((rest, ""));
        let (head, label) = (self.ink_err(Ink::Bad, head), self.ink_err(Ink::Name, "next:"));
        format!("{head}{middle}\n  {label} {next}")
    }

    /// The code of a command that succeeded, unless its output was lost.
    pub(super) fn finish(&self, exit: u8) -> u8 {
        if !self.failed.load(Ordering::Relaxed) {
            return exit;
        }
        let lost =
            Problem::new(code::OUTPUT, "standard output", "free space where the output goes, then run again");
        self.problem(&lost)
    }
}

fn paint(colored: bool, ink: Ink, text: &str) -> String {
    if colored && !text.is_empty() {
        format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
    } else {
        text.to_owned()
    }
}
