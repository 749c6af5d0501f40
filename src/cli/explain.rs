//! `syncline explain`: the page of an error code, offline.

use service::Problem;
use service::problem::{ALL, code};

use super::context::Context;
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The code, such as SYN-2002; all codes are listed without it
    code: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let screen = &context.screen;
    let Some(wanted) = &args.code else {
        let mut grid =
            Grid::new(&[Column::text("code"), Column::number("exit"), Column::text("what happened")]);
        for page in ALL {
            grid.row([page.code, &page.exit.to_string(), page.title]);
        }
        grid.print(screen);
        return Ok(DONE);
    };
    let is_wanted =
        |code: &str| code.eq_ignore_ascii_case(wanted) || code.strip_prefix("SYN-") == Some(wanted);
    let Some(page) = ALL.iter().find(|page| is_wanted(page.code)) else {
        return Err(Problem::new(
            code::BAD_SETTING,
            format!("no code `{wanted}`"),
            "syncline explain, which lists all",
        ));
    };
    if screen.json {
        let body = serde_json::json!({ "code": page.code, "exit": page.exit, "title": page.title, "text": page.text });
        screen.event("code", &body);
    } else {
        let head = screen.ink(Ink::Strong, format!("{}: {}", page.code, page.title));
        screen.print(format!("{head} (exit code {})\n\n{}", page.exit, wrapped(page.text)));
    }
    Ok(DONE)
}

/// Lines of at most 90 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > 90 {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
