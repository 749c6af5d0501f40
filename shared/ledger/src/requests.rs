//! Requests that name themselves: each is done once, and its answer is given again however often it is sent.

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::Fields as _;

/// Answers are remembered so long.
const KEPT_MS: i64 = 24 * 3_600_000;
/// Whoever has begun a request and not answered it by then is gone.
const ABANDONED_MS: i64 = 60_000;

/// What is known of a request that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It was not seen before, or whoever began it is gone: do it, and say what came of it.
    New,
    /// It is being done.
    UnderWay,
    /// A request of this id had another content.
    Another,
    /// It was done, and answered so.
    Answered(Answer),
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Where what it made is, at most 255 characters.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Ledger {
    /// Notes that `doer`, whose name is its own for each request, begins the request of this id; `content` tells one
    /// request from another. Both are digests: nothing of a request is kept.
    pub async fn begin_request(&self, id: &str, content: &str, doer: &str) -> Result<Asked> {
        self.write("begin a request", || self.begin_request_once(id, content, doer)).await
    }

    async fn begin_request_once(
        &self,
        id: &str,
        content: &str,
        doer: &str,
    ) -> std::result::Result<Asked, Cause> {
        let mut tx = self.begin().await?;
        let now = self.one_at_a_time(&mut tx).await?;
        let sql =
            "DELETE FROM syncline_request WHERE began_ms < ? OR (status IS NULL AND began_ms < ? AND id = ?)";
        let forget = sqlx::query(self.sql(sql)).bind(now - KEPT_MS).bind(now - ABANDONED_MS);
        forget.bind(id).execute(tx.conn()).await?;
        let sql = "SELECT content, doer, status, location, body FROM syncline_request WHERE id = ?";
        let found = sqlx::query(self.sql(sql)).bind(id).fetch_optional(tx.conn()).await?;
        let asked = match found {
            Some(row) if row.text("content")? != content => Asked::Another,
            Some(row) => match row.opt_count("status")? {
                Some(status) => Asked::Answered(Answer {
                    status: u16::try_from(status).unwrap_or(500),
                    location: row.opt_text("location")?,
                    body: row.opt_bytes("body")?.unwrap_or_default(),
                }),
                // Its own first try, whose answer was lost.
                None if row.text("doer")? == doer => Asked::New,
                None => Asked::UnderWay,
            },
            None => {
                let sql = "INSERT INTO syncline_request (id, content, doer, began_ms) VALUES (?, ?, ?, ?)";
                let insert = sqlx::query(self.sql(sql)).bind(id).bind(content).bind(doer).bind(now);
                insert.execute(tx.conn()).await?;
                Asked::New
            }
        };
        tx.commit().await?;
        Ok(asked)
    }

    /// Keeps what a request was answered. One that another has taken over since stays that one's.
    pub async fn answer_request(&self, id: &str, doer: &str, answer: &Answer) -> Result<()> {
        self.write("keep the answer to a request", || async move {
            let mut tx = self.begin().await?;
            let sql =
                "UPDATE syncline_request SET status = ?, location = ?, body = ? WHERE id = ? AND doer = ?";
            let set = sqlx::query(self.sql(sql)).bind(i64::from(answer.status));
            let set = set.bind(answer.location.as_deref()).bind(answer.body.clone());
            set.bind(id).bind(doer).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// Forgets a request of which nothing was done: it may be asked again.
    pub async fn forget_request(&self, id: &str, doer: &str) -> Result<()> {
        self.write("forget a request", || async move {
            let mut tx = self.begin().await?;
            let sql = "DELETE FROM syncline_request WHERE id = ? AND doer = ? AND status IS NULL";
            sqlx::query(self.sql(sql)).bind(id).bind(doer).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }
}
