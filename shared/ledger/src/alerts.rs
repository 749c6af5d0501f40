//! Messages to people: kept until somebody's server has taken them, or for a day.

use model::RunId;
use serde_json::Value as Json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, json};

/// How long whoever sends a message has it alone.
const SENDING_MS: i64 = 60_000;

/// Characters of a reason that are kept: what the column holds. A path in it may be long.
const ERROR_CHARS_MAX: usize = 255;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAlert {
    /// One message of this name is sent, whoever asks for it, and how often. At most 191 characters.
    pub id: String,
    pub run: RunId,
    /// Place of the rule in the run's spec.
    pub rule: u32,
    /// What it says: no address, no key, no value of a row.
    pub body: Json,
}

/// A message as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub id: String,
    pub run: RunId,
    pub rule: u32,
    pub body: Json,
    /// How often it was sent, or tried.
    pub tries: u32,
    pub raised_ms: i64,
    /// When it is tried next, if it was neither sent nor given up.
    pub due_ms: i64,
    pub sent_ms: Option<i64>,
    pub given_up_ms: Option<i64>,
    /// What came of the last try, if that was not taken.
    pub error: Option<String>,
}

const COLUMNS: &str = "id, run, rule, body, tries, raised_ms, due_ms, sent_ms, given_up_ms, error";

impl Ledger {
    /// Keeps a message until it is sent. `false` if one of this name is known, sent or not.
    pub async fn raise_alert(&self, alert: &NewAlert) -> Result<bool> {
        self.write("keep an alert", || self.raise_once(alert)).await
    }

    async fn raise_once(&self, alert: &NewAlert) -> std::result::Result<bool, Cause> {
        let sql = "INSERT INTO syncline_alert (id, run, rule, body, tries, raised_ms, due_ms) \
            VALUES (?, ?, ?, ?, 0, {now}, {now})";
        let mut tx = self.begin().await?;
        let insert = sqlx::query(self.sql(sql)).bind(&alert.id).bind(alert.run.to_string());
        let insert = insert.bind(i64::from(alert.rule)).bind(json(&alert.body, "alert")?);
        match insert.execute(tx.conn()).await {
            Ok(_) => {
                tx.commit().await?;
                Ok(true)
            }
            Err(error) if error.as_database_error().is_some_and(|e| e.is_unique_violation()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Messages that are to be sent now, oldest first, at most `limit`.
    pub async fn due_alerts(&self, limit: u32) -> Result<Vec<Alert>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM syncline_alert WHERE sent_ms IS NULL AND given_up_ms IS NULL AND due_ms <= {{now}} \
             ORDER BY due_ms, id LIMIT ?"
        );
        self.list_alerts("list due alerts", &sql, limit).await
    }

    /// The latest messages, newest first, at most `limit`.
    pub async fn alerts(&self, limit: u32) -> Result<Vec<Alert>> {
        let sql = format!("SELECT {COLUMNS} FROM syncline_alert ORDER BY raised_ms DESC, id LIMIT ?");
        self.list_alerts("list alerts", &sql, limit).await
    }

    async fn list_alerts(&self, operation: &'static str, sql: &str, limit: u32) -> Result<Vec<Alert>> {
        self.read(operation, || async move {
            let rows = sqlx::query(self.sql(sql)).bind(i64::from(limit)).fetch_all(&self.shared.pool).await?;
            rows.iter().map(alert).collect()
        })
        .await
    }

    /// Takes a due message for a minute, in which nobody else sends it. `false` if somebody has it, or it is gone.
    pub async fn take_alert(&self, alert: &Alert) -> Result<bool> {
        self.write("take an alert", || async move {
            let sql = format!(
                "UPDATE syncline_alert SET tries = tries + 1, due_ms = {{now}} + {SENDING_MS} \
                 WHERE id = ? AND tries = ? AND sent_ms IS NULL AND given_up_ms IS NULL"
            );
            let update = sqlx::query(self.sql(&sql)).bind(&alert.id).bind(i64::from(alert.tries));
            Ok(update.execute(&self.shared.pool).await?.rows_affected() == 1)
        })
        .await
    }

    /// The message was taken. Called twice, it changes nothing.
    pub async fn alert_sent(&self, id: &str) -> Result<()> {
        self.write("settle an alert", || async move {
            let sql =
                "UPDATE syncline_alert SET sent_ms = {now}, error = NULL WHERE id = ? AND sent_ms IS NULL";
            sqlx::query(self.sql(sql)).bind(id).execute(&self.shared.pool).await?;
            Ok(())
        })
        .await
    }

    /// The message was not taken, and why: it is due again after `again_ms`, or given up if that is absent.
    pub async fn alert_failed(&self, id: &str, error: &str, again_ms: Option<i64>) -> Result<()> {
        let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
        let error = error.as_str();
        self.write("put an alert off", || async move {
            let sql = "UPDATE syncline_alert SET error = ?, due_ms = {now} + ?, \
                given_up_ms = CASE WHEN ? = 1 THEN {now} ELSE NULL END WHERE id = ? AND sent_ms IS NULL";
            let update = sqlx::query(self.sql(sql)).bind(error).bind(again_ms.unwrap_or(0));
            let update = update.bind(i64::from(again_ms.is_none())).bind(id);
            update.execute(&self.shared.pool).await?;
            Ok(())
        })
        .await
    }
}

fn alert(row: &AnyRow) -> std::result::Result<Alert, Cause> {
    Ok(Alert {
        id: row.text("id")?,
        run: row.named("run")?,
        rule: row.small("rule")?,
        body: row.json("body")?,
        tries: row.small("tries")?,
        raised_ms: row.int("raised_ms")?,
        due_ms: row.int("due_ms")?,
        sent_ms: row.opt_int("sent_ms")?,
        given_up_ms: row.opt_int("given_up_ms")?,
        error: row.opt_text("error")?,
    })
}
