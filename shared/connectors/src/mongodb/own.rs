//! Syncline's own collections in the target: `_syncline_turn` remembers which run of which installation holds a table,
//! `_syncline_fence` the highest attempt at a chunk and its receipt.
//!
//! MongoDB locks only what it writes. So a newer run raises the turn and then closes the fences of all older runs of the
//! table; that write waits for transactions that hold one. Whoever makes its fence later begins its transaction later,
//! and reads the raised turn in it.

use bson::{Bson, Document, doc};
use futures::TryStreamExt as _;
use model::{
    Attempt, ChunkId, Column, Engine, ErrorKind, InstallId, RunId, TablePlan, TableSchema, TargetHistory,
    Turn,
};

use super::client::{Client, whole};
use super::{catalog, document, schema};
use crate::Fence;
use crate::error::{Error, Result};

pub(super) const TURNS: &str = "_syncline_turn";
pub(super) const FENCES: &str = "_syncline_fence";

const READ: &str = "read who wrote the target";
/// There is a collection of this name.
const NAMESPACE_EXISTS: &str = "48";

/// Numbers of turns are far below what a BSON long holds.
pub(super) fn number(turn: Turn) -> i64 {
    i64::try_from(turn.0).unwrap_or(i64::MAX)
}

/// What own writes wait for: a turn that a failover forgets would let an older run in.
pub(super) fn majority() -> Document {
    doc! { "w": "majority" }
}

/// The `_id` of a chunk's fence: one run's stand together, in the order of their chunks' text.
pub(super) fn fence_id(fence: &Fence) -> String {
    format!("{}/{}/{}", fence.install, fence.run, fence.chunk)
}

/// All ids that begin so and a slash: `0` is what follows it.
fn all_of(lead: &str) -> Document {
    doc! { "$gte": format!("{lead}/"), "$lt": format!("{lead}0") }
}

async fn update(client: &Client, operation: &str, collection: &str, statement: Document) -> Result<Document> {
    let command = doc! { "update": collection, "updates": [statement], "writeConcern": majority() };
    client.command(operation, command).await
}

/// Gives a collection another validator.
async fn declare(client: &Client, operation: &str, name: &str, validator: Document) -> Result<()> {
    let command = doc! { "collMod": name, "validator": validator, "writeConcern": majority() };
    client.command(operation, command).await.map(|_| ())
}

pub(super) async fn prepare(client: &Client, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
    let table = &plan.target.table;
    let operation = format!("prepare table {table}");
    client.may_write(&operation)?;
    raise_turn(client, plan, (install, turn), &operation).await?;
    close_fences(client, &table.name, (install, turn), &operation).await?;
    if plan.create_target {
        return create(client, plan, &operation).await;
    }
    let options = catalog::must_exist(client, table, &operation).await?;
    declare_new_columns(client, plan, &options, &operation).await
}

async fn raise_turn(
    client: &Client,
    plan: &TablePlan,
    (install, turn): (InstallId, Turn),
    operation: &str,
) -> Result<()> {
    let name = &plan.target.table.name;
    let turns = client.parsed(TURNS);
    if let Some(held) = client.run(operation, turns.find_one(doc! { "_id": name })).await? {
        check_turn(&held, plan, (install, turn), ErrorKind::Overtaken, operation)?;
    }
    let lower = doc! { "_id": name, "install": install.to_string(), "turn": { "$lte": number(turn) } };
    let raise = doc! { "q": lower, "u": { "$set": { "turn": number(turn) } }, "upsert": true };
    match update(client, operation, TURNS, raise).await {
        // Somebody was quicker: whoever it was, the next look tells.
        Err(failed) if failed.kind == ErrorKind::DuplicateKey => {
            Err(Error { kind: ErrorKind::LockWait, ..failed })
        }
        done => done.map(|_| ()),
    }
}

/// Refuses writers of older runs, and of other installations as errors of kind `stranger`.
pub(super) fn check_turn(
    held: &Document,
    plan: &TablePlan,
    (install, turn): (InstallId, Turn),
    stranger: ErrorKind,
    operation: &str,
) -> Result<()> {
    let table = &plan.target.table;
    let refused =
        |kind, object: String| Err(Error::new(kind, Engine::Mongodb, operation).with_object(object));
    let holder = held.get_str("install").unwrap_or_default();
    if holder != install.to_string() {
        let why = format!(
            "table {table}: another installation writes this table ({holder}; its document in {TURNS} says so)"
        );
        return refused(stranger, why);
    }
    match held.get_i64("turn") {
        Ok(held) if held > number(turn) => {
            refused(ErrorKind::Overtaken, format!("table {table}, which a newer run holds"))
        }
        _ => Ok(()),
    }
}

/// Waits for transactions of older runs that are open.
async fn close_fences(
    client: &Client,
    table: &str,
    (install, turn): (InstallId, Turn),
    operation: &str,
) -> Result<()> {
    let older = doc! {
        "_id": all_of(&install.to_string()),
        "table": table,
        "turn": { "$lt": number(turn) },
        "closed": { "$ne": true },
    };
    let close = doc! { "q": older, "u": { "$set": { "closed": true } }, "multi": true };
    update(client, operation, FENCES, close).await.map(|_| ())
}

async fn create(client: &Client, plan: &TablePlan, operation: &str) -> Result<()> {
    let name = &plan.target.table.name;
    let validator = schema::validator(&plan.target, &document::id_columns(plan));
    let make = doc! { "create": name, "validator": validator.clone(), "writeConcern": majority() };
    match client.command(operation, make).await {
        Err(failed) if failed.code.as_deref() == Some(NAMESPACE_EXISTS) => {}
        done => return done.map(|_| ()),
    }
    // Made by an earlier attempt, which is fine, or by somebody who gave it no rules and no documents.
    let there = catalog::must_exist(client, &plan.target.table, operation).await?;
    if there.get_document("validator").is_ok_and(|validator| !validator.is_empty()) {
        return Ok(());
    }
    if client.run(operation, client.collection(name).find_one(doc! {})).await?.is_some() {
        let why = "a collection that has come to hold documents since it was looked at; run again";
        return Err(Error::new(ErrorKind::Drift, Engine::Mongodb, operation).with_object(why));
    }
    declare(client, operation, name, validator).await
}

/// Columns that came to a table of ours later are declared as the first ones were.
async fn declare_new_columns(
    client: &Client,
    plan: &TablePlan,
    options: &Document,
    operation: &str,
) -> Result<()> {
    let Some(declared) = options.get_document("validator").ok().and_then(schema::declaration) else {
        return Ok(());
    };
    let is_new = |column: &&Column| !declared.columns.iter().any(|known| known.name == column.name);
    // Documents that are older lack them, and must not be refused for it when somebody edits them.
    let open = |column: &Column| Column { nullable: true, ..column.clone() };
    let new: Vec<Column> = plan.target.columns.iter().filter(is_new).map(open).collect();
    if new.is_empty() {
        return Ok(());
    }
    let columns = declared.columns.into_iter().chain(new).collect();
    let table = TableSchema { columns, foreign_keys: declared.foreign_keys, ..plan.target.clone() };
    let validator = schema::validator(&table, &declared.id);
    declare(client, operation, &plan.target.table.name, validator).await
}

pub(super) async fn history(client: &Client, install: InstallId) -> Result<TargetHistory> {
    let turns = client.parsed(TURNS);
    let highest = turns.find_one(doc! { "install": install.to_string() }).sort(doc! { "turn": -1 });
    let turn = client.run(READ, highest).await?.and_then(|held| held.get_i64("turn").ok()).unwrap_or(0);
    let mine = doc! { "_id": all_of(&install.to_string()), "attempt": { "$gt": 0 } };
    let runs = client.run(READ, client.parsed(FENCES).distinct("run", mine)).await?;
    let runs = runs.iter().map(|run| run.as_str().and_then(|run| run.parse().ok()).ok_or_else(unreadable));
    let mut runs = runs.collect::<Result<Vec<RunId>>>()?;
    runs.sort_unstable();
    Ok(TargetHistory { turn: Turn(u64::try_from(turn).unwrap_or(0)), runs })
}

pub(super) async fn attempts(
    client: &Client,
    (install, run): (InstallId, RunId),
    after: Option<ChunkId>,
    limit: u32,
) -> Result<Vec<(ChunkId, Attempt)>> {
    let lead = format!("{install}/{run}");
    let mut ids = all_of(&lead);
    if let Some(after) = after {
        ids.insert("$gt", format!("{lead}/{after}"));
    }
    // A fence that nobody has written behind yet has attempt 0.
    let filter = doc! { "_id": ids, "attempt": { "$gt": 0 } };
    let fences = client.parsed(FENCES);
    let page = async {
        fences
            .find(filter)
            .sort(doc! { "_id": 1 })
            .limit(i64::from(limit))
            .await?
            .try_collect::<Vec<_>>()
            .await
    };
    let fences = client.run(READ, page).await?;
    let fences = fences.iter().map(|fence| {
        let chunk = fence.get_str("chunk").ok().and_then(|chunk| chunk.parse().ok());
        let attempt = fence.get("attempt").and_then(Bson::as_i64).and_then(|n| u32::try_from(n).ok());
        chunk.zip(attempt.map(Attempt)).ok_or_else(unreadable)
    });
    fences.collect()
}

pub(super) async fn raise_turns(client: &Client, install: InstallId, turn: Turn) -> Result<u64> {
    let operation = format!("raise all turns to {}", turn.0);
    let turns = client.parsed(TURNS);
    let lower = doc! { "install": install.to_string(), "turn": { "$lt": number(turn) } };
    // Those that stand at this turn already, too: an earlier call may have ended between the turn and the fences.
    let reached = doc! { "install": install.to_string(), "turn": { "$lte": number(turn) } };
    let held = async { turns.find(reached).await?.try_collect::<Vec<Document>>().await };
    let held = client.run(&operation, held).await?;
    if held.is_empty() {
        return Ok(0);
    }
    let raise = doc! { "q": lower, "u": { "$set": { "turn": number(turn) } }, "multi": true };
    let answer = update(client, &operation, TURNS, raise).await?;
    for table in held.iter().filter_map(|held| held.get_str("_id").ok()) {
        close_fences(client, table, (install, turn), &operation).await?;
    }
    Ok(whole(&answer, "n").unwrap_or(0))
}

pub(super) async fn forget_run(client: &Client, install: InstallId, run: RunId) -> Result<()> {
    let operation = format!("forget run {run}");
    let all = doc! { "_id": all_of(&format!("{install}/{run}")) };
    client.run_long(&operation, client.parsed(FENCES).delete_many(all)).await.map(|_| ())
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Internal, Engine::Mongodb, READ).with_object(FENCES)
}
