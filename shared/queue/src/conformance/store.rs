//! Cases about the life of a job in a store, without a consumer.

use super::bed::{Bed, claim, claim_soon, depth, until_depth};
use super::over_both_stores;
use crate::sign::Rejected;
use crate::store::{Claim, DEAD_MAX, Parcel, Timing, letter};
use crate::{ErrorKind, Queue};
use std::time::Duration;

over_both_stores! {
    a_job_is_queued_once_until_it_is_done
    jobs_come_in_the_order_they_were_pushed_in
    a_push_of_many_is_cut_into_batches
    a_released_job_is_the_next_to_come
    a_claim_that_is_not_extended_ends
    an_extended_claim_lasts
    a_stolen_job_cannot_be_ended_by_its_first_owner
    the_same_owner_cannot_end_its_newer_claim_with_its_older_one
    clearing_a_run_leaves_the_others
    dead_letters_are_bounded
    a_job_with_an_id_of_a_wrong_form_is_refused_whole
    the_doctor_learns_what_there_is_to_know
}

fn short() -> Timing {
    Timing { visibility: Duration::from_millis(150), ..Timing::default() }
}

fn id(claim: &Claim) -> &str {
    std::str::from_utf8(&claim.id).unwrap()
}

async fn a_job_is_queued_once_until_it_is_done(bed: &mut Bed) {
    let queue = bed.queue().await;
    let jobs = bed.jobs("run", 3);
    assert_eq!(queue.push(&jobs).await.unwrap(), 3);
    assert_eq!(queue.push(&jobs).await.unwrap(), 0);
    let claim = claim(&queue, "a").await.unwrap();
    assert_eq!(queue.push(&jobs).await.unwrap(), 0, "in flight is queued too");
    assert!(queue.store.ack(&claim).await.unwrap());
    assert_eq!(queue.push(&jobs).await.unwrap(), 1, "what is done may be queued again");
    let mut next_attempt = jobs[1].clone();
    next_attempt.attempt_seen += 1;
    assert_eq!(queue.push(&[next_attempt.clone(), next_attempt]).await.unwrap(), 1);
    assert_eq!(depth(&queue).await, (4, 0, 0));
    assert_eq!(queue.push(&[]).await.unwrap(), 0);
}

async fn jobs_come_in_the_order_they_were_pushed_in(bed: &mut Bed) {
    let queue = bed.queue().await;
    queue.push(&[bed.job("run", 7), bed.job("run", 3)]).await.unwrap();
    queue.push(&[bed.job("run", 5)]).await.unwrap();
    for expected in ["run-chunk7-1", "run-chunk3-1", "run-chunk5-1"] {
        assert_eq!(id(&claim(&queue, "a").await.unwrap()), expected);
    }
    assert!(claim(&queue, "a").await.is_none());
}

async fn a_push_of_many_is_cut_into_batches(bed: &mut Bed) {
    let queue = bed.queue().await;
    assert_eq!(queue.push(&bed.jobs("run", 1_203)).await.unwrap(), 1_203);
    assert_eq!(depth(&queue).await, (1_203, 0, 0));
    queue.clear_run("run").await.unwrap();
    assert_eq!(depth(&queue).await, (0, 0, 0));
}

async fn a_released_job_is_the_next_to_come(bed: &mut Bed) {
    let queue = bed.queue().await;
    queue.push(&bed.jobs("run", 3)).await.unwrap();
    let first = claim(&queue, "a").await.unwrap();
    assert!(queue.store.release(&first).await.unwrap());
    assert!(!queue.store.release(&first).await.unwrap(), "twice changes nothing");
    assert_eq!(depth(&queue).await, (3, 0, 0));
    assert_eq!(claim(&queue, "b").await.unwrap().id, first.id);
}

async fn a_claim_that_is_not_extended_ends(bed: &mut Bed) {
    let queue = bed.queue_with(short()).await;
    queue.push(&bed.jobs("run", 2)).await.unwrap();
    let lost = [claim(&queue, "dead").await.unwrap(), claim(&queue, "dead").await.unwrap()];
    assert!(claim(&queue, "b").await.is_none(), "not before its time");
    let again = [claim_soon(&queue, "b").await, claim_soon(&queue, "b").await];
    assert!(again.iter().all(|claim| lost.iter().any(|lost| lost.id == claim.id)));
    assert_eq!(queue.store.extend(&lost).await.unwrap(), lost, "the first owner is told");
}

async fn an_extended_claim_lasts(bed: &mut Bed) {
    let queue = bed.queue_with(short()).await;
    queue.push(&bed.jobs("run", 2)).await.unwrap();
    let kept = claim(&queue, "a").await.unwrap();
    let dropped = claim(&queue, "a").await.unwrap();
    // When the other claim has expired, this one would have too.
    let returned = loop {
        assert!(queue.store.extend(std::slice::from_ref(&kept)).await.unwrap().is_empty());
        if let Some(returned) = claim(&queue, "b").await {
            break returned;
        }
    };
    assert_eq!(returned.id, dropped.id);
    assert!(queue.store.ack(&kept).await.unwrap());
}

async fn stolen(queue: &Queue, bed: &Bed, thief: &str) -> (Claim, Claim) {
    queue.push(&bed.jobs("run", 1)).await.unwrap();
    let first = claim(queue, "first").await.unwrap();
    let second = claim_soon(queue, thief).await;
    assert_eq!(first.id, second.id);
    // From here on the second owner must not lose it as well.
    assert!(queue.store.extend(std::slice::from_ref(&second)).await.unwrap().is_empty());
    (first, second)
}

async fn a_stolen_job_cannot_be_ended_by_its_first_owner(bed: &mut Bed) {
    let queue = bed.queue_with(Timing { visibility: Duration::from_secs(1), ..Timing::default() }).await;
    let (first, second) = stolen(&queue, bed, "thief").await;
    assert!(!queue.store.ack(&first).await.unwrap());
    assert!(!queue.store.release(&first).await.unwrap());
    assert!(!queue.store.bury(&first, "{}").await.unwrap());
    assert_eq!(depth(&queue).await, (0, 1, 0));
    assert!(queue.store.ack(&second).await.unwrap());
    assert!(!queue.store.ack(&second).await.unwrap(), "twice changes nothing");
    assert_eq!(depth(&queue).await, (0, 0, 0));
}

async fn the_same_owner_cannot_end_its_newer_claim_with_its_older_one(bed: &mut Bed) {
    let queue = bed.queue_with(Timing { visibility: Duration::from_secs(1), ..Timing::default() }).await;
    let (first, second) = stolen(&queue, bed, "first/2").await;
    let both = [first.clone(), second.clone()];
    assert_eq!(queue.store.extend(&both).await.unwrap(), [first]);
    assert!(queue.store.ack(&second).await.unwrap());
}

async fn clearing_a_run_leaves_the_others(bed: &mut Bed) {
    let queue = bed.queue().await;
    queue.push(&bed.jobs("done", 4)).await.unwrap();
    queue.push(&bed.jobs("done-2", 1)).await.unwrap(); // Its ids begin alike.
    let held = claim(&queue, "a").await.unwrap();
    queue.clear_run("done").await.unwrap();
    queue.clear_run("done").await.unwrap();
    queue.clear_run("*").await.unwrap();
    assert_eq!(depth(&queue).await, (1, 0, 0));
    assert!(!queue.store.ack(&held).await.unwrap());
    assert_eq!(id(&claim(&queue, "b").await.unwrap()), "done-2-chunk0-1");
}

async fn dead_letters_are_bounded(bed: &mut Bed) {
    let queue = bed.queue().await;
    for number in 0..DEAD_MAX + 3 {
        let parcel = Parcel { id: number.to_string().into_bytes(), payload: b"forged".to_vec() };
        queue.store.push(std::slice::from_ref(&parcel)).await.unwrap();
        let claim = claim(&queue, "a").await.unwrap();
        assert!(queue.store.bury(&claim, &letter(&parcel, Rejected::Malformed)).await.unwrap());
    }
    assert_eq!(depth(&queue).await, (0, 0, DEAD_MAX as u64));
}

async fn a_job_with_an_id_of_a_wrong_form_is_refused_whole(bed: &mut Bed) {
    let queue = bed.queue().await;
    let mut jobs = bed.jobs("run", 2);
    jobs[1].chunk = "SELECT * FROM users".into();
    assert_eq!(queue.push(&jobs).await.unwrap_err().kind(), ErrorKind::InvalidJob);
    until_depth(&queue, 0, 0).await;
}

async fn the_doctor_learns_what_there_is_to_know(bed: &mut Bed) {
    let info = bed.queue().await.check().await.unwrap();
    if info.backend == "in-process" {
        assert_eq!(info.may_evict(), Some(false));
        return;
    }
    // The default of a server that nobody configured.
    assert_eq!(info.maxmemory_policy.as_deref().map(|_| info.may_evict().is_some()), Some(true));
    assert!(info.server_time_ms.is_some_and(|time| time > 1_700_000_000_000), "{info:?}");
    assert!(info.version.is_some_and(|version| version.contains('.')));
}
