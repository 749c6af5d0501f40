//! How fast a run may go, over all its workers, and what makes it wait.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a run may read in a second. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Limits {
    /// Whether there is no limit at all.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.rows.is_none() && self.bytes.is_none()
    }

    /// An equal part for each of `n`; never nothing at all.
    #[must_use]
    pub fn part(&self, n: u64) -> Self {
        let part = |whole: Option<u64>| whole.map(|whole| (whole / n.max(1)).max(1));
        Self { rows: part(self.rows), bytes: part(self.bytes) }
    }
}

/// Something that a database says about itself as a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gauge {
    /// Statements that it works on.
    Running,
    /// Seconds that it is behind the server it replicates.
    Lag,
    /// What a query of the operator finds: one number.
    Query(String),
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Lag => "lag",
            // The text may be long, and is nobody's business but the spec's.
            Self::Query(_) => "query",
        })
    }
}

/// Which side of a run a gauge is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BrakeAt {
    Source,
    Target,
}

/// While the gauge shows more than `max`, or nothing, no more of the run is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    pub at: BrakeAt,
    pub gauge: Gauge,
    pub max: u64,
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.at {
            BrakeAt::Source => "source",
            BrakeAt::Target => "target",
        };
        write!(f, "{at} {}", self.gauge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_sum_to_more_than_the_whole_nor_starve() {
        let limits = Limits { rows: Some(1_000), bytes: None };
        assert_eq!(limits.part(3), Limits { rows: Some(333), bytes: None });
        assert_eq!(
            Limits { rows: Some(2), bytes: Some(1) }.part(8),
            Limits { rows: Some(1), bytes: Some(1) }
        );
        assert_eq!(limits.part(0), limits);
        assert!(Limits::default().part(4).is_none());
    }
}
