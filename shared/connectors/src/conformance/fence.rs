//! The fence: of all who ever tried to write a chunk, exactly one has an effect, and never an older one last.

use model::{Attempt, ChunkId, Disposition, ErrorKind, InstallId, KeyRange, Row, RunId, TargetHistory, Turn};
use tokio::time::timeout;
use uuid::Uuid;

use super::Lab;
use super::bench::{Bench, EVERY, INSTALL, PATIENCE, receipt, refused, row, simple};
use super::values::labelled;
use crate::{Error, Fence, Result, Role, Selection, Target, fence_of};

async fn bench(lab: &dyn Lab) -> Bench {
    Bench::create(lab, simple("fenced")).await
}

async fn write_once(bench: &Bench, target: &dyn Target, fence: &Fence, rows: &[Row]) -> Result<bool> {
    let mut write = target.begin(&bench.plan, fence).await?;
    if write.receipt().is_some() {
        return Ok(false);
    }
    write.insert(rows).await?;
    write.commit(&receipt(fence.attempt.0, rows.len() as u64)).await?;
    Ok(true)
}

/// What a worker does: tries until it has written, found a receipt or met a newer one. Says whether it wrote.
async fn persist(bench: &Bench, target: &dyn Target, fence: &Fence, rows: &[Row]) -> bool {
    let work = async {
        loop {
            match write_once(bench, target, fence, rows).await {
                Ok(wrote) => return wrote,
                Err(Error { kind: ErrorKind::Fenced, .. }) => return false,
                Err(error) => assert_eq!(error.kind.disposition(), Disposition::Retry, "{error}"),
            }
        }
    };
    timeout(PATIENCE, work).await.expect("an attempt ends")
}

pub async fn an_older_attempt_is_refused(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let newer = bench.fence(2);
    let older = Fence { attempt: Attempt(1), ..newer.clone() };
    let write = bench.target.begin(&bench.plan, &newer).await.expect("begun");
    write.commit(&receipt(2, 0)).await.expect("committed");
    let error = refused(bench.target.begin(&bench.plan, &older).await, &[ErrorKind::Fenced]);
    assert_eq!(error.kind.disposition(), Disposition::Stand);
    // An attempt at another chunk is not concerned.
    let other = Fence { chunk: ChunkId::generate(), ..older };
    assert!(bench.target.begin(&bench.plan, &other).await.is_ok());
}

pub async fn an_equal_attempt_goes_on(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let fence = bench.fence(3);
    let mut lost = bench.target.begin(&bench.plan, &fence).await.expect("begun");
    lost.insert(&labelled(0..3)).await.expect("inserted");
    drop(lost);
    let mut again = bench.target.begin(&bench.plan, &fence).await.expect("begun again");
    assert!(again.receipt().is_none());
    again.insert(&labelled(0..3)).await.expect("inserted again");
    again.commit(&receipt(3, 3)).await.expect("committed");
    let third = bench.target.begin(&bench.plan, &fence).await.expect("begun once more");
    assert_eq!(third.receipt(), Some(&receipt(3, 3)));
    assert_eq!(bench.all().await.len(), 3);
}

pub async fn a_later_attempt_finds_the_receipt(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let first = bench.fence(1);
    let later = Fence { attempt: Attempt(2), ..first.clone() };
    assert!(persist(&bench, bench.target.as_ref(), &first, &labelled(0..50)).await);
    // Another process, which has heard nothing of the first.
    let elsewhere = lab.open(Role::Target);
    let found = elsewhere.begin(&bench.plan, &later).await.expect("begun");
    assert_eq!(found.receipt(), Some(&receipt(1, 50)));
    drop(found);
    assert!(!persist(&bench, elsewhere.as_ref(), &later, &labelled(0..50)).await);
    assert_eq!(bench.all().await.len(), 50);
}

pub async fn an_older_run_is_refused(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let old = bench.fence(1);
    assert!(persist(&bench, bench.target.as_ref(), &old, &labelled(0..1)).await);
    bench.target.prepare(&bench.plan, INSTALL, Turn(2)).await.expect("a newer run prepares");
    // Also on a chunk that nobody will ever attempt again.
    let zombie = Fence { chunk: ChunkId::generate(), attempt: Attempt(9), ..old };
    let error = refused(bench.target.begin(&bench.plan, &zombie).await, &[ErrorKind::Overtaken]);
    // Nobody else will ever settle this chunk: the run must hear of it.
    assert_eq!(error.kind.disposition(), Disposition::Halt);
    let newer = Fence { run: RunId::generate(), turn: Turn(2), ..zombie };
    assert!(persist(&bench, bench.target.as_ref(), &newer, &labelled(1..2)).await);
    assert_eq!(bench.all().await.len(), 2);
}

pub async fn an_older_run_cannot_prepare(lab: &dyn Lab) {
    let bench = bench(lab).await;
    bench.target.prepare(&bench.plan, INSTALL, Turn(5)).await.expect("raised");
    refused(bench.target.prepare(&bench.plan, INSTALL, Turn(4)).await, &[ErrorKind::Overtaken]);
    bench.target.prepare(&bench.plan, INSTALL, Turn(5)).await.expect("the same run prepares again");
}

pub async fn another_installation_is_refused(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let stranger = InstallId::from_uuid(Uuid::from_u128(0xbad));
    let error = refused(bench.target.prepare(&bench.plan, stranger, Turn(99)).await, &[ErrorKind::Overtaken]);
    let object = error.object.unwrap_or_default();
    assert!(object.contains("another installation writes this table"), "{object}");
    let foreign = Fence { install: stranger, turn: Turn(99), ..bench.fence(1) };
    refused(bench.target.begin(&bench.plan, &foreign).await, &[ErrorKind::Fenced]);
}

/// What a ledger that was restored to an older state is held against.
pub async fn a_target_remembers_who_wrote_it(lab: &dyn Lab) {
    let fresh = lab.open(Role::Target);
    assert_eq!(fresh.history(INSTALL).await.expect("asked"), TargetHistory::default(), "nothing is made");
    let bench = bench(lab).await;
    let target = bench.target.as_ref();
    bench.target.prepare(&bench.plan, INSTALL, Turn(5)).await.expect("raised");
    let first = Fence { turn: Turn(5), attempt: Attempt(2), ..bench.fence(2) };
    let mut wrote = vec![(first.chunk, Attempt(2))];
    assert!(persist(&bench, target, &first, &labelled(0..1)).await);
    for n in 1..5_u32 {
        let fence = Fence { chunk: ChunkId::generate(), attempt: Attempt(n), ..first.clone() };
        wrote.push((fence.chunk, fence.attempt));
        assert!(persist(&bench, target, &fence, &labelled(i64::from(n)..i64::from(n) + 1)).await);
    }
    wrote.sort_by_key(|(chunk, _)| chunk.to_string());
    let history = target.history(INSTALL).await.expect("asked");
    assert_eq!(history, TargetHistory { turn: Turn(5), runs: vec![first.run] });
    let mut seen = Vec::new();
    while let Some(page) = Some(
        target.attempts(INSTALL, first.run, seen.last().map(|(chunk, _)| *chunk), 2).await.expect("asked"),
    )
    .filter(|page| !page.is_empty())
    {
        assert!(page.len() <= 2);
        seen.extend(page);
    }
    assert_eq!(seen, wrote);
    assert_eq!(fence_of(target, (INSTALL, first.run), first.chunk).await.expect("asked"), Some(Attempt(2)));
    // Another installation knows nothing of it and can raise nothing.
    let stranger = InstallId::from_uuid(Uuid::from_u128(0xbad));
    assert_eq!(target.history(stranger).await.expect("asked"), TargetHistory::default());
    assert_eq!(target.raise_turns(stranger, Turn(9)).await.expect("asked"), 0);
    assert_eq!(target.raise_turns(INSTALL, Turn(9)).await.expect("raised"), 1);
    assert_eq!(target.raise_turns(INSTALL, Turn(9)).await.expect("raised"), 0, "once");
    assert_eq!(target.raise_turns(INSTALL, Turn(3)).await.expect("raised"), 0, "never down");
    refused(bench.target.begin(&bench.plan, &first).await, &[ErrorKind::Overtaken]);
    refused(bench.target.prepare(&bench.plan, INSTALL, Turn(8)).await, &[ErrorKind::Overtaken]);
    target.forget_run(INSTALL, first.run).await.expect("forgotten");
    let history = target.history(INSTALL).await.expect("asked");
    assert_eq!(history, TargetHistory { turn: Turn(9), runs: Vec::new() });
}

pub async fn dropping_leaves_nothing(lab: &dyn Lab) {
    let bench = bench(lab).await;
    bench.insert(&labelled(0..5)).await;
    let fence = bench.fence(1);
    let mut write = bench.target.begin(&bench.plan, &fence).await.expect("begun");
    write.insert(&labelled(10..20)).await.expect("inserted");
    write.update(&[row(1, "changed")], &EVERY).await.expect("updated");
    assert_eq!(write.delete(&[super::bench::key(2)]).await.expect("deleted"), 1);
    drop(write);
    assert_eq!(bench.all().await, labelled(0..5));
    let again = timeout(PATIENCE, bench.target.begin(&bench.plan, &fence)).await.expect("no lock is left");
    assert!(again.expect("begun").receipt().is_none());
}

/// Ten times over: attempts 1 and 2 at one chunk, from two processes at once.
pub async fn two_attempts_at_one_chunk_have_one_effect(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let elsewhere = lab.open(Role::Target);
    for round in 0..10_i64 {
        let older = bench.fence(1);
        let newer = Fence { attempt: Attempt(2), ..older.clone() };
        let ids = round * 100..round * 100 + 20;
        let (mine, theirs) = (labelled(ids.clone()), labelled(ids.clone()));
        let (a, b) = tokio::join!(
            persist(&bench, bench.target.as_ref(), &older, &mine),
            persist(&bench, elsewhere.as_ref(), &newer, &theirs),
        );
        assert!(a != b, "round {round}: one of the two writes, not {a} and {b}");
        let last = Fence { attempt: Attempt(3), ..older };
        let found = bench.target.begin(&bench.plan, &last).await.expect("begun");
        assert_eq!(found.receipt().map(|r| r.attempt), Some(Attempt(if a { 1 } else { 2 })));
    }
    assert_eq!(bench.all().await.len(), 200);
}

pub async fn chunks_side_by_side_all_end(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let elsewhere = lab.open(Role::Target);
    if lab.writes_in_parallel() {
        let mut held = bench.begin().await;
        held.insert(&labelled(5_000..5_100)).await.expect("inserted");
        let (fence, rows) = (bench.fence(1), labelled(5_100..5_200));
        let other = write_once(&bench, elsewhere.as_ref(), &fence, &rows);
        assert!(timeout(PATIENCE / 10, other).await.expect("does not wait").expect("written"));
        held.commit(&receipt(1, 100)).await.expect("committed");
    }
    let before = bench.all().await.len();
    let chunks = (0..8_i64).map(|n| {
        let target = if n % 2 == 0 { &bench.target } else { &elsewhere };
        let (bench, fence, rows) = (&bench, bench.fence(1), labelled(n * 100..(n + 1) * 100));
        async move { persist(bench, target.as_ref(), &fence, &rows).await }
    });
    let wrote = futures::future::join_all(chunks).await;
    assert!(wrote.into_iter().all(|wrote| wrote));
    assert_eq!(bench.read(Selection::Range(KeyRange::all())).await.len(), before + 800);
}

/// Whoever prepares with a higher turn waits for writers of the lower one; what they commit is whole, and they
/// cannot begin again.
pub async fn a_newer_run_waits_for_open_writers(lab: &dyn Lab) {
    let bench = bench(lab).await;
    let elsewhere = lab.open(Role::Target);
    let mut open = bench.begin().await;
    open.insert(&labelled(0..10)).await.expect("inserted");
    let raise = async {
        loop {
            match elsewhere.prepare(&bench.plan, INSTALL, Turn(2)).await {
                Ok(()) => return bench.all().await.len(),
                Err(error) => assert_eq!(error.kind.disposition(), Disposition::Retry, "{error}"),
            }
        }
    };
    let commit = async {
        tokio::task::yield_now().await;
        open.commit(&receipt(1, 10)).await.expect("committed");
    };
    let (seen, ()) =
        timeout(PATIENCE, futures::future::join(raise, commit)).await.expect("nobody waits for ever");
    assert_eq!(seen, 10, "what was open is committed once the turn is raised");
    refused(bench.target.begin(&bench.plan, &bench.fence(1)).await, &[ErrorKind::Overtaken]);
}
