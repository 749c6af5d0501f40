//! Who is told what became of runs.

use serde::{Deserialize, Serialize};

use crate::run::RunState;

/// Whom to tell, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRule {
    pub on: Vec<Occasion>,
    #[serde(flatten)]
    pub channel: Channel,
}

/// What somebody may want to be told of. When it is over, they are told that, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    Failed,
    Cancelled,
    DoneWithQuarantine,
    /// The run did what it should, with figures that are not what they mostly are.
    Anomaly,
}

/// Where messages go. Addresses and secrets are references as in a connection; they are resolved for each message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "channel")]
pub enum Channel {
    /// An incoming webhook of Slack, or of what understands the same JSON. Whoever knows the address may post.
    Slack { url: String },
    /// JSON by POST, signed if there is a secret.
    Webhook {
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
}

/// Without addresses and secrets.
impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Channel {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Webhook { .. } => "webhook",
        }
    }
}

impl Occasion {
    pub const ALL: [Self; 4] = [Self::Failed, Self::Cancelled, Self::DoneWithQuarantine, Self::Anomaly];

    /// What the state in which a run ends is an occasion for.
    #[must_use]
    pub const fn of(state: RunState) -> Option<Self> {
        match state {
            RunState::Failed => Some(Self::Failed),
            RunState::Cancelled => Some(Self::Cancelled),
            RunState::DoneWithQuarantine => Some(Self::DoneWithQuarantine),
            RunState::Done | RunState::Running => None,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::DoneWithQuarantine => "done-with-quarantine",
            Self::Anomaly => "anomaly",
        }
    }
}
