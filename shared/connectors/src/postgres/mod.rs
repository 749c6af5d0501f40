//! PostgreSQL as source or target.
//!
//! Everything goes as text: statements are put together in `sql` from typed values, loads go by COPY, rows come back as
//! the text the server printed, which is exact for every type, and are decoded by our own codec.

mod catalog;
mod classify;
mod codec;
mod ddl;
mod finish;
mod gauge;
mod limits;
mod mapping;
mod server;
mod session;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{
    Attempt, ChunkId, Column, Engine, InstallId, Key, RowBatch, RunId, TablePlan, TableRef, TableSchema,
    TargetHistory, Turn, Value,
};

use crate::config::ConnectionConfig;
use crate::error::Result;
use crate::server::{foreign_keys, own, read, write as server_write};
use crate::{ChunkWrite, Fence, ServerInfo, Slice, Source, Target};

/// A PostgreSQL database, in the schema that its search path names first.
#[derive(Debug)]
pub(crate) struct Postgres {
    pool: Arc<session::Pool>,
}

impl Postgres {
    /// Connects when first used.
    pub(crate) fn open(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { pool: session::Pool::new(config)? })
    }
}

#[async_trait]
impl Source for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    async fn server(&self) -> Result<ServerInfo> {
        server::server(&self.pool).await
    }

    async fn tables(&self) -> Result<Vec<TableRef>> {
        catalog::tables(&self.pool).await
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

    async fn count(&self, table: &TableRef) -> Result<u64> {
        read::count(&self.pool, table).await
    }

    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>> {
        gauge::read(&self.pool, gauge).await
    }

    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
        read::read(&self.pool, slice)
    }
}

#[async_trait]
impl Target for Postgres {
    fn column_for(&self, source: &Column) -> Column {
        mapping::column_for(source)
    }

    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError> {
        limits::admits(value, column)
    }

    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        write::prepare(&self.pool, plan, install, turn).await
    }

    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>> {
        Ok(Box::new(server_write::begin(&self.pool, plan, fence).await?))
    }

    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>> {
        finish::build_indexes(&self.pool, plan).await
    }

    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>> {
        foreign_keys::check_foreign_keys(&self.pool, plan).await
    }

    async fn cascading_children(&self, table: &TableRef) -> Result<Vec<TableRef>> {
        catalog::cascading_children(&self.pool, table).await
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
