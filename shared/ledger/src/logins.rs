//! Log-ins: browsers in which somebody gave a token. A log-in has the role of its token and ends with it.

use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::Fields as _;
use crate::tokens::Role;

/// A log-in lasts so long, whatever is done with it.
const LASTS_MS: i64 = 12 * 3_600_000;
/// And so long without any request.
const IDLE_MS: i64 = 3_600_000;
/// Requests are noted so often.
const SEEN_EVERY_MS: i64 = 60_000;

/// A log-in to enter.
#[derive(Debug, Clone)]
pub struct NewLogin {
    pub id: String,
    /// The token's id.
    pub token: String,
    /// SHA-256 of the cookie, in hexadecimal.
    pub hash: String,
}

/// A log-in that is still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub id: String,
    pub hash: String,
    /// The token's id.
    pub token: String,
    /// The token's.
    pub role: Role,
    /// What people call the token.
    pub name: String,
    /// Its use in this minute is noted already.
    pub is_use_noted: bool,
}

impl Ledger {
    /// Enters a log-in, and forgets those that are over.
    pub async fn create_login(&self, login: &NewLogin) -> Result<()> {
        self.write("create a log-in", || async move {
            let mut tx = self.begin().await?;
            let sql = "DELETE FROM syncline_login WHERE created_ms < {now} - ? OR seen_ms < {now} - ?";
            sqlx::query(self.sql(sql)).bind(LASTS_MS).bind(IDLE_MS).execute(tx.conn()).await?;
            let sql = "INSERT INTO syncline_login (id, token, hash, created_ms, seen_ms) VALUES (?, ?, ?, {now}, {now})";
            let insert = sqlx::query(self.sql(sql)).bind(login.id.as_str()).bind(login.token.as_str());
            insert.bind(login.hash.as_str()).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// The log-in of this id, unless it or its token is over.
    pub async fn login(&self, id: &str) -> Result<Option<Login>> {
        self.read("look up a log-in", || async move {
            let sql = "SELECT l.id AS id, l.hash AS hash, l.seen_ms AS seen_ms, t.id AS token, t.role AS role, t.name AS name, \
                {now} AS now_ms FROM syncline_login l JOIN syncline_token t ON t.id = l.token \
                WHERE l.id = ? AND l.created_ms >= {now} - ? AND l.seen_ms >= {now} - ? \
                AND t.revoked_ms IS NULL AND (t.expires_ms IS NULL OR t.expires_ms > {now})";
            let query = sqlx::query(self.sql(sql)).bind(id).bind(LASTS_MS).bind(IDLE_MS);
            let row = query.fetch_optional(&self.shared.pool).await?;
            row.map(|row| login(&row)).transpose()
        })
        .await
    }

    /// Notes that a log-in was used. Not to be called where [`Login::is_use_noted`]: it would lock for nothing.
    pub async fn note_login_use(&self, id: &str) -> Result<()> {
        self.change_login(
            "note the use of a log-in",
            "UPDATE syncline_login SET seen_ms = {now} WHERE id = ?",
            id,
        )
        .await
    }

    /// Ends a log-in; one that is over stays so.
    pub async fn end_login(&self, id: &str) -> Result<()> {
        self.change_login("end a log-in", "DELETE FROM syncline_login WHERE id = ?", id).await
    }

    async fn change_login(&self, what: &'static str, sql: &'static str, id: &str) -> Result<()> {
        self.write(what, || async move {
            let mut tx = self.begin().await?;
            sqlx::query(self.sql(sql)).bind(id).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }
}

fn login(row: &AnyRow) -> std::result::Result<Login, Cause> {
    Ok(Login {
        id: row.text("id")?,
        hash: row.text("hash")?,
        token: row.text("token")?,
        role: row.named("role")?,
        name: row.text("name")?,
        is_use_noted: row.int("seen_ms")? >= row.int("now_ms")? - SEEN_EVERY_MS,
    })
}
