//! The points of a build that has them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

const ASKED: &str = "SYNCLINE_FAILPOINTS";
const MARKS: &str = "SYNCLINE_FAILPOINTS_DIR";

/// What a point does to the process or to its own task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Stop,
    Hang,
    Panic,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    name: String,
    place: Option<u64>,
    nth: Option<u32>,
    action: Action,
}

impl Rule {
    /// `name[@place][:nth]=action`.
    fn parse(text: &str) -> Option<Self> {
        let (point, action) = text.trim().split_once('=')?;
        let action = match action {
            "abort" => Action::Abort,
            "stop" => Action::Stop,
            "hang" => Action::Hang,
            "panic" => Action::Panic,
            _ => return None,
        };
        let (point, nth) = match point.split_once(':') {
            Some((point, nth)) => (point, Some(nth.parse().ok()?)),
            None => (point, None),
        };
        let (name, place) = match point.split_once('@') {
            Some((name, place)) => (name, Some(place.parse().ok()?)),
            None => (point, None),
        };
        Some(Self { name: name.to_owned(), place, nth, action })
    }
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let asked = std::env::var(ASKED).unwrap_or_default();
    let rules = asked.split(',').filter(|rule| !rule.trim().is_empty());
    rules.map(|rule| Rule::parse(rule).unwrap_or_else(|| panic!("{ASKED} holds no rule: {rule}"))).collect()
});

/// How often each rule's point was passed where the rule looks.
static PASSED: LazyLock<Mutex<HashMap<usize, u32>>> = LazyLock::new(Mutex::default);

/// Passes the point `name`.
pub async fn pass(name: &'static str) {
    act(name, None).await;
}

/// Passes the point `name` of the chunk at `place` in its chain.
pub async fn pass_at(name: &'static str, place: u64) {
    act(name, Some(place)).await;
}

/// Marks that a rare branch was taken, so that a suite can show that its faults were met.
pub fn reached(name: &'static str) {
    let Ok(dir) = std::env::var(MARKS) else { return };
    // A mark that cannot be left is a test that fails, which is as it should be.
    let _ = std::fs::write(Path::new(&dir).join(name), b"");
}

/// Panics at the point `name`, if that is what is asked for; for places that cannot wait.
pub fn panic_here(name: &'static str) {
    if due(name, None) == Some(Action::Panic) {
        reached(name);
        panic!("failpoint {name}");
    }
}

async fn act(name: &'static str, place: Option<u64>) {
    match due(name, place) {
        None => {}
        Some(Action::Abort) => {
            reached(name);
            // Not an exit: no destructor runs, no socket is shut down politely.
            std::process::abort();
        }
        Some(Action::Stop) => {
            reached(name);
            let me = std::process::id().to_string();
            // The child stops its parent; this call returns when somebody sends SIGCONT.
            let _ = std::process::Command::new("kill").args(["-STOP", &me]).status();
        }
        Some(Action::Hang) => {
            reached(name);
            std::future::pending::<()>().await;
        }
        Some(Action::Panic) => {
            reached(name);
            panic!("failpoint {name}");
        }
    }
}

/// What the rules ask for at this pass; counts it for those that look here.
fn due(name: &str, place: Option<u64>) -> Option<Action> {
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut action = None;
    for (at, rule) in RULES.iter().enumerate() {
        if rule.name != name || rule.place.is_some_and(|wanted| place != Some(wanted)) {
            continue;
        }
        let times = passed.entry(at).or_default();
        *times += 1;
        if rule.nth.is_none_or(|nth| nth == *times) {
            action = action.or(Some(rule.action));
        }
    }
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_nonsense_is_not() {
        let rule = |name: &str, place, nth, action| Some(Rule { name: name.to_owned(), place, nth, action });
        assert_eq!(Rule::parse("k3=abort"), rule("k3", None, None, Action::Abort));
        assert_eq!(Rule::parse("k3@7:2=stop"), rule("k3", Some(7), Some(2), Action::Stop));
        assert_eq!(Rule::parse("r1:1=hang"), rule("r1", None, Some(1), Action::Hang));
        for nonsense in ["k3", "k3=explode", "k3:x=abort", "k3@=stop", "=abort:"] {
            assert_eq!(Rule::parse(nonsense), None, "{nonsense}");
        }
    }
}
