//! Before the rows: own tables, turns, the target table; and how the transaction of a chunk begins.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use model::{ErrorKind, InstallId, TablePlan, TableRef, Turn};

use super::session::{Lease, Pool, error};
use super::{catalog, ddl, server};
use crate::Fence;
use crate::error::Result;
use crate::server::own::raise_turn;

const OWN_TABLES: [(&str, &str); 2] = [
    (
        "_syncline_turn",
        "CREATE TABLE IF NOT EXISTS _syncline_turn (\
         table_name varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
         install varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         turn bigint unsigned NOT NULL, \
         PRIMARY KEY (table_name)) ENGINE=InnoDB",
    ),
    (
        "_syncline_fence",
        "CREATE TABLE IF NOT EXISTS _syncline_fence (\
         install varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         run varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         chunk varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         attempt int unsigned NOT NULL, \
         receipt longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, \
         updated_at datetime(6) NOT NULL, \
         PRIMARY KEY (install, run, chunk)) ENGINE=InnoDB",
    ),
];

pub(super) async fn prepare(
    pool: &Arc<Pool>,
    plan: &TablePlan,
    install: InstallId,
    turn: Turn,
) -> Result<()> {
    let operation = format!("prepare table {}", plan.target.table);
    pool.config.circuit.may_write(Instant::now(), &operation)?;
    let mut lease = pool.lease(&operation).await?;
    server::open_for_writing(&mut lease, &operation).await?;
    if lease.server().database.is_none() {
        return Err(
            error(ErrorKind::UnknownDatabase, &operation).with_object("the connection names no database")
        );
    }
    for (name, create) in OWN_TABLES {
        // Looked for first: a user who may not create tables can use those somebody made.
        if engine_of(&mut lease, &TableRef::named(name), &operation).await?.is_none() {
            lease.run(&operation, create.to_owned()).await?;
        }
    }
    raise_turn(&mut lease, plan, install, turn, &operation).await?;
    make_table(&mut lease, plan, &operation).await?;
    lease.release();
    Ok(())
}

/// The storage engine of a table, if the table exists.
async fn engine_of(lease: &mut Lease, table: &TableRef, operation: &str) -> Result<Option<String>> {
    let schema = table.schema.as_deref().map_or_else(|| "DATABASE()".to_owned(), catalog::quote);
    let sql = format!(
        "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {}",
        catalog::quote(&table.name)
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(rows.first().map(|row| catalog::cell_text(row, 0).unwrap_or_default().to_owned()))
}

async fn make_table(lease: &mut Lease, plan: &TablePlan, operation: &str) -> Result<()> {
    let table = &plan.target.table;
    match engine_of(lease, table, operation).await? {
        // Rows and receipt must be committed as one.
        Some(engine) if engine != "InnoDB" => Err(error(ErrorKind::Unsupported, operation)
            .with_object(format!("storage engine {engine}, which has no transactions"))),
        Some(_) => Ok(()),
        None if plan.create_target => {
            let collations = collations(lease, operation).await?;
            let sql = ddl::create_table(plan, lease.server(), &collations);
            lease.run(operation, sql).await.map(|_| ())
        }
        None => Err(error(ErrorKind::UnknownTable, operation).with_object(table.to_string())),
    }
}

async fn collations(lease: &mut Lease, operation: &str) -> Result<HashSet<String>> {
    // MariaDB lists its newer collations without the character set, except here.
    let sql = if lease.server().mariadb {
        "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
    } else {
        "SELECT COLLATION_NAME FROM information_schema.COLLATIONS"
    };
    let rows = lease.rows(operation, sql.to_owned()).await?;
    Ok(rows.iter().filter_map(|row| catalog::cell_text(row, 0).map(ToOwned::to_owned)).collect())
}

/// See [`Protocol::raise_turn_sql`](crate::server::Protocol::raise_turn_sql).
pub(super) fn raise_turn_sql(name: &str, install: InstallId, turn: Turn) -> String {
    format!(
        "START TRANSACTION READ WRITE; \
         INSERT INTO _syncline_turn (table_name, install, turn) VALUES ({name}, '{install}', {turn}) \
         ON DUPLICATE KEY UPDATE turn = IF(install = '{install}', GREATEST(turn, {turn}), turn); \
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name} FOR UPDATE",
        turn = turn.0
    )
}

/// See [`Protocol::begin_sql`](crate::server::Protocol::begin_sql).
pub(super) fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String {
    let Fence { install, run, chunk, attempt, .. } = fence;
    format!(
        "SET SESSION foreign_key_checks = {checks}; \
         START TRANSACTION READ WRITE; \
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name} LOCK IN SHARE MODE; \
         INSERT INTO _syncline_fence (install, run, chunk, attempt, updated_at) \
         VALUES ('{install}', '{run}', '{chunk}', {attempt}, CURRENT_TIMESTAMP(6)) \
         ON DUPLICATE KEY UPDATE attempt = GREATEST(attempt, {attempt}); \
         SELECT attempt, receipt FROM _syncline_fence \
         WHERE install = '{install}' AND run = '{run}' AND chunk = '{chunk}' FOR UPDATE",
        checks = u8::from(!plan.in_cycle),
    )
}
