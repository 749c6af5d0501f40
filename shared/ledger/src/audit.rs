//! The audit log: who asked for what, in a chain of hashes that shows what was altered, put in or taken out.
//!
//! Entry n is hashed together with the hash of entry n - 1: `H(hash(n-1) \n seq \n at_ms \n is_keyed \n id \n body)`, numbers in
//! decimal, hashes in hexadecimal, the first after an empty hash. H is HMAC-SHA256 where a key is known, which whoever
//! writes to the ledger's database should not have, and SHA-256 otherwise: that shows mistakes, and not a forger.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, json, stored};
use crate::transact::Counter;

/// Entries that are looked at at once.
const PAGE: u32 = 1_000;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Who: the id and name of a token, a user of a machine.
    pub actor: String,
    /// By which way: `cli`, `api`, `dashboard`.
    pub via: String,
    pub action: String,
    /// To what: a run, a pipeline, a file.
    pub object: String,
    /// Never holds a value of a row, or a secret.
    pub detail: Json,
}

/// An act as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub seq: u64,
    /// Milliseconds since 1970 on the ledger's clock.
    pub at_ms: i64,
    pub act: Act,
    pub is_keyed: bool,
    /// In hexadecimal.
    pub hash: String,
}

/// What the chain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Entries whose hash is right.
    pub checked: u64,
    /// Entries with a key that this process has not.
    pub unchecked: u64,
    /// The first entry that is not what was written, and what is wrong with it.
    pub broken: Option<(u64, &'static str)>,
    /// The last entry: its number and its hash.
    pub head: Option<(u64, String)>,
}

pub(crate) struct Link {
    id: String,
    body: Vec<u8>,
    pub(crate) entry: AuditEntry,
}

const COLUMNS: &str = "seq, at_ms, id, is_keyed, body, hash";

impl Ledger {
    /// The same ledger, with a key for the audit log: at least 32 bytes, the same for all processes.
    #[must_use]
    pub fn with_audit_key(self, key: Option<SecretString>) -> Self {
        Self { audit_key: key, ..self }
    }

    /// Keeps what somebody asks for, before it is done. A log that was begun with a key takes no entry without one.
    pub async fn audit(&self, act: &Act) -> Result<()> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        self.write("keep an entry of the audit log", || self.audit_once(&id, act)).await
    }

    async fn audit_once(&self, id: &str, act: &Act) -> std::result::Result<(), Cause> {
        let mut tx = self.begin().await?;
        // The counter's lock makes writers wait for each other: the entry before is the last one.
        let seq = self.numbers(&mut tx, Counter::Audit, 1).await?;
        let own = sqlx::query(self.sql("SELECT seq FROM syncline_audit WHERE id = ?")).bind(id);
        if own.fetch_optional(tx.conn()).await?.is_some() {
            // A first try whose answer was lost.
            return Ok(());
        }
        let last = sqlx::query(self.sql("SELECT is_keyed, hash FROM syncline_audit WHERE seq = ?"));
        let (before, was_keyed) = match last.bind(seq - 1).fetch_optional(tx.conn()).await? {
            Some(last) => (last.text("hash")?, last.int("is_keyed")? != 0),
            None => (String::new(), false),
        };
        let is_keyed = self.audit_key.is_some();
        if was_keyed && !is_keyed {
            return Err(Cause::AuditKey);
        }
        let now = sqlx::query(self.sql("SELECT {now} AS now_ms")).fetch_one(tx.conn()).await?;
        let at_ms = now.int("now_ms")?;
        let body = json(act, "entry of the audit log")?;
        let hash = self.link(&before, (seq, at_ms, is_keyed), id, &body);
        let sql =
            "INSERT INTO syncline_audit (seq, at_ms, id, is_keyed, body, hash) VALUES (?, ?, ?, ?, ?, ?)";
        let insert = sqlx::query(self.sql(sql)).bind(seq).bind(at_ms).bind(id).bind(i64::from(is_keyed));
        insert.bind(body).bind(hash).execute(tx.conn()).await?;
        tx.commit().await
    }

    pub(crate) fn link(
        &self,
        before: &str,
        (seq, at_ms, is_keyed): (i64, i64, bool),
        id: &str,
        body: &[u8],
    ) -> String {
        let head = format!("{before}\n{seq}\n{at_ms}\n{}\n{id}\n", i64::from(is_keyed));
        let key = self.audit_key.as_ref().filter(|_| is_keyed);
        let Some(mut keyed) =
            key.and_then(|key| Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok())
        else {
            return hex::encode(Sha256::new().chain_update(head).chain_update(body).finalize());
        };
        keyed.update(head.as_bytes());
        keyed.update(body);
        hex::encode(keyed.finalize().into_bytes())
    }

    /// Entries after the one of this number, oldest first, at most `limit`.
    pub async fn audit_entries(&self, after: u64, limit: u32) -> Result<Vec<AuditEntry>> {
        Ok(self.links(after, limit).await?.into_iter().map(|link| link.entry).collect())
    }

    /// The latest entries, newest first, at most `limit`.
    pub async fn latest_audit_entries(&self, limit: u32) -> Result<Vec<AuditEntry>> {
        let count = self.audit_count().await?;
        let mut entries = self.audit_entries(count.saturating_sub(u64::from(limit)), limit).await?;
        entries.reverse();
        Ok(entries)
    }

    /// How many entries were ever made.
    pub async fn audit_count(&self) -> Result<u64> {
        self.read("count the entries of the audit log", || async move {
            let sql = self.sql("SELECT n FROM syncline_meta WHERE name = 'audit'");
            let row = sqlx::query(sql).fetch_optional(&self.shared.pool).await?;
            row.map_or(Ok(0), |row| row.count("n"))
        })
        .await
    }

    pub(crate) async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>> {
        self.read("read the audit log", || async move {
            let sql = format!("SELECT {COLUMNS} FROM syncline_audit WHERE seq > ? ORDER BY seq LIMIT ?");
            let rows = sqlx::query(self.sql(&sql)).bind(stored(after)).bind(i64::from(limit));
            rows.fetch_all(&self.shared.pool).await?.iter().map(link).collect()
        })
        .await
    }

    /// Goes along the chain from the entry of this number, the first is 1, and stops where it is broken.
    pub async fn verify_audit(&self, from: u64) -> Result<AuditVerdict> {
        // Entries that come meanwhile are not looked for at the end.
        let count = self.audit_count().await?;
        let mut verdict = AuditVerdict { checked: 0, unchecked: 0, broken: None, head: None };
        let mut last = match from.checked_sub(2) {
            Some(before) => self.links(before, 1).await?.pop().filter(|link| link.entry.seq + 1 == from),
            None => None,
        };
        let mut next = from.max(1);
        loop {
            let page = self.links(next - 1, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for link in page {
                if let Some(why) = self.fault(next, last.as_ref(), &link) {
                    verdict.broken = Some((next.min(link.entry.seq), why));
                    return Ok(verdict);
                }
                let is_checked = !link.entry.is_keyed || self.audit_key.is_some();
                *(if is_checked { &mut verdict.checked } else { &mut verdict.unchecked }) += 1;
                verdict.head = Some((link.entry.seq, link.entry.hash.clone()));
                next = link.entry.seq + 1;
                last = Some(link);
            }
        }
        if next <= count {
            verdict.broken = Some((next, "it is missing, and so are all after it"));
        }
        Ok(verdict)
    }

    /// What is wrong with an entry that should be number `seq` and follow `last`.
    fn fault(&self, seq: u64, last: Option<&Link>, link: &Link) -> Option<&'static str> {
        let entry = &link.entry;
        if entry.seq != seq {
            return Some("it is missing");
        }
        if last.is_none() && seq > 1 {
            return Some("the entry before it is missing");
        }
        if last.is_some_and(|last| last.entry.is_keyed) && !entry.is_keyed {
            return Some("it was made without the key that the entry before it has");
        }
        if entry.is_keyed && self.audit_key.is_none() {
            return None;
        }
        let before = last.map_or("", |last| last.entry.hash.as_str());
        let numbers = (stored(seq), entry.at_ms, entry.is_keyed);
        let is_right = self.link(before, numbers, &link.id, &link.body) == entry.hash;
        (!is_right).then_some("it is not what was written, or does not follow the entry before it")
    }
}

fn link(row: &AnyRow) -> std::result::Result<Link, Cause> {
    let entry = AuditEntry {
        seq: row.count("seq")?,
        at_ms: row.int("at_ms")?,
        // What cannot be read any more was altered: the chain says so.
        act: row.json("body").unwrap_or_else(|_| Act::unreadable()),
        is_keyed: row.int("is_keyed")? != 0,
        hash: row.text("hash")?,
    };
    let body = row.opt_bytes("body").ok().flatten().unwrap_or_default();
    Ok(Link { id: row.text("id")?, body, entry })
}

impl Act {
    /// In a line: `cancel run_…`, `POST /v1/runs/run_…/cancel (refused)`.
    #[must_use]
    pub fn words(&self) -> String {
        // A route is not told beside a path that says the same and more.
        let action = match self.action.split_once(' ') {
            Some((method, route)) if route.starts_with('/') => method,
            Some(_) | None => &self.action,
        };
        let refused = if self.detail.get("refused").is_some() { " (refused)" } else { "" };
        format!("{action} {}{refused}", self.object)
    }

    fn unreadable() -> Self {
        let text = || "unreadable".to_owned();
        Self { actor: text(), via: text(), action: text(), object: text(), detail: Json::Null }
    }
}
