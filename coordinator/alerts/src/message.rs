//! What a message says: of names, states and numbers, never of keys or values.

use ledger::Run;
use model::{RunKind, RunRecord};
use serde_json::{Value, json};

use crate::incident::Event;

/// Version of the form.
const V: u32 = 1;

/// What a webhook gets, but for the id.
pub(crate) fn body(run: &Run, record: &RunRecord, event: Event, why: Option<&str>) -> Value {
    json!({
        "v": V,
        "event": event.name(),
        "spec": run.spec.name,
        "run": run.id,
        "kind": run.kind,
        "state": run.state,
        "cause": run.cause.as_ref().map(|cause| json!({ "kind": cause.kind, "message": cause.message })),
        "why": why,
        "rows": {
            "read": record.counts.read,
            "inserted": record.counts.inserted,
            "updated": record.counts.updated,
            "deleted": record.counts.deleted,
            "quarantined": record.counts.quarantined,
            "filtered": record.counts.filtered,
            "unequal": record.counts.unequal(),
        },
        "ended_ms": run.ended_ms,
    })
}

/// A message that says that messages arrive.
#[must_use]
pub fn test(spec: &str) -> Value {
    json!({ "v": V, "event": "test", "spec": spec })
}

/// A body as a line for people, in Slack's markup.
pub(crate) fn text(body: &Value) -> String {
    let of = |field: &str| escaped(body[field].as_str().unwrap_or_default());
    let (spec, run) = (of("spec"), of("run"));
    let show = format!("`syncline show {run}`");
    match body["event"].as_str().unwrap_or_default() {
        "resolved" => format!(":white_check_mark: *{spec}* is well again. {show}"),
        "test" => format!(":wave: *{spec}*: messages arrive here."),
        "failed" => {
            let cause = escaped(body["cause"]["message"].as_str().unwrap_or("no cause was recorded"));
            format!(":red_circle: *{spec}* failed: {cause}. {show}")
        }
        "anomaly" => {
            let why = escaped(body["why"].as_str().unwrap_or_default());
            format!(":warning: *{spec}* is not as usual: {why}. {show}")
        }
        "done-with-quarantine" if body["kind"] == RunKind::Verify.name() => {
            format!(
                ":warning: *{spec}*: {} rows are not equal on both sides. {show}",
                body["rows"]["unequal"]
            )
        }
        "done-with-quarantine" => {
            let rows = &body["rows"]["quarantined"];
            format!(
                ":warning: *{spec}* set {rows} of {} rows aside. `syncline quarantine list {run}`",
                body["rows"]["read"]
            )
        }
        other => format!(":warning: *{spec}*: {}. {show}", escaped(other)),
    }
}

/// What stands for itself and nothing else: <https://docs.slack.dev/messaging/formatting-message-text>.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_mentions_nobody() {
        let body = json!({ "event": "failed", "spec": "shop", "run": "run_1", "cause": { "message": "<!channel> & <b>" } });
        assert_eq!(
            text(&body),
            ":red_circle: *shop* failed: &lt;!channel&gt; &amp; &lt;b&gt;. `syncline show run_1`"
        );
    }
}
