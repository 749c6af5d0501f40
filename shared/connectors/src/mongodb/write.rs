//! The transaction of a chunk.
//!
//! MongoDB ends a transaction whose statement fails. A call that refuses rows must leave what was written before, so
//! each transaction keeps what it did: after a refusal it is begun anew and does it again. What it has read is read
//! again, too; if that has changed meanwhile, the whole chunk is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bson::raw::{CStr, cstr};
use bson::{Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc};
use futures::TryStreamExt as _;
use model::digest::RowDigest;
use model::{ChunkDigest, Disposition, Engine, ErrorKind, Key, Receipt, Row, RowBatch, TablePlan};
use mongodb::ClientSession;

use super::client::{Client, transaction, whole};
use super::document::{Layout, Misfit};
use super::own::{FENCES, TURNS, check_turn, fence_id, majority, number};
use super::{classify, read};
use crate::error::{Error, Result};
use crate::read_batches::Decoded;
use crate::{ChunkWrite, Fence};

/// Bytes of what one command writes. The server takes little more: calls bring at most a batch of rows, whose places in
/// the list need few.
const COMMAND_BYTES: usize = 16 * 1024 * 1024;
/// Statements of one command.
const STATEMENTS_MAX: usize = 10_000;
/// How long a look at a fence waits for the transaction that holds it, before that is asked about.
const FENCE_WAIT: Duration = Duration::from_millis(300);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// One write transaction. Dropped, its session ends it.
pub(super) struct MongoWrite {
    client: Arc<Client>,
    session: ClientSession,
    plan: Arc<TablePlan>,
    layout: Layout,
    fence: Fence,
    receipt: Option<Receipt>,
    operation: String,
    done: Vec<Step>,
}

/// What the transaction did.
enum Step {
    Insert(Vec<RawDocumentBuf>),
    Update(Vec<RawDocumentBuf>),
    Delete(Vec<RawDocumentBuf>),
    /// Documents that a filter found, by their digest.
    Saw(RawDocumentBuf, ChunkDigest),
}

pub(super) async fn begin(client: &Arc<Client>, plan: &Arc<TablePlan>, fence: &Fence) -> Result<MongoWrite> {
    let operation = format!("write table {}", plan.target.table);
    client.may_write(&operation)?;
    let layout = Layout::of_plan(plan)
        .map_err(|name| Error::new(ErrorKind::Unsupported, Engine::Mongodb, &operation).with_object(name))?;
    let session = client.session(&operation).await?;
    let mut write = MongoWrite {
        client: Arc::clone(client),
        session,
        plan: Arc::clone(plan),
        layout,
        fence: fence.clone(),
        receipt: None,
        operation,
        done: Vec::new(),
    };
    let held = write.raise_fence().await?;
    let receipt = held.get_str("receipt").ok().map(serde_json::from_str).transpose();
    write.receipt = receipt
        .map_err(|_| write.error(ErrorKind::Internal).with_object("the receipt in _syncline_fence"))?;
    Ok(write)
}

impl MongoWrite {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, Engine::Mongodb, &self.operation)
    }

    fn misfit(&self, (why, column): Misfit) -> Error {
        self.error(why.kind).with_object(column.unwrap_or(why.reason))
    }

    /// Begins the transaction and raises the fence in it; waits for older attempts that hold it, and ends those whose
    /// worker does not come back. Gives the fence as it is now.
    async fn raise_fence(&mut self) -> Result<Document> {
        let give_up = Instant::now() + self.client.deadline();
        loop {
            let held = match self.hold().await {
                Ok(()) => self.try_fence().await,
                Err(failed) => Err(failed),
            };
            if held.is_err() {
                self.abort().await;
            }
            match held {
                Err(failed) if is_conflict(&failed) && Instant::now() < give_up => {
                    self.end_older_holder().await?;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failed) if is_conflict(&failed) => {
                    return Err(Error { kind: ErrorKind::LockWait, ..failed });
                }
                held => return held,
            }
        }
    }

    /// Ends the transaction; one that there is none, or that the server has ended, is no matter.
    async fn abort(&mut self) {
        let _ = self.client.run(&self.operation, self.session.abort_transaction()).await;
    }

    /// Makes the fence if it is not there, and says in it whose transaction is about to hold it. Not in the transaction:
    /// others must see it.
    async fn hold(&mut self) -> Result<()> {
        let Fence { install, run, turn, chunk, attempt } = &self.fence;
        let mine = doc! { "_id": fence_id(&self.fence), "attempt": { "$lte": i64::from(attempt.0) } };
        let made = doc! {
            "install": install.to_string(), "run": run.to_string(), "chunk": chunk.to_string(),
            "table": &self.plan.target.table.name, "turn": number(*turn), "attempt": 0_i64,
        };
        let holder = doc! { "session": self.session.id().clone(), "attempt": i64::from(attempt.0) };
        let change = doc! { "$setOnInsert": made, "$set": { "holder": holder } };
        let command = doc! {
            "update": FENCES,
            "updates": [{ "q": mine, "u": change, "upsert": true }],
            "maxTimeMS": i64::try_from(FENCE_WAIT.as_millis()).unwrap_or(i64::MAX),
            "writeConcern": majority(),
        };
        let Self { client, session, operation, .. } = self;
        // In the session, so that the transaction's snapshot is no older.
        let held = client.database.run_command(command).session(&mut *session);
        match client.run(operation, held).await.and_then(|answer| classify::checked(answer, operation)) {
            // It is there: newer, or made by somebody else at the same moment.
            Err(failed) if failed.kind == ErrorKind::DuplicateKey => {
                let there = self.fence_there().await?.and_then(|there| there.get_i64("attempt").ok());
                if there.is_some_and(|held| held > i64::from(self.fence.attempt.0)) {
                    return Err(self.newer_attempt());
                }
                Err(Error { kind: ErrorKind::Deadlock, ..failed })
            }
            done => done.map(|_| ()),
        }
    }

    fn newer_attempt(&self) -> Error {
        self.error(ErrorKind::Fenced)
            .with_object(format!("{}, which a newer attempt holds", self.fence.chunk))
    }

    async fn try_fence(&mut self) -> Result<Document> {
        let Self { client, session, operation, .. } = self;
        client.run(operation, session.start_transaction().with_options(transaction())).await?;
        let table = &self.plan.target.table;
        let turns = client.parsed(TURNS);
        let held =
            client.run(operation, turns.find_one(doc! { "_id": &table.name }).session(&mut *session)).await?;
        let unprepared = || {
            let object = format!("table {table}, which this run has not prepared");
            Error::new(ErrorKind::Fenced, Engine::Mongodb, operation.as_str()).with_object(object)
        };
        let held = held.ok_or_else(unprepared)?;
        check_turn(&held, &self.plan, (self.fence.install, self.fence.turn), ErrorKind::Fenced, operation)?;
        if held.get_i64("turn").ok() != Some(number(self.fence.turn)) {
            return Err(unprepared());
        }
        let attempt = i64::from(self.fence.attempt.0);
        let open =
            doc! { "_id": fence_id(&self.fence), "attempt": { "$lte": attempt }, "closed": { "$ne": true } };
        let fences = client.parsed(FENCES);
        let raised =
            fences.find_one_and_update(open, doc! { "$set": { "attempt": attempt } }).session(&mut *session);
        client.run(operation, raised).await?.ok_or_else(|| self.newer_attempt())
    }

    /// The fence as all see it.
    async fn fence_there(&self) -> Result<Option<Document>> {
        let fences = self.client.parsed(FENCES);
        self.client.run(&self.operation, fences.find_one(doc! { "_id": fence_id(&self.fence) })).await
    }

    /// A transaction outlives its client by a minute; one of an older attempt is not waited for so long.
    async fn end_older_holder(&self) -> Result<()> {
        let held = self.fence_there().await?;
        let Some(holder) = held.as_ref().and_then(|held| held.get_document("holder").ok()) else {
            return Ok(());
        };
        let (Ok(session), Ok(attempt)) = (holder.get_document("session"), holder.get_i64("attempt")) else {
            return Ok(());
        };
        if attempt < i64::from(self.fence.attempt.0) {
            // Where that is not allowed, the server ends it in its own time.
            let _ = self.client.admin(&self.operation, doc! { "killSessions": [session.clone()] }).await;
        }
        Ok(())
    }

    /// Does a step and remembers it. If it fails for a row's sake, all that was done before is done again.
    async fn apply(&mut self, step: Step) -> Result<u64> {
        let done = self.send(&step).await;
        match done {
            Ok(rows) => {
                self.done.push(step);
                Ok(rows)
            }
            Err(failed) => self.or_again(failed).await,
        }
    }

    /// Gives the error back, with the transaction as it was before the call that failed.
    async fn or_again<T>(&mut self, failed: Error) -> Result<T> {
        if !ends_attempt(&failed) {
            self.begin_anew().await?;
        }
        Err(failed)
    }

    async fn begin_anew(&mut self) -> Result<()> {
        self.abort().await;
        self.raise_fence().await?;
        let steps = std::mem::take(&mut self.done);
        for step in &steps {
            if let Err(failed) = self.send(step).await {
                // What went well before is another's fault now.
                let kind = if ends_attempt(&failed) { failed.kind } else { ErrorKind::Deadlock };
                return Err(Error { kind, ..failed });
            }
        }
        self.done = steps;
        Ok(())
    }

    /// Documents that a step inserted, found or took away.
    async fn send(&mut self, step: &Step) -> Result<u64> {
        match step {
            Step::Insert(documents) => self.send_all(cstr!("insert"), cstr!("documents"), documents).await,
            Step::Update(statements) => self.send_all(cstr!("update"), cstr!("updates"), statements).await,
            Step::Delete(statements) => self.send_all(cstr!("delete"), cstr!("deletes"), statements).await,
            Step::Saw(filter, seen) => {
                let mut again = ChunkDigest::default();
                self.find(filter, |found| again.add_row(RowDigest::of(found.as_bytes()))).await?;
                if again == *seen { Ok(0) } else { Err(self.error(ErrorKind::Deadlock)) }
            }
        }
    }

    async fn send_all(&mut self, verb: &CStr, list: &CStr, parts: &[RawDocumentBuf]) -> Result<u64> {
        let mut affected = 0;
        for parts in in_commands(parts) {
            let mut items = RawArrayBuf::new();
            for part in parts {
                items.push(part);
            }
            let mut command = RawDocumentBuf::new();
            command.append(verb, self.plan.target.table.name.as_str());
            command.append(list, items);
            let database = &self.client.database;
            let sent = database.run_raw_command(command).session(&mut self.session);
            let answer = self.client.run(&self.operation, sent).await?;
            let answer = classify::checked(answer, &self.operation)?;
            affected += whole(&answer, "n").unwrap_or(0);
        }
        Ok(affected)
    }

    async fn find(
        &mut self,
        filter: &RawDocumentBuf,
        mut take: impl FnMut(&RawDocument) + Send,
    ) -> Result<()> {
        let filter = read::document(filter, &self.operation)?;
        let collection = self.client.collection(&self.plan.target.table.name);
        let Self { client, session, operation, .. } = self;
        let mut cursor =
            client.run(operation, collection.find(filter).session(&mut *session).batch()).await?;
        let mut batches = cursor.stream(session);
        while let Some(batch) = client.run(operation, async { batches.try_next().await }).await? {
            for document in read::documents_of(&batch, operation)? {
                take(document?);
            }
        }
        Ok(())
    }
}

/// Lists that one command each holds.
fn in_commands(parts: &[RawDocumentBuf]) -> Vec<&[RawDocumentBuf]> {
    let mut lists = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, part) in parts.iter().enumerate() {
        let size = part.as_bytes().len();
        if at > start && (at - start == STATEMENTS_MAX || bytes + size > COMMAND_BYTES) {
            lists.push(&parts[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < parts.len() {
        lists.push(&parts[start..]);
    }
    lists
}

/// Whether whoever writes gives the transaction up, to begin again with all rows or with half of them.
fn ends_attempt(failed: &Error) -> bool {
    matches!(failed.kind.disposition(), Disposition::Retry | Disposition::Shrink)
}

/// Another transaction holds the fence: it shows at once, or as a wait that was too long.
fn is_conflict(failed: &Error) -> bool {
    matches!(failed.kind, ErrorKind::Deadlock | ErrorKind::StatementTimeout)
}

#[async_trait]
impl ChunkWrite for MongoWrite {
    fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// Not locked, but whoever changes one of them meanwhile makes this transaction fail if it writes it, too.
    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch> {
        let layout = self.layout.clone();
        let mut batch = RowBatch::new(layout.columns().clone());
        for keys in keys.chunks(read::KEYS_MAX) {
            let (filter, mut seen) = (layout.filter(keys), ChunkDigest::default());
            self.find(&filter, |found| {
                seen.add_row(RowDigest::of(found.as_bytes()));
                match layout.decode(found) {
                    Decoded::Row(row) => batch.push(row),
                    Decoded::Undecodable(row) => batch.undecodable.push(row),
                }
            })
            .await?;
            self.done.push(Step::Saw(filter, seen));
        }
        Ok(batch)
    }

    async fn insert(&mut self, rows: &[Row]) -> Result<()> {
        let documents =
            rows.iter().map(|row| self.layout.encode(row)).collect::<std::result::Result<Vec<_>, _>>();
        let documents = documents.map_err(|misfit| self.misfit(misfit))?;
        if documents.is_empty() {
            return Ok(());
        }
        self.apply(Step::Insert(documents)).await.map(|_| ())
    }

    async fn update(&mut self, rows: &[Row], _changed: &[usize]) -> Result<()> {
        let mut statements = Vec::with_capacity(rows.len());
        for row in rows {
            let update = self.layout.update(row).map_err(|misfit| self.misfit(misfit))?;
            // A table of nothing but its key has none.
            let Some(update) = update else { return Ok(()) };
            let mut statement = RawDocumentBuf::new();
            statement.append(cstr!("q"), self.layout.filter(&[self.plan.key_of(row)]));
            statement.append(cstr!("u"), update);
            statements.push(statement);
        }
        let expected = statements.len() as u64;
        if expected == 0 {
            return Ok(());
        }
        let found = self.apply(Step::Update(statements)).await?;
        if found == expected {
            return Ok(());
        }
        // The rows were looked at in this very snapshot, so this is our own mistake; it must not pass unseen.
        self.done.pop();
        let missing = self.error(ErrorKind::Internal).with_object("rows to be updated that do not exist");
        self.or_again(missing).await
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<u64> {
        let statement = |keys: &[Key]| {
            let mut statement = RawDocumentBuf::new();
            statement.append(cstr!("q"), self.layout.filter(keys));
            statement.append(cstr!("limit"), 0_i32);
            statement
        };
        let statements: Vec<_> = keys.chunks(read::KEYS_MAX).map(statement).collect();
        if statements.is_empty() {
            return Ok(0);
        }
        self.apply(Step::Delete(statements)).await
    }

    async fn commit(mut self: Box<Self>, receipt: &Receipt) -> Result<()> {
        self.operation = format!("commit table {}", self.plan.target.table);
        let json = serde_json::to_string(receipt).map_err(|_| self.error(ErrorKind::Internal))?;
        let kept = doc! { "$set": { "receipt": json }, "$unset": { "holder": 1 } };
        let Self { client, session, operation, fence, .. } = &mut *self;
        let fences = client.parsed(FENCES);
        let kept = fences.update_one(doc! { "_id": fence_id(fence) }, kept).session(&mut *session);
        if client.run(operation, kept).await?.matched_count != 1 {
            return Err(self
                .error(ErrorKind::Fenced)
                .with_object(format!("{}, whose fence is gone", self.fence.chunk)));
        }
        client.run(operation, session.commit_transaction()).await
    }
}
