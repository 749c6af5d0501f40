//! The data of the demo: Chinook, which many know, and a larger table of customers.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

/// Chinook 1.4.5 by Luis Rocha, MIT licence; see tests/data/chinook.
const CHINOOK: &str = include_str!("../../../tests/data/chinook/Chinook_Sqlite.sql");
const CUSTOMERS_TABLE: &str = "CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email VARCHAR(80) NOT NULL,
    balance DECIMAL(12,2) NOT NULL,
    joined DATETIME NOT NULL,
    profile JSON_TEXT NOT NULL,
    note TEXT
)";
const CUSTOMERS: &str = include_str!("customers.sql");

/// Rows of the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) chinook: u64,
    pub(super) customers: u64,
}

/// Makes the source database.
pub(super) async fn make(path: &Path, customers: u32) -> Result<Made, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut db = SqliteConnection::connect_with(&options).await?;
    // A file that can be made again need not survive a power cut.
    sqlx::raw_sql("PRAGMA synchronous = OFF; BEGIN").execute(&mut db).await?;
    sqlx::raw_sql(CHINOOK).execute(&mut db).await?;
    sqlx::raw_sql(CUSTOMERS_TABLE).execute(&mut db).await?;
    let made = sqlx::query(CUSTOMERS).bind(i64::from(customers)).execute(&mut db).await?.rows_affected();
    sqlx::raw_sql("COMMIT").execute(&mut db).await?;
    let chinook = chinook_rows(&mut db).await?;
    db.close().await?;
    Ok(Made { chinook, customers: made })
}

async fn chinook_rows(db: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM Album) + (SELECT count(*) FROM Artist) + (SELECT count(*) FROM Customer) \
         + (SELECT count(*) FROM Employee) + (SELECT count(*) FROM Genre) + (SELECT count(*) FROM Invoice) \
         + (SELECT count(*) FROM InvoiceLine) + (SELECT count(*) FROM MediaType) + (SELECT count(*) FROM Playlist) \
         + (SELECT count(*) FROM PlaylistTrack) + (SELECT count(*) FROM Track)",
    )
    .fetch_one(db)
    .await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}
