//! What tests ask of SQL Server past the product, through the driver itself.

use futures::TryStreamExt as _;
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel, QueryItem, error::Error};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use crate::database::Address;

/// A session in a database, without TLS.
///
/// # Errors
/// The server refuses.
///
/// # Panics
/// The address is of another form.
pub async fn session(base: &str, database: &str) -> Result<Client<Compat<TcpStream>>, Error> {
    let Address { user, password, host, port } = Address::of(base);
    let mut config = Config::new();
    config.host(host);
    config.port(port.parse().expect("a port"));
    config.database(database);
    config.encryption(EncryptionLevel::NotSupported);
    config.authentication(AuthMethod::sql_server(user, password));
    let stream = TcpStream::connect(config.get_addr()).await?;
    Box::pin(Client::connect(config, stream.compat_write())).await
}

/// Runs a script: batches end where a line says `GO`.
///
/// # Errors
/// The first that fails.
pub async fn exec(base: &str, database: &str, sql: &str) -> Result<(), Error> {
    let mut session = session(base, database).await?;
    let lines: Vec<&str> = sql.lines().collect();
    for batch in lines.split(|line| line.trim().eq_ignore_ascii_case("GO")) {
        let batch = batch.join("\n");
        if !batch.trim().is_empty() {
            session.simple_query(batch).await?.into_results().await?;
        }
    }
    Ok(())
}

/// A column of the first row as text; `None` for NULL.
///
/// # Panics
/// There is no row, or the column is of a type that has no plain text.
pub async fn column(base: &str, database: &str, sql: &str, at: usize) -> Option<String> {
    let mut session = session(base, database).await.expect("the test server answers");
    let mut parts = session.simple_query(sql).await.expect("the query runs");
    while let Some(part) = parts.try_next().await.expect("the query runs") {
        if let QueryItem::Row(row) = part {
            return text(row.get_column_data(at).expect("a column"));
        }
    }
    panic!("no row: {sql}")
}

fn text(cell: &ColumnData<'_>) -> Option<String> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "tests ask for numbers and text")]
    match cell {
        ColumnData::String(text) => text.as_ref().map(ToString::to_string),
        ColumnData::U8(n) => n.map(|n| n.to_string()),
        ColumnData::I16(n) => n.map(|n| n.to_string()),
        ColumnData::I32(n) => n.map(|n| n.to_string()),
        ColumnData::I64(n) => n.map(|n| n.to_string()),
        ColumnData::Bit(bit) => bit.map(|bit| u8::from(bit).to_string()),
        ColumnData::F64(v) => v.map(|v| v.to_string()),
        ColumnData::Numeric(n) => n.map(|n| n.to_string()),
        other => panic!("no plain text: {other:?}"),
    }
}
