//! What the target must hold after a chunk: digests of keys and rows, a few bytes each.

use std::collections::HashMap;

use model::canonical::key_digest;
use model::{ChunkDigest, Key, LogicalType, Row, RowDigest, RowEncoder, TablePlan};

/// What the target must hold at one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Row(RowDigest),
    /// Some row: only its presence is promised.
    Any,
    /// No row.
    Nothing,
}

impl Held {
    /// The digest of the row that is promised.
    pub(crate) const fn digest(self) -> Option<RowDigest> {
        match self {
            Self::Row(digest) => Some(digest),
            Self::Any | Self::Nothing => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Promised {
    pub(crate) held: Held,
    /// A row was found at the key: another one would be one too many.
    pub(crate) seen: bool,
}

/// Remembers accepted rows by digest, and their keys where the target must be asked by key.
#[derive(Debug)]
pub(crate) struct Expected {
    encoder: RowEncoder,
    key_types: Vec<LogicalType>,
    keep_keys: bool,
    /// What is promised of the row, by the digest of its key.
    pub(crate) rows: HashMap<RowDigest, Promised>,
    pub(crate) keys: Vec<Key>,
    /// Over the rows whose equality is promised.
    pub(crate) digest: ChunkDigest,
}

impl Expected {
    pub(crate) fn new(plan: &TablePlan) -> Self {
        Self {
            encoder: RowEncoder::new(plan.canonical_types()),
            key_types: plan.key_types(),
            keep_keys: !plan.is_order_safe() && !plan.key.is_empty(),
            rows: HashMap::new(),
            keys: Vec::new(),
            digest: ChunkDigest::default(),
        }
    }

    pub(crate) fn row_digest(&mut self, row: &Row) -> RowDigest {
        self.encoder.digest(row)
    }

    /// Places at which two rows differ.
    pub(crate) fn differing(&mut self, one: &Row, other: &Row) -> Vec<usize> {
        self.encoder.differing(one, other)
    }

    pub(crate) fn key_digest(&self, key: &Key) -> RowDigest {
        key_digest(key, &self.key_types)
    }

    /// The target now holds exactly this row.
    pub(crate) fn accept(&mut self, key: Key, row: RowDigest) {
        self.digest.add_row(row);
        self.insert(key, Held::Row(row));
    }

    /// The target holds some row at this key.
    pub(crate) fn accept_key(&mut self, key: Key) {
        self.insert(key, Held::Any);
    }

    /// The target holds no row at this key.
    pub(crate) fn refuse_key(&mut self, key: Key) {
        self.insert(key, Held::Nothing);
    }

    fn insert(&mut self, key: Key, held: Held) {
        self.rows.insert(self.key_digest(&key), Promised { held, seen: false });
        if self.keep_keys {
            self.keys.push(key);
        }
    }
}
