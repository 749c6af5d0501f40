//! Requests that name themselves: whoever comes first does it, and all are told the same.

use super::world::World;
use crate::{Answer, Asked};

pub(super) async fn a_request_is_done_once_and_answered_alike(world: World) {
    let ledger = &world.ledger;
    let begin = async |id: &str, content: &str, doer: &str| {
        ledger.begin_request(id, content, doer).await.expect("asks")
    };
    let (one, two, three) =
        tokio::join!(begin("r1", "trigger", "a"), begin("r1", "trigger", "b"), begin("r1", "trigger", "c"));
    let mut asked = vec![("a", one), ("b", two), ("c", three)];
    asked.retain(|(_, asked)| *asked == Asked::New);
    let [(doer, _)] = asked[..] else { panic!("one does it: {asked:?}") };
    assert_eq!(begin("r1", "trigger", doer).await, Asked::New, "its own try again");
    assert_eq!(begin("r1", "trigger", "d").await, Asked::UnderWay);
    assert_eq!(begin("r1", "pause", "d").await, Asked::Another);
    assert_eq!(begin("r2", "pause", "d").await, Asked::New, "ids are apart");

    let body = "{\"é\":1}".as_bytes().to_vec();
    let answer = Answer { status: 202, location: Some("/v1/runs/x".to_owned()), body };
    let other = Answer { status: 500, location: None, body: Vec::new() };
    ledger.answer_request("r1", "d", &other).await.expect("changes nothing");
    ledger.answer_request("r1", doer, &answer).await.expect("keeps");
    assert_eq!(begin("r1", "trigger", "e").await, Asked::Answered(answer));
    assert_eq!(begin("r1", "pause", "e").await, Asked::Another);

    ledger.forget_request("r1", doer).await.expect("too late");
    assert!(matches!(begin("r1", "trigger", "e").await, Asked::Answered(_)));
    ledger.forget_request("r2", "d").await.expect("forgets");
    assert_eq!(begin("r2", "other", "e").await, Asked::New, "nothing was done");
}
