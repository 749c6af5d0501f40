//! Tokens of the HTTP API: who may do what, until when. The ledger keeps hashes of secrets, never a secret.

use std::fmt;
use std::str::FromStr;

use model::chunk::UnknownName;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::Fields as _;

/// When a token was used is kept to the minute: a write each time would make readers of the API writers of the ledger.
const USED_EVERY_MS: i64 = 60_000;

/// What a token may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Start, pause, resume, cancel, retry, drain, change limits and intervals.
    Operator,
    /// See row values, and all else.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// A token to enter.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The part of it that may be shown.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the whole token, in hexadecimal.
    pub hash: String,
    pub role: Role,
    /// Milliseconds that it is good for; absent: for ever.
    pub lasts_ms: Option<i64>,
}

/// A token as it stands. Times are milliseconds since 1970 on the ledger's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub hash: String,
    pub role: Role,
    pub created_ms: i64,
    pub expires_ms: Option<i64>,
    /// When it was used last, to the minute.
    pub used_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
    /// Neither revoked nor expired when this was read.
    pub is_good: bool,
    /// Its use in this minute is noted already.
    pub is_use_noted: bool,
}

impl Token {
    /// In a word: `good`, `revoked` or `expired`.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match (self.is_good, self.revoked_ms) {
            (true, _) => "good",
            (false, Some(_)) => "revoked",
            (false, None) => "expired",
        }
    }
}

const COLUMNS: &str = "id, name, hash, role, created_ms, expires_ms, used_ms, revoked_ms, {now} AS now_ms";

impl Ledger {
    /// Enters a token. One of the same id is refused by the ledger's own key.
    pub async fn create_token(&self, token: &NewToken) -> Result<()> {
        self.write("create a token", || async move {
            let mut tx = self.begin().await?;
            let sql = "INSERT INTO syncline_token (id, name, hash, role, created_ms, expires_ms) \
                VALUES (?, ?, ?, ?, {now}, {now} + ?)";
            let insert = sqlx::query(self.sql(sql)).bind(token.id.as_str()).bind(token.name.as_str());
            let insert = insert.bind(token.hash.as_str()).bind(token.role.name()).bind(token.lasts_ms);
            insert.execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// All tokens, newest first, those that are no good any more included.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        self.read("list tokens", || async move {
            let sql = format!("SELECT {COLUMNS} FROM syncline_token ORDER BY created_ms DESC, id");
            sqlx::query(self.sql(&sql)).fetch_all(&self.shared.pool).await?.iter().map(token).collect()
        })
        .await
    }

    /// The token of this id.
    pub async fn token(&self, id: &str) -> Result<Option<Token>> {
        self.read("look up a token", || async move {
            let sql = format!("SELECT {COLUMNS} FROM syncline_token WHERE id = ?");
            let row = sqlx::query(self.sql(&sql)).bind(id).fetch_optional(&self.shared.pool).await?;
            row.map(|row| token(&row)).transpose()
        })
        .await
    }

    /// Whether any token was ever made: from then on nobody comes in without one.
    pub async fn has_tokens(&self) -> Result<bool> {
        self.read("look for tokens", || async move {
            let sql = self.sql("SELECT 1 AS n FROM syncline_token LIMIT 1");
            Ok(sqlx::query(sql).fetch_optional(&self.shared.pool).await?.is_some())
        })
        .await
    }

    /// Notes that a token was used, once a minute at most. Not to be called where [`Token::is_use_noted`]: it would lock for
    /// nothing.
    pub async fn note_token_use(&self, id: &str) -> Result<()> {
        self.write("note the use of a token", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_token SET used_ms = {now} WHERE id = ? AND (used_ms IS NULL OR used_ms < {now} - ?)";
            sqlx::query(self.sql(sql)).bind(id).bind(USED_EVERY_MS).execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// Ends a token at once. `false` if there is none of this id, or it was revoked before.
    pub async fn revoke_token(&self, id: &str) -> Result<bool> {
        self.write("revoke a token", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_token SET revoked_ms = {now} WHERE id = ? AND revoked_ms IS NULL";
            let revoked = sqlx::query(self.sql(sql)).bind(id).execute(tx.conn()).await?.rows_affected();
            tx.commit().await?;
            Ok(revoked > 0)
        })
        .await
    }
}

fn token(row: &AnyRow) -> std::result::Result<Token, Cause> {
    let (expires_ms, revoked_ms) = (row.opt_int("expires_ms")?, row.opt_int("revoked_ms")?);
    let now = row.int("now_ms")?;
    let used_ms = row.opt_int("used_ms")?;
    Ok(Token {
        id: row.text("id")?,
        name: row.text("name")?,
        hash: row.text("hash")?,
        role: row.named("role")?,
        created_ms: row.int("created_ms")?,
        expires_ms,
        used_ms,
        revoked_ms,
        is_good: revoked_ms.is_none() && expires_ms.is_none_or(|expires| expires > now),
        is_use_noted: used_ms.is_some_and(|used| used >= now - USED_EVERY_MS),
    })
}
