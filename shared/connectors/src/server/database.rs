//! A database at such a server, as source and target.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{
    Activity, Attempt, ChunkId, Column, Engine, InstallId, Key, RowBatch, RunId, TablePlan, TableRef,
    TableSchema, TargetHistory, Turn, Value,
};

use super::pool::Pool;
use super::{Protocol, foreign_keys, gauge, own, read, write};
use crate::config::ConnectionConfig;
use crate::error::Result;
use crate::{ChunkWrite, Fence, ServerInfo, Slice, Source, Target};

/// Sessions at one database.
pub(crate) struct Database<P: Protocol> {
    pool: Arc<Pool<P>>,
}

impl<P: Protocol> fmt::Debug for Database<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl<P: Protocol> Database<P> {
    /// Connects when first used.
    pub(crate) fn open(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { pool: Pool::new(config)? })
    }
}

#[async_trait]
impl<P: Protocol> Source for Database<P> {
    fn engine(&self) -> Engine {
        P::ENGINE
    }

    async fn server(&self) -> Result<ServerInfo> {
        P::server(&self.pool).await
    }

    async fn tables(&self) -> Result<Vec<TableRef>> {
        P::tables(&self.pool).await
    }

    async fn describe(&self, table: &TableRef) -> Result<Option<TableSchema>> {
        read::describe(&self.pool, table).await
    }

    async fn next_boundary(
        &self,
        table: &TableSchema,
        key: &[String],
        from: Option<&Key>,
        rows: u64,
    ) -> Result<Option<Key>> {
        read::next_boundary(&self.pool, table, key, from, rows).await
    }

    async fn count(&self, table: &TableRef, at_most: u64) -> Result<u64> {
        read::count(&self.pool, table, at_most).await
    }

    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>> {
        gauge::read(&self.pool, gauge).await
    }

    async fn activity(&self, watched: bool) -> Result<Activity> {
        P::activity(&self.pool, watched).await
    }

    async fn greatest(&self, table: &TableSchema, column: &str) -> Result<Option<Value>> {
        read::greatest(&self.pool, table, column).await
    }

    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
        read::read(&self.pool, slice)
    }
}

#[async_trait]
impl<P: Protocol> Target for Database<P> {
    fn column_for(&self, source: &Column) -> Column {
        P::column_for(source)
    }

    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError> {
        P::admits(value, column, self.pool.known_server())
    }

    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        P::prepare(&self.pool, plan, install, turn).await
    }

    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>> {
        Ok(Box::new(write::begin(&self.pool, plan, fence).await?))
    }

    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>> {
        P::build_indexes(&self.pool, plan).await
    }

    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>> {
        foreign_keys::check_foreign_keys(&self.pool, plan).await
    }

    async fn cascading_children(&self, table: &TableRef) -> Result<Vec<TableRef>> {
        P::cascading_children(&self.pool, table).await
    }

    async fn forget_run(&self, install: InstallId, run: RunId) -> Result<()> {
        own::forget_run(&self.pool, install, run).await
    }

    async fn history(&self, install: InstallId) -> Result<TargetHistory> {
        own::history(&self.pool, install).await
    }

    async fn attempts(
        &self,
        install: InstallId,
        run: RunId,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<Vec<(ChunkId, Attempt)>> {
        own::attempts(&self.pool, (install, run), after, limit).await
    }

    async fn raise_turns(&self, install: InstallId, turn: Turn) -> Result<u64> {
        own::raise_turns(&self.pool, install, turn).await
    }
}
