//! What is wrong with a spec, where, and what to do.

use std::fmt;
use std::io;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::form::Place;
use super::redact::redact;
use crate::problem::{Page, code};

/// Columns of a rendered message; narrow enough for half a screen.
const WIDTH: usize = 100;

/// Everything that is wrong with a spec. `Display` is a line per problem, `render` shows the places.
#[derive(Debug)]
pub struct SpecError {
    name: String,
    /// The file with inline secrets blotted out; same length, same lines.
    text: Arc<str>,
    problems: Vec<SpecProblem>,
}

impl SpecError {
    pub(super) fn invalid(name: &str, text: &str, mut problems: Vec<SpecProblem>) -> Self {
        problems.sort_by_key(|problem| problem.place.start);
        Self { name: name.to_owned(), text: redact(text).into(), problems }
    }

    pub(super) fn unreadable(name: &str, error: &io::Error) -> Self {
        let problem = SpecProblem::new(code::SPEC_UNREADABLE, error.to_string(), Place::default());
        Self { name: name.to_owned(), text: "".into(), problems: vec![problem] }
    }

    /// In the order of the file; never empty.
    #[must_use]
    pub fn problems(&self) -> &[SpecProblem] {
        &self.problems
    }

    /// The code of the only problem, or the general one if there are several.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.problems.as_slice() {
            [only] => only.code(),
            _ => code::SPEC_INVALID.code,
        }
    }

    /// Whether there was no text to check at all.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.problems.iter().any(|problem| problem.page == code::SPEC_UNREADABLE)
    }

    /// Each problem with its place and help, for people; with its code too if there are several, since the code of
    /// a single one stands in the header that `Problem` prints.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
        let mut rendered = String::new();
        for problem in &self.problems {
            let shown = Shown::new(self, problem);
            if handler.render_report(&mut rendered, &shown).is_err() {
                rendered.push_str(&problem.message);
            }
            rendered.push('\n');
        }
        rendered.truncate(rendered.trim_end().len());
        rendered
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> String {
        match self.problems.as_slice() {
            _ if self.is_unreadable() => format!("ls -l {}", self.name),
            [_only] => format!("correct it, then: syncline check {}", self.name),
            several => format!("correct the {} problems, then: syncline check {}", several.len(), self.name),
        }
    }

    /// Line and column of a problem, from 1; columns count characters.
    #[must_use]
    pub fn line_and_column(&self, problem: &SpecProblem) -> (usize, usize) {
        let before = &self.text[..problem.place.within(&self.text).start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unreadable() {
            return self
                .problems
                .iter()
                .try_for_each(|problem| write!(f, "{}: {}", self.name, problem.message));
        }
        for (i, problem) in self.problems.iter().enumerate() {
            let (line, column) = self.line_and_column(problem);
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}:{column}: {}: {}", self.name, problem.code(), problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

/// One thing that is wrong. The message holds names, never values of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    page: &'static Page,
    pub message: String,
    pub help: Option<String>,
    label: Option<String>,
    pub(super) place: Place,
}

impl SpecProblem {
    pub(super) fn new(page: &'static Page, message: impl Into<String>, place: Place) -> Self {
        // A key of the file may be part of the message; its control characters are not for the terminal.
        let message = message.into().replace(char::is_control, "?");
        Self { page, message, help: None, label: None, place }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.page.code
    }
}

/// A problem as miette wants it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a SpecProblem,
    source: NamedSource<Arc<str>>,
    span: LabeledSpan,
    with_code: bool,
}

impl<'a> Shown<'a> {
    fn new(error: &SpecError, problem: &'a SpecProblem) -> Self {
        let label = problem.label.clone().unwrap_or_else(|| "here".to_owned());
        Self {
            problem,
            source: NamedSource::new(&error.name, Arc::clone(&error.text)),
            span: LabeledSpan::new_with_span(Some(label), problem.place.within(&error.text)),
            with_code: error.problems.len() > 1,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.with_code.then(|| Box::new(self.problem.code()) as Box<dyn fmt::Display>)
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.span.clone())))
    }
}
