//! What only Redis can suffer. Always on a private server, since these tests kill it, flush it and change its users.

use std::time::Duration;

use super::bed::{Bed, Running, at, claim, depth, until_depth, wait_until};
use super::server::Server;
use crate::store::Timing;
use crate::{ErrorKind, Queue, SigningKey};

const LEASE: Duration = Duration::from_secs(30);

async fn tell(server: &Server, words: &[&str]) {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    let _: redis::Value = command.query_async(&mut server.connection().await).await.unwrap();
}

async fn keys(server: &Server) -> Vec<String> {
    redis::cmd("KEYS").arg("*").query_async(&mut server.connection().await).await.unwrap()
}

async fn open(url: String, install: &str) -> Result<Queue, crate::Error> {
    Queue::open(at(&url, install), SigningKey::ephemeral(), LEASE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_server_is_filled_again() {
    let server = Server::start().await;
    let mut bed = Bed::on(&server);
    let queue = bed.queue().await;
    let running = Running::gated(&queue, "w", 1);
    queue.push(&bed.jobs("run", 5)).await.unwrap();
    running.until_seen(1).await;

    tell(&server, &["FLUSHALL"]).await;
    tell(&server, &["SCRIPT", "FLUSH"]).await;

    assert_eq!(queue.push(&bed.jobs("run", 5)).await.unwrap(), 5, "nothing is remembered");
    running.gate.add_permits(6);
    running.until_seen(6).await; // The one in hand came twice: at least once is the promise.
    until_depth(&queue, 0, 0).await;
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_returns_is_used_again() {
    let mut server = Server::start().await;
    let mut bed = Bed::on(&server);
    let queue = bed.queue().await;
    let running = Running::gated(&queue, "w", 2);
    queue.push(&bed.jobs("before", 2)).await.unwrap();
    running.until_seen(2).await;

    server.kill();
    assert_eq!(queue.push(&bed.jobs("never", 1)).await.unwrap_err().kind(), ErrorKind::Unreachable);
    running.gate.add_permits(2); // These two are acknowledged to nobody, for now.
    wait_until("both handlers ended", async || running.under_way() == 0).await;
    server.restart().await;

    wait_until("a push gets through", async || queue.push(&bed.jobs("after", 3)).await.is_ok()).await;
    running.gate.add_permits(3);
    running.until_seen(5).await;
    until_depth(&queue, 0, 0).await;
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_although_the_server_is_gone() {
    let mut server = Server::start().await;
    let mut bed = Bed::on(&server);
    let queue = bed.queue_with(Timing { drain: Duration::from_millis(100), ..Timing::default() }).await;
    queue.push(&bed.jobs("run", 1)).await.unwrap();
    let running = Running::gated(&queue, "w", 2);
    running.until_seen(1).await;
    server.kill();
    running.gate.add_permits(1);
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_run_leaves_no_key() {
    let server = Server::start().await;
    let mut bed = Bed::on(&server);
    let queue = bed.queue().await;
    queue.push(&bed.jobs("done", 700)).await.unwrap();
    queue.push(&bed.jobs("worked", 70)).await.unwrap();
    claim(&queue, "a").await.unwrap();
    assert!(keys(&server).await.iter().all(|key| key.starts_with(&format!("{{syncline:{}}}:", bed.install))));

    queue.clear_run("done").await.unwrap();
    let running = Running::open(&queue, "w", 8);
    running.until_seen(70).await;
    until_depth(&queue, 0, 0).await;
    running.stopped().await;
    wait_until("no key is left", async || keys(&server).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_narrow_user_of_the_security_page_is_enough() {
    let server = Server::start().await;
    let mut bed = Bed::on(&server);
    let pattern = format!("~{{syncline:{}}}:*", bed.install);
    let rules = "on >secret +@read +@write +@scripting +@connection +time -@dangerous -@admin -script|flush -function";
    let mut words = vec!["ACL", "SETUSER", "syncline", "reset", &pattern];
    words.extend(rules.split(' '));
    tell(&server, &words).await;

    let url = format!("redis://syncline:secret@127.0.0.1:{}/", server.port());
    let config = at(&url, &bed.install);
    assert!(!format!("{config:?}").contains("secret"));
    let queue = Queue::open(config, bed.key.clone(), LEASE).await.unwrap();
    let running = Running::gated(&queue, "w", 2);
    queue.push(&bed.jobs("run", 4)).await.unwrap();
    running.until_seen(2).await;
    running.stop.cancel();
    running.gate.add_permits(2);
    running.stopped().await;
    assert_eq!(depth(&queue).await, (2, 0, 0));
    queue.clear_run("run").await.unwrap();
    let info = queue.check().await.unwrap();
    assert_eq!((info.may_evict(), info.version.is_some()), (None, true), "{info:?}");

    let error = open(url, "another-install").await.unwrap().push(&bed.jobs("run", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidJob);
    let plain = bed.queue().await;
    assert_eq!(plain.check().await.unwrap().maxmemory_policy.as_deref(), Some("noeviction"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_tried_again() {
    let server = Server::start().await;
    tell(&server, &["ACL", "SETUSER", "u", "reset", "on", ">one", "~*", "+@all"]).await;
    let url = |password: &str| format!("redis://u:{password}@127.0.0.1:{}/", server.port());
    let error = open(url("wrong"), "i").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!format!("{error:?} {}", crate::error::chain(&error)).contains("wrong"));

    let queue = open(url("one"), "i").await.unwrap();
    tell(&server, &["ACL", "SETUSER", "u", "resetpass"]).await;
    tell(&server, &["CLIENT", "KILL", "USER", "u"]).await;
    wait_until("the login is refused", async || {
        queue.depth().await.is_err_and(|error| error.kind() == ErrorKind::Auth)
    })
    .await;
    tell(&server, &["ACL", "SETUSER", "u", ">one"]).await;
    wait_until("the login works again", async || queue.depth().await.is_ok()).await;
}

#[tokio::test]
async fn configurations_that_cannot_work_say_so() {
    let kind = async |url: &str, install: &str| open(url.into(), install).await.unwrap_err().kind();
    assert_eq!(kind("no url", "i").await, ErrorKind::Config);
    assert_eq!(kind("redis://127.0.0.1:1/", "a{b}").await, ErrorKind::Config);
    assert_eq!(kind("redis://127.0.0.1:1/", "i").await, ErrorKind::Unreachable);
    // Without a TLS provider the driver would panic.
    let server = Server::start().await;
    assert_eq!(kind(&format!("rediss://127.0.0.1:{}/", server.port()), "i").await, ErrorKind::Unreachable);
}
