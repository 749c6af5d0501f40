//! Events: what happened to a run, in order, for people and for the live view.

use model::{ChunkId, RunId};
use serde_json::Value as Json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, json, stored};
use crate::transact::{Counter, Write};

/// Something that happened. Never holds values, keys or secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Grows over the whole ledger; an event never appears below one that was already seen.
    pub seq: u64,
    pub run: RunId,
    pub table: Option<u32>,
    pub chunk: Option<ChunkId>,
    /// A fixed name: `run-created`, `chunk-done`, ..
    pub kind: String,
    pub detail: Json,
    pub at_ms: i64,
}

/// Where an event belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) run: RunId,
    pub(crate) table: Option<u32>,
    pub(crate) chunk: Option<ChunkId>,
}

impl Place {
    pub(crate) const fn run(run: RunId) -> Self {
        Self { run, table: None, chunk: None }
    }

    pub(crate) const fn table(run: RunId, table: u32) -> Self {
        Self { run, table: Some(table), chunk: None }
    }

    pub(crate) const fn chunk(run: RunId, table: u32, chunk: ChunkId) -> Self {
        Self { run, table: Some(table), chunk: Some(chunk) }
    }
}

impl Ledger {
    /// Records an event; its number. Called twice, it records two. `kind` is at most 64 characters.
    pub async fn event(
        &self,
        run: RunId,
        table: Option<u32>,
        chunk: Option<ChunkId>,
        kind: &str,
        detail: &Json,
    ) -> Result<u64> {
        let place = Place { run, table, chunk };
        self.write("record an event", || async move {
            let mut tx = self.begin().await?;
            let seq = self.put_event(&mut tx, place, kind, detail).await?;
            tx.commit().await?;
            Ok(seq)
        })
        .await
    }

    /// The events of a run, or of all, after number `after_seq`, oldest first, at most `limit`.
    pub async fn events(
        &self,
        run: impl Into<Option<RunId>>,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let run = run.into();
        self.read("list events", || async move {
            let of_run = if run.is_some() { "run = ? AND " } else { "" };
            let sql = format!(
                "SELECT seq, run, tbl, chunk, kind, detail, at_ms FROM syncline_event \
                WHERE {of_run}seq > ? ORDER BY seq LIMIT ?"
            );
            let mut rows = sqlx::query(self.sql(&sql));
            if let Some(run) = run {
                rows = rows.bind(run.to_string());
            }
            let rows = rows.bind(stored(after_seq)).bind(i64::from(limit));
            rows.fetch_all(&self.shared.pool).await?.iter().map(event).collect()
        })
        .await
    }

    /// Writes an event; the last write of a transaction, since its counter stays locked until the commit.
    pub(crate) async fn put_event(
        &self,
        tx: &mut Write,
        place: Place,
        kind: &str,
        detail: &Json,
    ) -> std::result::Result<u64, Cause> {
        let seq = self.numbers(tx, Counter::Event, 1).await?;
        let sql = "INSERT INTO syncline_event (seq, run, tbl, chunk, kind, detail, at_ms) VALUES (?, ?, ?, ?, ?, ?, {now})";
        sqlx::query(self.sql(sql))
            .bind(seq)
            .bind(place.run.to_string())
            .bind(place.table.map(i64::from))
            .bind(place.chunk.map(|chunk| chunk.to_string()))
            .bind(kind)
            .bind(json(detail, "event")?)
            .execute(tx.conn())
            .await?;
        u64::try_from(seq).map_err(|_| Cause::Unreadable { column: "seq" })
    }
}

pub(crate) fn event(row: &AnyRow) -> std::result::Result<Event, Cause> {
    let table = row.opt_int("tbl")?.map(u32::try_from).transpose();
    Ok(Event {
        seq: row.count("seq")?,
        run: row.named("run")?,
        table: table.map_err(|_| Cause::Unreadable { column: "tbl" })?,
        chunk: row.opt_named("chunk")?,
        kind: row.text("kind")?,
        detail: row.json("detail")?,
        at_ms: row.int("at_ms")?,
    })
}
