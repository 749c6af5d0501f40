//! Chunks: the unit of work, its states and what came of it.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::conflict::Conflict;
use crate::digest::ChunkDigest;
use crate::failure::Failure;
use crate::id::{Attempt, ChunkId, RunId};
use crate::key::{Key, KeyRange};
use crate::row::QuarantinedRow;

/// Declares an enum whose variants are stored and printed under fixed names.
macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = $crate::chunk::UnknownName;

            fn from_str(text: &str) -> Result<Self, $crate::chunk::UnknownName> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err($crate::chunk::UnknownName(text.to_owned())) }
            }
        }
    };
}
pub(crate) use named_enum;

/// The text names no variant: data of a newer version, or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name this version knows")]
pub struct UnknownName(pub String);

named_enum!(
    /// One sweep over all chunks of a table.
    Pass {
        /// Rows move from source to target and are verified.
        Copy = "copy",
        /// As copy, for rows at the keys that earlier runs of an incremental table set aside: one chunk.
        Again = "again",
        /// Source rows are compared with the target; nothing is written.
        Verify = "verify",
        /// Chunks of the *target*: keys that the source lacks are counted; nothing is written.
        Sweep = "sweep",
        /// Chunks of the target: rows whose keys the source lacks are deleted.
        Delete = "delete",
    }
);

impl Pass {
    /// Whether the chunks of this pass are key ranges of the target's table.
    #[must_use]
    pub const fn is_over_target(self) -> bool {
        matches!(self, Self::Sweep | Self::Delete)
    }
}

named_enum!(
    /// Where a chunk stands. `ready → running → done | quarantined | ready`, and `ready → cancelled`.
    ChunkState {
        /// May be claimed once its due time has come.
        Ready = "ready",
        /// Claimed; the lease ticks.
        Running = "running",
        /// Settled; final.
        Done = "done",
        /// Set aside for a person while the run goes on; final until retried.
        Quarantined = "quarantined",
        /// The run was cancelled before it ran; final.
        Cancelled = "cancelled",
    }
);

impl ChunkState {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Quarantined | Self::Cancelled)
    }

    /// The legal transitions; the ledger's conditional writes allow no other.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Ready, Self::Running | Self::Cancelled)
                | (Self::Running, Self::Ready | Self::Done | Self::Quarantined | Self::Cancelled)
                | (Self::Quarantined, Self::Ready)
        )
    }
}

/// Planned chunks are so far apart in their chain: the rest of one that proved too big has a place behind it.
pub const ORDINAL_STEP: u64 = 1_000;

/// The ordinal of the planned chunk after the one at `last`, whatever was split off that.
#[must_use]
pub const fn next_planned(last: u64) -> u64 {
    (last / ORDINAL_STEP + 1) * ORDINAL_STEP
}

/// The ordinal for the rest of a chunk, if there is room for one.
#[must_use]
pub const fn next_split(ordinal: u64) -> Option<u64> {
    let next = ordinal + 1;
    if next.is_multiple_of(ORDINAL_STEP) { None } else { Some(next) }
}

/// A chunk's place for people: `17` counted from 1, and `17.2` for the second rest that was split off it.
#[must_use]
pub fn place_name(ordinal: u64) -> String {
    match (ordinal / ORDINAL_STEP + 1, ordinal % ORDINAL_STEP) {
        (planned, 0) => planned.to_string(),
        (planned, rest) => format!("{planned}.{rest}"),
    }
}

/// A key range of one table in one pass of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub id: ChunkId,
    pub run: RunId,
    /// The table's place in the run.
    pub table: u32,
    pub pass: Pass,
    /// Its place in the chain of chunks: the upper end is the lower end of the next. Planned ones are [`ORDINAL_STEP`]
    /// apart.
    pub ordinal: u64,
    pub range: KeyRange,
    pub state: ChunkState,
    pub attempt: Attempt,
}

/// What happened to rows. `read` is the sum of inserted, updated, unchanged, filtered and quarantined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub read: u64,
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub filtered: u64,
    pub quarantined: u64,
    pub deleted: u64,
    /// Bytes of the rows read, as held in memory.
    pub bytes: u64,
    /// Verification: source rows found equal in the target (or, by policy, found at all).
    pub matching: u64,
    /// Verification: source rows whose target row differs.
    pub different: u64,
    /// Verification: source rows that the target lacks.
    pub missing: u64,
    /// Sweep: target rows whose key the source lacks.
    pub extra: u64,
    /// Rows that were changed on both sides, whichever won.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conflicts: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// Whether every row that was read is accounted for.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.read == self.inserted + self.updated + self.unchanged + self.filtered + self.quarantined
    }

    /// Rows that a comparison found different, or on one side alone.
    #[must_use]
    pub const fn unequal(&self) -> u64 {
        self.different + self.missing + self.extra
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.filtered += other.filtered;
        self.quarantined += other.quarantined;
        self.deleted += other.deleted;
        self.bytes += other.bytes;
        self.matching += other.matching;
        self.different += other.different;
        self.missing += other.missing;
        self.extra += other.extra;
        self.conflicts += other.conflicts;
    }
}

/// What an attempt did, written in the target in the transaction of its rows. A later attempt that finds it does
/// not copy again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of this form.
    pub v: u8,
    pub attempt: Attempt,
    pub counts: Counts,
    /// Over the source rows that the target accepted, in the target's types.
    pub source_digest: ChunkDigest,
    pub quarantined: Vec<QuarantinedRow>,
    /// The first [`CONFLICTS_MAX`](crate::conflict::CONFLICTS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// Only the part of the chunk below this key was copied: the chunk proved too big, and the rest is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Key>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one for a whole chunk, and it is hardly moved")]
pub enum ChunkOutcome {
    Done(Report),
    /// To be tried again after the delay, or quarantined if attempts are used up: the ledger decides.
    Failed(Failure),
    /// Every chunk would fail alike: the chunk goes back and the run halts with this cause.
    Halted(Failure),
    /// Given back unfinished, at no cost of an attempt.
    Yielded,
}

/// The measured result of a finished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub counts: Counts,
    pub source_digest: Option<ChunkDigest>,
    pub target_digest: Option<ChunkDigest>,
    pub quarantined: Vec<QuarantinedRow>,
    /// As [`Receipt::conflicts`].
    pub conflicts: Vec<Conflict>,
    /// Milliseconds spent reading the source, for the size of later chunks.
    pub read_ms: u64,
    /// As [`Receipt::cut`]: the ledger makes a chunk of the rest.
    pub cut: Option<Key>,
}

impl Report {
    /// Of a pass that only counts.
    #[must_use]
    pub const fn of(counts: Counts) -> Self {
        Self {
            counts,
            source_digest: None,
            target_digest: None,
            quarantined: Vec::new(),
            conflicts: Vec::new(),
            read_ms: 0,
            cut: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_stay_except_that_quarantine_can_be_retried() {
        for from in ChunkState::ALL {
            for to in ChunkState::ALL {
                if from.is_terminal() && from.may_become(*to) {
                    assert_eq!((*from, *to), (ChunkState::Quarantined, ChunkState::Ready));
                }
            }
        }
    }

    #[test]
    fn rests_stand_between_planned_chunks() {
        assert_eq!((next_planned(0), next_planned(3_002)), (1_000, 4_000));
        assert_eq!(
            (next_split(3_000), next_split(3_998), next_split(3_999)),
            (Some(3_001), Some(3_999), None)
        );
        assert_eq!((place_name(0).as_str(), place_name(16_000).as_str()), ("1", "17"));
        assert_eq!(place_name(16_002), "17.2");
    }

    #[test]
    fn the_receipt_of_version_1_reads_for_ever() {
        let stored = r#"{"v":1,"attempt":2,"counts":{"read":3,"inserted":2,"updated":0,"unchanged":0,"filtered":0,"quarantined":1,"deleted":0,"bytes":99,"matching":0,"different":0,"missing":0,"extra":0},"source_digest":"2:0000000000000000000000000000002a","quarantined":[{"key":[{"Int":7}],"column":"email","kind":"too-long","reason":"the text is longer than 4 characters"}]}"#;
        let receipt: Receipt = serde_json::from_str(stored).expect("reads");
        assert!(receipt.counts.is_balanced());
        assert_eq!(serde_json::to_string(&receipt).expect("writes"), stored);
    }
}
