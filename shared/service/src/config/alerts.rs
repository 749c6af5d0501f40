//! Who is told how runs end.

use model::alert::{AlertRule, Channel, Occasion};

use super::form::At;
use super::raw::RawAlert;
use super::validate::Findings;
use crate::problem::code;
use crate::secret;

/// What is meant where nothing is said.
const ON: [Occasion; 3] = [Occasion::Failed, Occasion::DoneWithQuarantine, Occasion::Anomaly];

pub(super) fn rule(raw: &RawAlert, findings: &mut Findings<'_>) -> Option<AlertRule> {
    let channel = match (&raw.slack, &raw.webhook) {
        (Some(url), None) => {
            if let Some(secret) = &raw.secret {
                let help = "remove it: who knows the address of Slack may post";
                findings.refuse(code::BAD_ALERT, "`secret` stands beside `webhook` only", secret.place, help);
            }
            Channel::Slack { url: reference(url, findings)? }
        }
        (None, Some(url)) => Channel::Webhook {
            url: reference(url, findings)?,
            secret: raw.secret.as_ref().and_then(|secret| reference(secret, findings)),
        },
        (Some(url), Some(_)) => {
            let help = "write two alerts";
            findings.refuse(code::BAD_ALERT, "an alert is one of `slack` and `webhook`", url.place, help);
            return None;
        }
        (None, None) => {
            let place = raw.on.as_ref().map(|on| on.place).unwrap_or_default();
            let help = "write `slack: \"${env:SLACK_URL}\"`, or `webhook: \"${env:ALERT_URL}\"`";
            findings.refuse(code::BAD_ALERT, "an alert without an address", place, help);
            return None;
        }
    };
    let choices = Occasion::ALL.map(|occasion| (occasion.name(), occasion));
    let on = match &raw.on {
        None => ON.to_vec(),
        Some(on) => {
            on.value.iter().filter_map(|o| findings.choose(code::UNKNOWN_CHOICE, o, &choices)).collect()
        }
    };
    Some(AlertRule { on, channel })
}

/// An address often says who may post there, and the ledger keeps what stands here: no part of it may be literal.
fn reference(given: &At<String>, findings: &mut Findings<'_>) -> Option<String> {
    let help = "write a reference: \"${env:NAME}\" or \"${file:/path}\"";
    if secret::check(&given.value).is_err() {
        findings.refuse(code::BAD_REFERENCE, "not a reference", given.place, help);
        return None;
    }
    if secret::has_literal_part(&given.value) || given.value.is_empty() {
        let message = "an address or a secret stands in the spec, which the ledger keeps";
        findings.refuse(code::BAD_ALERT, message, given.place, help);
        return None;
    }
    Some(given.value.clone())
}
