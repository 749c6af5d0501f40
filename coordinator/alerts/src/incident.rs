//! Whether the end of a run is news.

use ledger::Run;
use model::ErrorKind;
use model::alert::{AlertRule, Occasion};

use crate::anomaly;

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// An incident begins.
    Began(Occasion),
    /// The run went well, and the one before it had not.
    Resolved(Occasion),
}

impl Event {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Began(occasion) => occasion.name(),
            Self::Resolved(_) => "resolved",
        }
    }

    pub(crate) fn concerns(self, rule: &AlertRule) -> bool {
        let (Self::Began(occasion) | Self::Resolved(occasion)) = self;
        rule.on.contains(&occasion)
    }
}

/// What the end of `run` tells. A run that ends as `before` did, the last of its spec that ended earlier, is the same
/// incident still.
pub(crate) fn event(run: &Run, before: Option<&Run>) -> Option<Event> {
    let (now, earlier) = (how(run), before.map(how));
    match (now, earlier) {
        ((Some(_), _), Some(earlier)) if now == earlier => None,
        ((Some(occasion), _), _) => Some(Event::Began(occasion)),
        ((None, _), Some((Some(occasion), _))) => Some(Event::Resolved(occasion)),
        ((None, _), Some((None, _)) | None) => None,
    }
}

fn how(run: &Run) -> (Option<Occasion>, Option<ErrorKind>) {
    (Occasion::of(run.state), run.cause.as_ref().map(|cause| cause.kind))
}

/// What the figures of a run tell, and those of the one before.
pub(crate) fn of_figures(now: Option<&str>, before: Option<&str>) -> Option<Event> {
    match (now, before) {
        (Some(_), None) => Some(Event::Began(Occasion::Anomaly)),
        (None, Some(_)) => Some(Event::Resolved(Occasion::Anomaly)),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// The run of the same spec and kind that ended before this one began, of `runs`.
pub(crate) fn before<'a>(run: &'a Run, runs: &'a [Run]) -> Option<&'a Run> {
    anomaly::earlier(run, runs).find(|run| run.state.is_terminal())
}
