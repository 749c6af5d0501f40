//! How far the changes of each table have been read, and what was seen under way at its source.

use model::{TableRef, Turn, Watch, Watermark};
use serde_json::json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _, stored};
use crate::transact::Write;

/// What the ledger knows of a table's changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Absent until the table was read whole for the first time.
    pub watermark: Option<Watermark>,
    /// What earlier looks at the source have noted.
    pub watch: Watch,
}

impl Ledger {
    /// How far the changes of a source table have been read by runs of the spec of this name.
    pub async fn changes_read(&self, spec: &str, table: &TableRef) -> Result<Progress> {
        self.read("read a watermark", || async move {
            let sql = "SELECT mark, watch FROM syncline_watermark WHERE name = ? AND tbl = ?";
            let row = sqlx::query(self.sql(sql)).bind(spec).bind(table.to_string());
            let row = row.fetch_optional(&self.shared.pool).await?;
            row.map_or_else(|| Ok(Progress::default()), |row| progress(&row))
        })
        .await
    }

    /// All watermarks of the spec of this name, by table.
    pub async fn watermarks(&self, spec: &str) -> Result<Vec<(String, Watermark)>> {
        self.read("list watermarks", || async move {
            let sql =
                "SELECT tbl, mark FROM syncline_watermark WHERE name = ? AND mark IS NOT NULL ORDER BY tbl";
            let rows = sqlx::query(self.sql(sql)).bind(spec).fetch_all(&self.shared.pool).await?;
            rows.iter().map(|row| Ok((row.text("tbl")?, row.json("mark")?))).collect()
        })
        .await
    }

    /// Keeps what was seen at a table's source, for later looks. Of two at once the last stays: each holds candidates that
    /// are true by themselves.
    pub async fn keep_watch(&self, spec: &str, table: &TableRef, watch: &Watch) -> Result<()> {
        self.write("keep a watch", || async move {
            let mut tx = self.begin().await?;
            self.watermark_row(&mut tx, spec, table).await?;
            let sql = "UPDATE syncline_watermark SET watch = ? WHERE name = ? AND tbl = ?";
            let keep = sqlx::query(self.sql(sql)).bind(fields::json(watch, "watch")?);
            keep.bind(spec).bind(table.to_string()).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// Sets the watermark of a table to what a run has read; `false` if a run of a higher turn has set it. Called again, it
    /// changes nothing.
    pub async fn advance_watermark(
        &self,
        spec: &str,
        (table, ordinal): (&TableRef, u32),
        watermark: &Watermark,
        turn: Turn,
    ) -> Result<bool> {
        self.write("advance a watermark", || {
            self.advance_watermark_once(spec, (table, ordinal), watermark, turn)
        })
        .await
    }

    async fn advance_watermark_once(
        &self,
        spec: &str,
        (table, ordinal): (&TableRef, u32),
        watermark: &Watermark,
        turn: Turn,
    ) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        let (before, held) = self.watermark_row(&mut tx, spec, table).await?;
        if held > turn.0 {
            return Ok(false);
        }
        if held == turn.0 && before.as_ref() == Some(watermark) {
            return Ok(true);
        }
        let sql =
            "UPDATE syncline_watermark SET mark = ?, turn = ?, at_ms = {now} WHERE name = ? AND tbl = ?";
        let set = sqlx::query(self.sql(sql)).bind(fields::json(watermark, "watermark")?).bind(stored(turn.0));
        set.bind(spec).bind(table.to_string()).execute(tx.conn()).await?;
        let detail = json!({ "mark": watermark.mark });
        self.put_event(&mut tx, Place::table(watermark.run, ordinal), "watermark-advanced", &detail).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets how far the changes of a table have been read: the next run reads all of it. What was seen at the source
    /// stays true.
    pub async fn forget_watermark(&self, spec: &str, table: &TableRef) -> Result<()> {
        self.write("forget a watermark", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_watermark SET mark = NULL WHERE name = ? AND tbl = ?";
            sqlx::query(self.sql(sql)).bind(spec).bind(table.to_string()).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// The row of a table, made if it is missing, and locked.
    async fn watermark_row(
        &self,
        tx: &mut Write,
        spec: &str,
        table: &TableRef,
    ) -> std::result::Result<(Option<Watermark>, u64), Cause> {
        self.one_at_a_time(tx).await?;
        let sql = "SELECT mark, turn FROM syncline_watermark WHERE name = ? AND tbl = ?";
        let row = sqlx::query(self.sql(sql)).bind(spec).bind(table.to_string());
        if let Some(row) = row.fetch_optional(tx.conn()).await? {
            return Ok((row.opt_json("mark")?, row.count("turn")?));
        }
        let sql = "INSERT INTO syncline_watermark (name, tbl, turn, at_ms) VALUES (?, ?, 0, {now})";
        sqlx::query(self.sql(sql)).bind(spec).bind(table.to_string()).execute(tx.conn()).await?;
        Ok((None, 0))
    }
}

fn progress(row: &AnyRow) -> std::result::Result<Progress, Cause> {
    Ok(Progress { watermark: row.opt_json("mark")?, watch: row.opt_json("watch")?.unwrap_or_default() })
}
