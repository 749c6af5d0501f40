//! Before the rows: own tables, turns, the target table; how the transaction of a chunk begins, and COPY.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use model::{ErrorKind, InstallId, Row, TablePlan, TableRef, Turn};
use sqlx::postgres::PgConnection;

use super::catalog::{cell_text, quote, schema_sql};
use super::ddl;
use super::session::{Lease, Pool, error};
use crate::Fence;
use crate::error::Result;
use crate::server::own::raise_turn;
use crate::sql::write::written;
use crate::sql::{Dialect, postgres_text};

/// Bytes of COPY data sent at once.
const COPY_BYTES: usize = 1 << 20;

const OWN_TABLES: [(&str, &str); 2] = [
    (
        "_syncline_turn",
        "CREATE TABLE IF NOT EXISTS _syncline_turn (\
         table_name text COLLATE \"C\" NOT NULL PRIMARY KEY, install text COLLATE \"C\" NOT NULL, \
         turn bigint NOT NULL)",
    ),
    (
        "_syncline_fence",
        "CREATE TABLE IF NOT EXISTS _syncline_fence (\
         install text COLLATE \"C\" NOT NULL, run text COLLATE \"C\" NOT NULL, chunk text COLLATE \"C\" NOT NULL, \
         attempt bigint NOT NULL, receipt text COLLATE \"C\", updated_at timestamptz NOT NULL, \
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
    if lease.server().schema.is_none() {
        return Err(error(ErrorKind::UnknownDatabase, &operation)
            .with_object("the search path, none of whose schemas exists"));
    }
    refuse_read_only(&mut lease, &operation).await?;
    for (name, create) in OWN_TABLES {
        // Looked for first: a user who may not create tables can use those somebody made.
        if !is_there(&mut lease, &TableRef::named(name), &operation).await? {
            create_alone(&mut lease, create, &operation).await?;
        }
    }
    raise_turn(&mut lease, plan, install, turn, &operation).await?;
    make_table(&mut lease, plan, &operation).await?;
    lease.release();
    Ok(())
}

/// A standby, or a server that was set read-only, says so before anything else fails for another reason.
async fn refuse_read_only(lease: &mut Lease, operation: &str) -> Result<()> {
    let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
    let rows = lease.rows(operation, sql.to_owned()).await?;
    match rows.first().and_then(|row| cell_text(row, 0)) {
        Some("f") => Ok(()),
        _ => Err(error(ErrorKind::ReadOnly, operation)),
    }
}

async fn is_there(lease: &mut Lease, table: &TableRef, operation: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = {} AND n.nspname = {} AND c.relkind IN ('r', 'p')",
        quote(&table.name),
        schema_sql(table)
    );
    Ok(!lease.rows(operation, sql).await?.is_empty())
}

/// IF NOT EXISTS alone does not help two who create at once: the second fails on the catalog's own unique index.
async fn create_alone(lease: &mut Lease, create: &str, operation: &str) -> Result<()> {
    let sql = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('syncline create')); {create}; COMMIT");
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
    let sql = "SELECT collname FROM pg_collation WHERE pg_collation_is_visible(oid) \
               AND collencoding IN (-1, pg_char_to_encoding(current_setting('server_encoding')))";
    let rows = lease.rows(operation, sql.to_owned()).await?;
    let collations: HashSet<String> =
        rows.iter().filter_map(|row| cell_text(row, 0).map(ToOwned::to_owned)).collect();
    create_alone(lease, &ddl::create_table(plan, &collations), operation).await
}

/// See [`Protocol::raise_turn_sql`](crate::server::Protocol::raise_turn_sql).
pub(super) fn raise_turn_sql(name: &str, install: InstallId, turn: Turn) -> String {
    format!(
        "BEGIN; \
         INSERT INTO _syncline_turn AS t (table_name, install, turn) VALUES ({name}, '{install}', {turn}) \
         ON CONFLICT (table_name) DO UPDATE SET turn = GREATEST(t.turn, {turn}) WHERE t.install = '{install}'; \
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name} FOR UPDATE",
        turn = turn.0
    )
}

/// See [`Protocol::begin_sql`](crate::server::Protocol::begin_sql). Where tables refer to each other in a circle, rows
/// come before what they refer to: such tables are written as a replica writes them, without foreign keys or triggers,
/// if they are not our own, which have none yet. Constraints do not wait for the commit, which could not tell whose row it
/// was.
pub(super) fn begin_sql(plan: &TablePlan, fence: &Fence, name: &str) -> String {
    let Fence { install, run, chunk, attempt, .. } = fence;
    let as_replica = plan.in_cycle && !plan.create_target;
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET CONSTRAINTS ALL IMMEDIATE; {replica}\
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name} FOR SHARE; \
         INSERT INTO _syncline_fence AS f (install, run, chunk, attempt, updated_at) \
         VALUES ('{install}', '{run}', '{chunk}', {attempt}, CURRENT_TIMESTAMP(6)) \
         ON CONFLICT (install, run, chunk) DO UPDATE SET attempt = GREATEST(f.attempt, {attempt}); \
         SELECT attempt, receipt FROM _syncline_fence \
         WHERE install = '{install}' AND run = '{run}' AND chunk = '{chunk}' FOR UPDATE",
        replica = if as_replica { "SET LOCAL session_replication_role = replica; " } else { "" },
    )
}

/// Rows by COPY: all or, with an error, none. See <https://www.postgresql.org/docs/current/sql-copy.html>.
pub(super) async fn copy_in(
    connection: &mut PgConnection,
    plan: &TablePlan,
    rows: &[Row],
) -> sqlx::Result<()> {
    let places = written(plan);
    let names = Dialect::Postgres.idents(places.iter().map(|at| &plan.columns[*at].target.name));
    let sql = format!("COPY {} ({names}) FROM STDIN", Dialect::Postgres.table(&plan.target.table));
    let mut copy = connection.copy_in_raw(&sql).await?;
    let mut lines = String::new();
    for row in rows {
        for (n, place) in places.iter().enumerate() {
            if n > 0 {
                lines.push('\t');
            }
            postgres_text::push_copy_cell(&mut lines, &row[*place]);
        }
        lines.push('\n');
        if lines.len() >= COPY_BYTES {
            copy.send(lines.as_bytes()).await?;
            lines.clear();
        }
    }
    copy.send(lines.as_bytes()).await?;
    copy.finish().await.map(|_| ())
}
