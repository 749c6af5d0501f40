//! Where the window of each incremental table begins, and how far it may be believed afterwards. The source is looked at
//! before any of its rows are read: what was still open then is no part of the proof.

use std::time::Duration;

use connectors::config::Role;
use connectors::{Error, Target};
use ledger::Run;
use model::watermark::{self, Incremental, Mark, Window, Zone, is_time};
use model::{Activity, ErrorKind, Key, MergePolicy, Pass, RunKind, TablePlan, Value, Watch, Watermark};
use tokio::time::Instant;

use super::{Coordinator, ledger_error};
use crate::planner::PlannedTable;

/// Between two looks at a source while a window waits for its proof.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A window begins without a proof after so long: then it only proves less.
const WAIT: Duration = Duration::from_secs(10);
/// The first run reads everything, and would have to do it again.
const WAIT_FIRST: Duration = Duration::from_secs(60);
const QUARANTINE_PAGE: u32 = 500;

/// Gives the windows of the tables their beginning, and what they prove.
pub(super) async fn open_all(
    coordinator: &Coordinator,
    run: &Run,
    tables: &mut [PlannedTable],
) -> Result<(), Error> {
    if run.kind != RunKind::Copy {
        for table in tables.iter_mut() {
            table.plan.window = None;
        }
        return Ok(());
    }
    let source = coordinator.connections.get(&run.spec.source, Role::Source)?;
    // What one table has waited for, the others need not wait for again.
    let began = Instant::now();
    for table in tables.iter_mut() {
        if let Some(incremental) = table.spec.incremental.clone() {
            open(coordinator, run, (&*source, began), &mut table.plan, &incremental).await?;
            if table.plan.since().is_some() {
                table.rows_estimate = None;
            }
        }
    }
    Ok(())
}

async fn open(
    coordinator: &Coordinator,
    run: &Run,
    (source, began): (&dyn Target, Instant),
    plan: &mut TablePlan,
    incremental: &Incremental,
) -> Result<(), Error> {
    let (ledger, failed) = (&coordinator.ledger, |e: ledger::Error| ledger_error(&e));
    let table = plan.source.table.clone();
    let Some(window) = &plan.window else { return Ok(()) };
    let logical = plan.columns[window.column].source.logical.clone();
    let known = ledger.changes_read(&run.spec.name, &table).await.map_err(failed)?;
    let whole = why_whole(run, plan, known.watermark.as_ref());
    let before = known.watermark.as_ref().filter(|_| whole.is_none());
    let mut look = Look { source, plan, incremental, watch: known.watch };
    let wait = if before.is_some() { WAIT } else { WAIT_FIRST };
    let Proof { mark: proven, is_own, activity } = look.until_proven(began + wait).await?;
    let watch = look.watch;
    ledger.keep_watch(&run.spec.name, &table, &watch).await.map_err(failed)?;
    let ahead_s = ahead(plan, incremental, &activity, source)?;
    if let Some(before) = before {
        refuse_going_back(before, &activity, plan, source)?;
    }
    let since = before.and_then(|before| watermark::since(before, &logical, ahead_s, incremental.overlap_ms));
    let now_ms = ledger.now_ms().await.map_err(failed)?;
    let swept_ms = before.and_then(|before| before.swept_ms);
    let is_due = swept_ms.is_none_or(|swept| {
        u64::try_from(now_ms - swept).unwrap_or(0) >= incremental.sweep_every_ms
            || incremental.sweep_every_ms == 0
    });
    plan.notes.push(match (whole, before.map(|before| &before.mark)) {
        (Some(why), _) => format!("read whole: {why}"),
        (None, Some(Mark::Moment(micros))) => {
            let overlap = i64::try_from(incremental.overlap_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
            format!("changes since {}", moment(micros.saturating_sub(overlap)))
        }
        (None, Some(Mark::Number(_)) | None) => "changes since the last run".to_owned(),
    });
    if !is_own {
        plan.notes
            .push("the watermark lags: a transaction was open at the source when the run began".to_owned());
    }
    let again = match before {
        Some(before) if since.is_some() => set_aside(coordinator, before, plan).await.map_err(failed)?,
        Some(_) | None => Vec::new(),
    };
    if let Some(window) = &mut plan.window {
        let kept = before.map(|before| before.mark.clone());
        *window = Window {
            proven: proven.or(kept),
            sweeps: since.is_none() || is_due,
            since,
            ahead_s,
            again,
            ..window.clone()
        };
    }
    Ok(())
}

/// Why a table is read whole; `None` if its changes will do.
fn why_whole(run: &Run, plan: &TablePlan, before: Option<&Watermark>) -> Option<&'static str> {
    let shape = plan.window.as_ref().map(|window| &window.shape);
    match before {
        _ if run.spec.reads_all => Some("asked for"),
        None => Some("its changes are watched from here on"),
        Some(_) if plan.create_target || plan.fresh => Some("the target is new or empty"),
        Some(before) if Some(&before.shape) != shape => {
            Some("source, target or columns are not those of the run before")
        }
        Some(_) => None,
    }
}

/// A moment of the source's clock, for people.
fn moment(micros: i64) -> String {
    format!("{}Z", model::DateTime::from_unix_micros(micros).to_text('T', 0))
}

/// Rows that the run of the watermark has set aside: their marks lie below it.
async fn set_aside(
    coordinator: &Coordinator,
    before: &Watermark,
    plan: &mut TablePlan,
) -> Result<Vec<Key>, ledger::Error> {
    let ledger = &coordinator.ledger;
    let tables = ledger.tables(before.run).await?;
    let Some(table) = tables.iter().find(|table| table.source == plan.source.table) else {
        return Ok(Vec::new());
    };
    let (mut keys, mut after, mut unnamed) = (Vec::new(), 0, 0);
    loop {
        let page = ledger.quarantined(before.run, Some(table.ordinal), after, QUARANTINE_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for view in page.into_iter().filter(|view| matches!(view.pass, Pass::Copy | Pass::Again)) {
            let key = view.row.key;
            let is_whole = key.0.len() == plan.key.len() && !key.0.iter().any(Value::is_null);
            if is_whole { keys.push(key) } else { unnamed += 1 }
        }
    }
    if unnamed > 0 {
        let note = format!(
            "{unnamed} rows in quarantine have no key that can be told: `syncline resync` reads them"
        );
        plan.notes.push(note);
    }
    Ok(keys)
}

/// Whether rows are looked up by their keys after the window.
pub(super) fn has_again(plan: &TablePlan) -> bool {
    plan.window.as_ref().is_some_and(|window| !window.again.is_empty())
}

/// Looks at a source for one table.
struct Look<'a> {
    source: &'a dyn Target,
    plan: &'a TablePlan,
    incremental: &'a Incremental,
    watch: Watch,
}

/// What looking came to.
struct Proof {
    mark: Option<Mark>,
    /// It was proven by looks of this run.
    is_own: bool,
    activity: Activity,
}

impl Look<'_> {
    /// Looks until something of its own looks is proven, or until then: what an earlier run noted may do.
    async fn until_proven(&mut self, until: Instant) -> Result<Proof, Error> {
        let (mut first, column) = (None, self.column());
        loop {
            let mut highest = None;
            if !is_time(&column.logical) {
                // Read before the activity: who was handed a lower number is visible by now, or in the list.
                highest = self.source.greatest(&self.plan.source, &column.name).await?;
            }
            let activity = self.source.activity(self.incremental.watched).await?;
            if !is_time(&column.logical) && highest.is_none() {
                return Ok(Proof { mark: None, is_own: true, activity }); // There are no rows.
            }
            let since = *first.get_or_insert(activity.micros);
            let proven = self.watch.look(&activity, highest);
            let is_own = proven.as_ref().is_some_and(|(_, micros)| *micros >= since);
            if is_own || Instant::now() >= until {
                return Ok(Proof { mark: proven.map(|(mark, _)| mark), is_own, activity });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn column(&self) -> model::Column {
        let place = self.plan.window.as_ref().map_or(0, |window| window.column);
        self.plan.columns[place].source.clone()
    }
}

/// What the zone of times without one is ahead of UTC.
fn ahead(
    plan: &TablePlan,
    incremental: &Incremental,
    activity: &Activity,
    source: &dyn Target,
) -> Result<i32, Error> {
    let column = plan.window.as_ref().map(|window| &plan.columns[window.column].source);
    let has_zone = column.is_none_or(|column| matches!(column.logical, model::LogicalType::Instant { .. }));
    match (incremental.zone, activity.ahead_s) {
        (Zone::Ahead(seconds), _) | (Zone::Server, Some(seconds)) => Ok(seconds),
        (Zone::Server, None) if has_zone || column.is_none_or(|c| !is_time(&c.logical)) => Ok(0),
        (Zone::Server, None) => {
            let operation = format!("find the changes of {}", plan.source.table);
            let what = format!(
                "the zone of {}, which the server does not tell: write incremental: {{ column: .., zone: UTC }}",
                incremental.column
            );
            Err(Error::new(ErrorKind::Unsupported, source.engine(), operation).with_object(what))
        }
    }
}

/// A source that stands before what was read of it is another one, or was restored: what came after may never have
/// been, and a window would not show it.
fn refuse_going_back(
    before: &Watermark,
    activity: &Activity,
    plan: &TablePlan,
    source: &dyn Target,
) -> Result<(), Error> {
    let Mark::Moment(micros) = before.mark else { return Ok(()) };
    if activity.micros >= micros {
        return Ok(());
    }
    let operation = format!("find the changes of {}", plan.source.table);
    let what = format!(
        "the source's clock, which went back from {} to {}: read all of the table again with `syncline resync`",
        moment(micros),
        moment(activity.micros)
    );
    Err(Error::new(ErrorKind::Refused, source.engine(), operation).with_object(what))
}

/// Whether a copy is followed by a search for rows that are gone.
pub(super) fn sweeps(plan: &TablePlan) -> bool {
    // Of a part, nothing else is looked at.
    plan.range.is_none()
        && plan.policy == MergePolicy::Mirror
        && plan.window.as_ref().is_none_or(|window| window.sweeps)
}

/// Sets the watermark of a table that is in the target as a whole; may be repeated. Rows in quarantine are looked up by
/// their keys, so that they hold nothing back; chunks in quarantine are not.
pub(super) async fn close(
    coordinator: &Coordinator,
    run: &Run,
    table: &ledger::TableRow,
) -> Result<(), ledger::Error> {
    let ledger = &coordinator.ledger;
    let Some(plan) = &table.plan else { return Ok(()) };
    let Some(window) = plan.window.as_ref() else { return Ok(()) };
    let Some(mark) = window.proven.clone() else { return Ok(()) };
    if ledger.has_quarantined_chunks(run.id, table.ordinal).await? {
        return Ok(());
    }
    let swept_ms = if sweeps(plan) {
        table.started_ms
    } else {
        ledger.changes_read(&run.spec.name, &table.source).await?.watermark.and_then(|w| w.swept_ms)
    };
    let watermark =
        Watermark { mark, ahead_s: window.ahead_s, shape: window.shape.clone(), run: run.id, swept_ms };
    let place = (&table.source, table.ordinal);
    ledger.advance_watermark(&run.spec.name, place, &watermark, run.turn).await?;
    Ok(())
}
