//! The audit log: what was altered, put in, taken out or cut off is found, and where.

use serde_json::json;
use tokio::task::JoinSet;

use super::world::World;
use crate::{Act, AuditVerdict, Ledger};

fn act(n: u32) -> Act {
    let (actor, via) = ("root".to_owned(), "cli".to_owned());
    Act { actor, via, action: "cancel".to_owned(), object: format!("run {n} ü"), detail: json!({ "n": n }) }
}

async fn filled(ledger: &Ledger, entries: std::ops::Range<u32>) {
    for n in entries {
        ledger.audit(&act(n)).await.expect("kept");
    }
}

async fn verdict(ledger: &Ledger, from: u64) -> AuditVerdict {
    ledger.verify_audit(from).await.expect("read")
}

fn keyed(ledger: &Ledger, key: &str) -> Ledger {
    ledger.clone().with_audit_key(Some(key.to_owned().into()))
}

pub(super) async fn an_audit_log_is_kept_in_order(world: World) {
    let ledger = &world.ledger;
    let empty = verdict(ledger, 1).await;
    assert_eq!((empty.checked, empty.broken, empty.head), (0, None, None));
    let mut set = JoinSet::new();
    for n in 0..8 {
        let ledger = ledger.clone();
        set.spawn(async move { filled(&ledger, 10 * n..10 * n + 10).await });
    }
    set.join_all().await;
    let entries = ledger.audit_entries(0, 1_000).await.expect("read");
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=80).collect::<Vec<_>>());
    let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| entry.act.detail["n"].as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..80).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry.act.object == format!("run {} ü", entry.act.detail["n"])));
    let latest = ledger.latest_audit_entries(3).await.expect("read");
    assert_eq!(latest.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [80, 79, 78]);
    let whole = verdict(ledger, 1).await;
    let head = entries.last().map(|entry| (entry.seq, entry.hash.clone()));
    assert_eq!(whole, AuditVerdict { checked: 80, unchecked: 0, broken: None, head });
    assert_eq!(verdict(ledger, 41).await.checked, 40);
}

/// Every way to tamper that leaves the tables readable, each on a log of its own.
pub(super) async fn tampering_with_the_audit_log_is_found(world: World) {
    let ledger = &world.ledger;
    let body = |n: u32| serde_json::to_vec(&act(n)).expect("JSON");
    let (another, not_json) = (body(99), b"{".to_vec());
    let ways: [(&str, Option<Vec<u8>>, u64); 9] = [
        ("UPDATE syncline_audit SET body = ? WHERE seq = 4", Some(another.clone()), 4),
        ("UPDATE syncline_audit SET body = ? WHERE seq = 4", Some(not_json), 4),
        ("UPDATE syncline_audit SET at_ms = at_ms - 1 WHERE seq = 1", None, 1),
        ("DELETE FROM syncline_audit WHERE seq = 4", None, 4),
        ("DELETE FROM syncline_audit WHERE seq = 1", None, 1),
        ("DELETE FROM syncline_audit WHERE seq >= 6", None, 6),
        ("DELETE FROM syncline_audit", None, 1),
        (
            "INSERT INTO syncline_audit (seq, at_ms, id, is_keyed, body, hash) \
             SELECT 8, at_ms, 'x', is_keyed, ?, hash FROM syncline_audit WHERE seq = 7",
            Some(another),
            8,
        ),
        ("UPDATE syncline_audit SET seq = 10 - seq + 100 WHERE seq IN (3, 4)", None, 3),
    ];
    for (sql, bytes, at) in ways {
        for reset in ["DELETE FROM syncline_audit", "UPDATE syncline_meta SET n = 0 WHERE name = 'audit'"] {
            sqlx::query(ledger.sql(reset)).execute(&ledger.shared.pool).await.expect("emptied");
        }
        filled(ledger, 1..8).await;
        assert_eq!(verdict(ledger, 1).await.broken, None);
        let tamper = sqlx::query(ledger.sql(sql));
        let tamper = match bytes {
            Some(bytes) => tamper.bind(bytes),
            None => tamper,
        };
        tamper.execute(&ledger.shared.pool).await.expect("tampered");
        let found = verdict(ledger, 1).await;
        assert_eq!(found.broken.map(|(seq, _)| seq), Some(at), "{sql}");
        assert_eq!(found.checked, at - 1, "{sql}");
    }
}

/// With a key, whoever can write to the ledger's database and knows how hashes are made cannot make one.
pub(super) async fn an_audit_log_with_a_key_takes_no_forged_entry(world: World) {
    let plain = &world.ledger;
    let (key, other) = ("k".repeat(32), "o".repeat(32));
    let (keyed, other) = (keyed(plain, &key), keyed(plain, &other));
    filled(plain, 1..3).await;
    filled(&keyed, 3..6).await;
    let refused = plain.audit(&act(6)).await.expect_err("no key");
    assert_eq!(refused.kind, model::ErrorKind::Permission);
    let seen = verdict(&keyed, 1).await;
    assert_eq!((seen.checked, seen.unchecked, seen.broken), (5, 0, None));
    let blind = verdict(plain, 1).await;
    assert_eq!((blind.checked, blind.unchecked, blind.broken), (2, 3, None));
    assert_eq!(verdict(&other, 1).await.broken.map(|(seq, _)| seq), Some(3), "another key");

    // A forger's entry, by all the rules but the key.
    let last = plain.links(4, 1).await.expect("read").pop().expect("the fifth");
    for is_keyed in [false, true] {
        let body = serde_json::to_vec(&act(6)).expect("JSON");
        let hash = plain.link(&last.entry.hash, (6, last.entry.at_ms, is_keyed), "forged", &body);
        for sql in [
            "DELETE FROM syncline_audit WHERE seq = 6",
            "UPDATE syncline_meta SET n = 6 WHERE name = 'audit'",
        ] {
            sqlx::query(plain.sql(sql)).execute(&plain.shared.pool).await.expect("done");
        }
        let sql = "INSERT INTO syncline_audit (seq, at_ms, id, is_keyed, body, hash) VALUES (6, ?, 'forged', ?, ?, ?)";
        let forge = sqlx::query(plain.sql(sql)).bind(last.entry.at_ms).bind(i64::from(is_keyed)).bind(body);
        forge.bind(hash).execute(&plain.shared.pool).await.expect("forged");
        assert_eq!(verdict(&keyed, 1).await.broken.map(|(seq, _)| seq), Some(6), "keyed: {is_keyed}");
    }
}
