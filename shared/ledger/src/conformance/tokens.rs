//! Tokens: good until they expire or are revoked, and never kept themselves.

use super::world::World;
use crate::{NewToken, Role};

fn new(id: &str, role: Role, lasts_ms: Option<i64>) -> NewToken {
    NewToken { id: id.to_owned(), name: format!("token {id}"), hash: "ab".repeat(32), role, lasts_ms }
}

pub(super) async fn a_token_is_good_until_it_expires_or_is_revoked(world: World) {
    let ledger = &world.ledger;
    assert!(!ledger.has_tokens().await.expect("looks"));
    ledger.create_token(&new("a", Role::Admin, None)).await.expect("creates");
    ledger.create_token(&new("b", Role::Viewer, Some(-1))).await.expect("creates");
    ledger.create_token(&new("c", Role::Operator, Some(60_000))).await.expect("creates");
    assert!(ledger.create_token(&new("a", Role::Admin, None)).await.is_err(), "an id twice");
    assert!(ledger.has_tokens().await.expect("looks"));
    let good =
        async |id: &str| ledger.token(id).await.expect("reads").map(|token| (token.role, token.is_good));
    assert_eq!(good("a").await, Some((Role::Admin, true)));
    assert_eq!(good("b").await, Some((Role::Viewer, false)), "expired");
    assert_eq!(good("c").await, Some((Role::Operator, true)));
    assert_eq!(good("d").await, None);
    assert!(ledger.revoke_token("a").await.expect("revokes"));
    assert!(!ledger.revoke_token("a").await.expect("revokes"), "only once");
    assert_eq!(good("a").await, Some((Role::Admin, false)));
    ledger.note_token_use("c").await.expect("notes");
    let used = ledger.token("c").await.expect("reads").and_then(|token| token.used_ms);
    ledger.note_token_use("c").await.expect("notes");
    assert_eq!(
        ledger.token("c").await.expect("reads").and_then(|token| token.used_ms),
        used,
        "once a minute"
    );
    assert_eq!(ledger.tokens().await.expect("lists").len(), 3);
}
