//! Messages to people: one of each name, and one at a time who sends it.

use model::RunId;
use serde_json::json;

use super::world::World;
use crate::NewAlert;

fn new(id: &str) -> NewAlert {
    NewAlert {
        id: id.to_owned(),
        run: RunId::generate(),
        rule: 3,
        body: json!({ "event": "failed", "n": 1 }),
    }
}

pub(super) async fn a_message_is_kept_until_it_is_taken(world: World) {
    let ledger = &world.ledger;
    let (first, second) = (new("a"), new("b"));
    assert!(ledger.raise_alert(&first).await.expect("keeps"));
    assert!(ledger.raise_alert(&second).await.expect("keeps"));
    assert!(!ledger.raise_alert(&NewAlert { id: "a".to_owned(), ..new("a") }).await.expect("looks"));
    let due = ledger.due_alerts(10).await.expect("lists");
    let alert = due.iter().find(|alert| alert.id == "a").expect("is due");
    assert_eq!((alert.run, alert.rule, &alert.body, alert.tries), (first.run, 3, &first.body, 0));

    let (one, two, three) =
        tokio::join!(ledger.take_alert(alert), ledger.take_alert(alert), ledger.take_alert(alert));
    let taken = [one, two, three].map(|taken| taken.expect("asks"));
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "one sends it");
    let ids = async || {
        let due = ledger.due_alerts(10).await.expect("lists");
        due.into_iter().map(|alert| (alert.id, alert.tries)).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [("b".to_owned(), 0)], "who has it has it for a while");
    ledger.alert_failed("a", "it answered 503", Some(0)).await.expect("puts off");
    assert_eq!(ids().await, [("b".to_owned(), 0), ("a".to_owned(), 1)], "due again");
    let long = "é".repeat(5_000);
    ledger.alert_failed("b", &long, Some(60_000)).await.expect("puts off");
    ledger.alert_failed("b", "no connection", None).await.expect("gives up");
    ledger.alert_sent("a").await.expect("settles");
    ledger.alert_failed("a", "late", Some(0)).await.expect("changes nothing");
    assert_eq!(ids().await, []);

    let all = ledger.alerts(10).await.expect("lists");
    let of = |id: &str| all.iter().find(|alert| alert.id == id).expect("is listed");
    assert!(of("a").sent_ms.is_some() && of("a").error.is_none() && of("a").given_up_ms.is_none());
    assert!(of("b").given_up_ms.is_some() && of("b").error.as_deref() == Some("no connection"));
    assert!(!ledger.take_alert(of("b")).await.expect("asks"), "given up");
}
