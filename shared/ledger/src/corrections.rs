//! Corrections: what a person says that a quarantined row's column is to be. Beside conflicts the one place where the ledger holds a value
//! of a row: from the correction until the row has arrived.

use model::{ChunkId, Correction, QuarantinedRow, RunId, TablePlan};

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{self, Fields as _};
use crate::transact::Write;

/// What became of a correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Corrected {
    Yes,
    /// No row in quarantine has this number.
    Unknown,
    /// The run still works: what it reads next is not known.
    StillRuns,
    /// The column cannot be that, or cannot be corrected; says why, without the value.
    No(String),
}

impl Ledger {
    /// Keeps a correction for the row of this number in quarantine, in place of an earlier one for the same column. It is
    /// used when the row's chunk is read again ([`Ledger::replay`]), once.
    pub async fn correct(&self, run: RunId, seq: u64, correction: &Correction) -> Result<Corrected> {
        self.write("keep a correction", || self.correct_once(run, seq, correction)).await
    }

    async fn correct_once(
        &self,
        run: RunId,
        seq: u64,
        correction: &Correction,
    ) -> std::result::Result<Corrected, Cause> {
        let mut tx = self.begin().await?;
        if self.run_state(&mut tx, run).await?.is_none_or(|state| !state.is_terminal()) {
            return Ok(Corrected::StillRuns);
        }
        let sql = "SELECT chunk, tbl FROM syncline_quarantine WHERE run = ? AND seq = ?";
        let row = sqlx::query(self.sql(sql)).bind(run.to_string()).bind(fields::stored(seq));
        let Some(row) = row.fetch_optional(tx.conn()).await? else { return Ok(Corrected::Unknown) };
        let chunk: ChunkId = row.named("chunk")?;
        let plan = self.table_once(run, row.small("tbl")?).await?.and_then(|table| table.plan);
        if let Err(why) =
            plan.map_or_else(|| Err("the table has no plan".to_owned()), |plan| check(&plan, correction))
        {
            return Ok(Corrected::No(why));
        }
        let mut all = self.corrections_of(tx.conn(), chunk).await?;
        all.retain(|known| (&known.key, &known.column) != (&correction.key, &correction.column));
        all.push(correction.clone());
        self.put_corrections(&mut tx, chunk, &all).await?;
        tx.commit().await?;
        Ok(Corrected::Yes)
    }

    /// What is kept for rows of a run that have not arrived.
    pub async fn kept_corrections(&self, run: RunId) -> Result<Vec<(ChunkId, Correction)>> {
        self.read("list corrections", || async move {
            let sql = "SELECT x.chunk AS chunk, x.body AS body FROM syncline_correction x \
                JOIN syncline_chunk c ON c.id = x.chunk WHERE c.run = ?";
            let mut kept = Vec::new();
            for row in sqlx::query(self.sql(sql)).bind(run.to_string()).fetch_all(&self.shared.pool).await? {
                let (chunk, all): (ChunkId, Vec<Correction>) = (row.named("chunk")?, row.json("body")?);
                kept.extend(all.into_iter().map(|correction| (chunk, correction)));
            }
            Ok(kept)
        })
        .await
    }

    /// The corrections of a chunk, as this connection sees them.
    pub(crate) async fn corrections_of<'c>(
        &self,
        connection: impl sqlx::Executor<'c, Database = sqlx::Any>,
        chunk: ChunkId,
    ) -> std::result::Result<Vec<Correction>, Cause> {
        let sql = self.sql("SELECT body FROM syncline_correction WHERE chunk = ?");
        let row = sqlx::query(sql).bind(chunk.to_string()).fetch_optional(connection).await?;
        row.map_or(Ok(Vec::new()), |row| row.json("body"))
    }

    /// A chunk was settled: what was said about rows that have arrived is not kept.
    pub(crate) async fn settle_corrections(
        &self,
        tx: &mut Write,
        chunk: ChunkId,
        quarantined: &[QuarantinedRow],
    ) -> std::result::Result<(), Cause> {
        let mut all = self.corrections_of(tx.conn(), chunk).await?;
        let said = all.len();
        all.retain(|correction| quarantined.iter().any(|row| row.key == correction.key));
        if all.len() < said { self.put_corrections(tx, chunk, &all).await } else { Ok(()) }
    }

    async fn put_corrections(
        &self,
        tx: &mut Write,
        chunk: ChunkId,
        all: &[Correction],
    ) -> std::result::Result<(), Cause> {
        let clear = sqlx::query(self.sql("DELETE FROM syncline_correction WHERE chunk = ?"));
        clear.bind(chunk.to_string()).execute(tx.conn()).await?;
        if all.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO syncline_correction (chunk, body, at_ms) VALUES (?, ?, {now})";
        let insert = sqlx::query(self.sql(sql)).bind(chunk.to_string());
        insert.bind(fields::json(&all, "corrections")?).execute(tx.conn()).await?;
        Ok(())
    }
}

/// Whether the plan has a place for it.
fn check(plan: &TablePlan, correction: &Correction) -> std::result::Result<(), String> {
    let column = &correction.column;
    let place = plan.place_to_correct(column);
    let place = place.ok_or_else(|| format!("the run copies no column {column} of the source"))?;
    if plan.key.is_empty() || plan.key.contains(&place) {
        return Err(format!("{column} tells which row it is"));
    }
    let given = plan.columns[place].corrected_as();
    match &correction.value {
        None if given.nullable => Ok(()),
        None => Err(format!("{column} takes no NULL")),
        Some(text) => model::convert::read(text, &given.logical)
            .map(drop)
            .map_err(|error| format!("{column} is {}: {}", given.logical, error.reason)),
    }
}
