//! A session that stays open between statements, for tests of what others see of its transaction.

use sqlx::{AssertSqlSafe, MySqlConnection, PgConnection, SqliteConnection};
use tiberius::Client;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::compat::Compat;

/// One session.
pub struct Session {
    connection: Mutex<Connection>,
}

pub(crate) enum Connection {
    Mysql(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
    Sqlserver(Box<Client<Compat<TcpStream>>>),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection) }
    }

    /// Runs statements, separated by semicolons; whether all went well.
    pub async fn try_exec(&self, sql: &str) -> bool {
        let text = AssertSqlSafe(sql.to_owned());
        match &mut *self.connection.lock().await {
            Connection::Mysql(session) => sqlx::raw_sql(text).execute(session).await.is_ok(),
            Connection::Postgres(session) => sqlx::raw_sql(text).execute(session).await.is_ok(),
            Connection::Sqlite(session) => sqlx::raw_sql(text).execute(session).await.is_ok(),
            Connection::Sqlserver(session) => match session.simple_query(sql).await {
                Ok(answers) => answers.into_results().await.is_ok(),
                Err(_) => false,
            },
        }
    }

    /// As [`Session::try_exec`].
    ///
    /// # Panics
    /// A statement fails.
    pub async fn exec(&self, sql: &str) {
        assert!(self.try_exec(sql).await, "{}", sql.chars().take(200).collect::<String>());
    }
}
