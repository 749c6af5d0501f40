//! The job: the names of a chunk, and nothing else.
//!
//! Refuses anything that is not a short plain id, so that no row, key, SQL or secret can travel.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The only job version there is.
pub(crate) const VERSION: u8 = 1;

/// A UUID has 36 characters; twice that leaves room and keeps an envelope below 512 bytes.
const ID_LENGTH_MAX: usize = 64;

/// One chunk to be looked at soon: ids only, never rows, keys, SQL or secrets.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ChunkJob {
    /// The version of this shape: 1.
    pub v: u8,
    /// The installation the job belongs to.
    pub install: String,
    /// The run, as text.
    pub run: String,
    /// The chunk, as text.
    pub chunk: String,
    /// The attempt the sender saw in the ledger; the claim there decides.
    pub attempt_seen: u32,
}

impl ChunkJob {
    /// A job of the current version.
    pub fn new(
        install: impl Into<String>,
        run: impl Into<String>,
        chunk: impl Into<String>,
        attempt_seen: u32,
    ) -> Self {
        Self { v: VERSION, install: install.into(), run: run.into(), chunk: chunk.into(), attempt_seen }
    }

    /// The id under which it is queued at most once at a time: `{run}-{chunk}-{attempt_seen}`.
    pub fn job_id(&self) -> String {
        format!("{}-{}-{}", self.run, self.chunk, self.attempt_seen)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let fit = self.v == VERSION
            && [&self.install, &self.run, &self.chunk].into_iter().all(|id| is_plain_id(id));
        if fit { Ok(()) } else { Err(Error::new(ErrorKind::InvalidJob, "encode a job")) }
    }
}

/// 1 to 64 ASCII letters, digits, `-`, `_`, `.` or `:`. Excludes the braces of a Redis hash tag, and glob characters.
pub(crate) fn is_plain_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// Whether a job could have been queued under this id: at most three plain ids and two dashes.
pub(crate) fn is_job_id(id: &str) -> bool {
    id.len() <= 2 * ID_LENGTH_MAX + 12
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}
