//! MongoDB: a database of collections as source or target, through the official driver.
//!
//! A row is a document, its key the `_id`. A collection that Syncline makes declares its columns in its validator; of any
//! other the columns are what its documents show. Chunks are written in transactions, so a target is a replica set or a
//! sharded cluster.

mod catalog;
mod classify;
mod client;
mod codec;
mod document;
mod finish;
mod infer;
mod json;
mod limits;
mod mapping;
mod moment;
mod own;
mod read;
mod schema;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{
    Activity, Attempt, ChunkId, Column, Engine, ErrorKind, InstallId, Key, RowBatch, RunId, TablePlan,
    TableRef, TableSchema, TargetHistory, Turn, Value,
};

use self::client::Client;
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::{ChunkWrite, Fence, ServerInfo, Slice, Source, Target};

/// A MongoDB database.
#[derive(Debug)]
pub(crate) struct Mongodb {
    client: Arc<Client>,
}

impl Mongodb {
    /// Connects when first used; must be called within a runtime.
    pub(crate) fn open(config: &ConnectionConfig) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::open(config)?) })
    }
}

#[async_trait]
impl Source for Mongodb {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    async fn server(&self) -> Result<ServerInfo> {
        self.client.server().await
    }

    async fn tables(&self) -> Result<Vec<TableRef>> {
        catalog::tables(&self.client).await
    }

    async fn describe(&self, table: &TableRef) -> Result<Option<TableSchema>> {
        catalog::describe(&self.client, table).await
    }

    async fn next_boundary(
        &self,
        table: &TableSchema,
        key: &[String],
        from: Option<&Key>,
        rows: u64,
    ) -> Result<Option<Key>> {
        read::next_boundary(&self.client, table, key, from, rows).await
    }

    async fn count(&self, table: &TableRef, at_most: u64) -> Result<u64> {
        read::count(&self.client, table, at_most).await
    }

    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>> {
        read::gauge(&self.client, gauge).await
    }

    /// Open transactions show no time that their documents would have.
    async fn activity(&self, _watched: bool) -> Result<Activity> {
        Err(Error::new(ErrorKind::Unsupported, Engine::Mongodb, "look at what is under way"))
    }

    async fn greatest(&self, table: &TableSchema, column: &str) -> Result<Option<Value>> {
        let operation = format!("find the greatest {column} of {}", table.table);
        Err(Error::new(ErrorKind::Unsupported, Engine::Mongodb, operation))
    }

    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
        read::read(&self.client, slice)
    }
}

#[async_trait]
impl Target for Mongodb {
    fn column_for(&self, source: &Column) -> Column {
        mapping::column_for(source)
    }

    fn takes_new_columns(&self) -> bool {
        true
    }

    fn takes_documents(&self) -> bool {
        true
    }

    fn member(
        &self,
        value: &Value,
        column: &Column,
    ) -> std::result::Result<Option<serde_json::Value>, ConvertError> {
        json::member(value, column)
    }

    fn cut(&self, value: &Value, column: &Column) -> Option<(Value, &'static str)> {
        limits::cut(value, column)
    }

    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError> {
        limits::admits(value, column)
    }

    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        own::prepare(&self.client, plan, install, turn).await
    }

    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>> {
        Ok(Box::new(write::begin(&self.client, plan, fence).await?))
    }

    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>> {
        finish::build_indexes(&self.client, plan).await
    }

    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>> {
        finish::check_foreign_keys(&self.client, plan).await
    }

    /// None: the server knows no foreign keys.
    async fn cascading_children(&self, _table: &TableRef) -> Result<Vec<TableRef>> {
        Ok(Vec::new())
    }

    async fn forget_run(&self, install: InstallId, run: RunId) -> Result<()> {
        own::forget_run(&self.client, install, run).await
    }

    async fn history(&self, install: InstallId) -> Result<TargetHistory> {
        own::history(&self.client, install).await
    }

    async fn attempts(
        &self,
        install: InstallId,
        run: RunId,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<Vec<(ChunkId, Attempt)>> {
        own::attempts(&self.client, (install, run), after, limit).await
    }

    async fn raise_turns(&self, install: InstallId, turn: Turn) -> Result<u64> {
        own::raise_turns(&self.client, install, turn).await
    }
}
