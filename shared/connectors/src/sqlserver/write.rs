//! Before the rows: own tables, turns, the target table; and how the transaction of a chunk begins.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use model::{ErrorKind, InstallId, TablePlan, TableRef, Turn};

use super::catalog::{cell_text, quote, schema_sql};
use super::classify::NO_LOCK;
use super::session::{Lease, Pool, error};
use super::{ddl, server};
use crate::Fence;
use crate::error::Result;
use crate::server::own::raise_turn;
use crate::sql::Dialect;

const OWN_TABLES: [(&str, &str); 2] = [
    (
        "_syncline_turn",
        "CREATE TABLE _syncline_turn (\
         table_name nvarchar(400) COLLATE Latin1_General_BIN2 NOT NULL PRIMARY KEY, \
         install varchar(64) NOT NULL, turn bigint NOT NULL)",
    ),
    (
        "_syncline_fence",
        "CREATE TABLE _syncline_fence (\
         install varchar(64) COLLATE Latin1_General_BIN2 NOT NULL, \
         run varchar(64) COLLATE Latin1_General_BIN2 NOT NULL, \
         chunk varchar(64) COLLATE Latin1_General_BIN2 NOT NULL, \
         attempt bigint NOT NULL, receipt nvarchar(max) NULL, updated_at datetime2(6) NOT NULL, \
         PRIMARY KEY (install, run, chunk))",
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
    // A database that was set read-only says so before anything else fails for another reason.
    if !server::is_updatable(&mut lease, &operation).await? {
        return Err(error(ErrorKind::ReadOnly, &operation));
    }
    for (name, create) in OWN_TABLES {
        // Looked for first: a user who may not create tables can use those somebody made.
        if !is_there(&mut lease, &TableRef::named(name), &operation).await? {
            create_alone(&mut lease, &TableRef::named(name), create, &operation).await?;
        }
    }
    raise_turn(&mut lease, plan, install, turn, &operation).await?;
    make_table(&mut lease, plan, &operation).await?;
    lease.release();
    Ok(())
}

fn lookup(table: &TableRef) -> String {
    format!(
        "SELECT 1 FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         WHERE t.name = {} AND s.name = {}",
        quote(&table.name),
        schema_sql(table)
    )
}

async fn is_there(lease: &mut Lease, table: &TableRef, operation: &str) -> Result<bool> {
    Ok(!lease.rows(operation, lookup(table)).await?.is_empty())
}

/// Of two who create at once, the second finds what the first has made.
async fn create_alone(lease: &mut Lease, table: &TableRef, create: &str, operation: &str) -> Result<()> {
    let lock = lock(&quote("create"), "Exclusive");
    let sql = format!("BEGIN TRANSACTION; {lock}; IF NOT EXISTS ({}) {create}; COMMIT", lookup(table));
    lease.run(operation, sql).await.map(|_| ())
}

async fn make_table(lease: &mut Lease, plan: &TablePlan, operation: &str) -> Result<()> {
    let table = &plan.target.table;
    if is_there(lease, table, operation).await? {
        return Ok(());
    }
    if !plan.create_target {
        return Err(error(ErrorKind::UnknownTable, operation).with_object(table.to_string()));
    }
    let collations = collations(lease, plan, operation).await?;
    create_alone(lease, table, &ddl::create_table(plan, &collations), operation).await
}

/// The collations of the plan that the server has.
async fn collations(lease: &mut Lease, plan: &TablePlan, operation: &str) -> Result<HashSet<String>> {
    let named: HashSet<&String> = plan.columns.iter().filter_map(|c| c.target.collation.as_ref()).collect();
    let mut there = HashSet::new();
    for name in named {
        let sql = format!("SELECT COLLATIONPROPERTY({}, 'CodePage')", quote(name));
        let rows = lease.rows(operation, sql).await?;
        if rows.first().is_some_and(|row| cell_text(row, 0).is_some()) {
            there.insert(name.clone());
        }
    }
    Ok(there)
}

/// Takes a lock of our own until the transaction ends; waits for it as for any lock. `name` is a literal. Locks of rows
/// alone would not do where a server takes the hints and does not lock.
fn lock(name: &str, mode: &str) -> String {
    let resource = name.replacen('\'', "'syncline ", 1);
    format!(
        "DECLARE @{mode} int; EXEC @{mode} = sp_getapplock @Resource = {resource}, @LockMode = '{mode}', \
         @LockOwner = 'Transaction'; IF @{mode} < 0 THROW {NO_LOCK}, 'lock', 1"
    )
}

/// See [`Protocol::raise_turn_sql`](crate::server::Protocol::raise_turn_sql).
pub(super) fn raise_turn_sql(name: &str, install: InstallId, turn: Turn) -> String {
    format!(
        "BEGIN TRANSACTION; {lock}; \
         UPDATE _syncline_turn SET turn = {turn} \
         WHERE table_name = {name} AND install = '{install}' AND turn < {turn}; \
         INSERT INTO _syncline_turn (table_name, install, turn) SELECT {name}, '{install}', {turn} \
         WHERE NOT EXISTS (SELECT 1 FROM _syncline_turn WHERE table_name = {name}); \
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name}",
        lock = lock(name, "Exclusive"),
        turn = turn.0
    )
}

/// Rows come with their numbers: whether the server takes them for an identity column. Only one table of a session may be
/// so.
fn identity_insert(plan: &TablePlan, state: &str) -> String {
    if plan.columns.iter().any(|pair| pair.target.auto_increment) {
        format!("SET IDENTITY_INSERT {} {state}; ", Dialect::Sqlserver.table(&plan.target.table))
    } else {
        String::new()
    }
}

/// See [`Protocol::commit_sql`](crate::server::Protocol::commit_sql).
pub(super) fn commit_sql(plan: &TablePlan) -> String {
    format!("COMMIT; {}", identity_insert(plan, "OFF"))
}

/// See [`Protocol::begin_sql`](crate::server::Protocol::begin_sql).
pub(super) fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String {
    let Fence { install, run, chunk, attempt, .. } = fence;
    let own = format!("install = '{install}' AND run = '{run}' AND chunk = '{chunk}'");
    format!(
        "{identity}BEGIN TRANSACTION; {turn_lock}; \
         SELECT install, turn FROM _syncline_turn WITH (HOLDLOCK, ROWLOCK) WHERE table_name = {name}; \
         {chunk_lock}; \
         UPDATE _syncline_fence SET attempt = {attempt} WHERE {own} AND attempt < {attempt}; \
         INSERT INTO _syncline_fence (install, run, chunk, attempt, updated_at) \
         SELECT '{install}', '{run}', '{chunk}', {attempt}, SYSUTCDATETIME() \
         WHERE NOT EXISTS (SELECT 1 FROM _syncline_fence WHERE {own}); \
         SELECT attempt, receipt FROM _syncline_fence WHERE {own}",
        identity = identity_insert(plan, "ON"),
        turn_lock = lock(name, "Shared"),
        chunk_lock = lock(&quote(&chunk.to_string()), "Exclusive"),
    )
}
