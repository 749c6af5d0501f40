//! What happens to runs, as it happens: server-sent events, numbered by the ledger, so that a client that lost the
//! connection goes on where it was.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::StreamExt as _;
use model::RunId;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::extract::Path;
use crate::problem::{Problem, Result};
use crate::runs::found;
use crate::{Api, time};

/// How often the ledger is asked for more.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Events of one answer of the ledger.
const BLOCK: u32 = 500;
/// A line so often tells proxies that the stream lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// A client that lost the connection waits so long.
const RETRY: Duration = Duration::from_secs(3);

/// Ends the streams when the process is to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(pub(crate) CancellationToken);

/// All events of a run from its first, or after `Last-Event-ID`; then those to come.
pub(crate) async fn of_run(
    State(api): State<Api>,
    Extension(Stop(stop)): Extension<Stop>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    let run = found(&api, &run).await?.id;
    let seen = seen(&headers)?.unwrap_or(0);
    Ok(stream(follow(api, Some(run), seen), stop))
}

/// The events of all runs from now on, or after `Last-Event-ID`.
pub(crate) async fn of_all(
    State(api): State<Api>,
    Extension(Stop(stop)): Extension<Stop>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    let seen = match seen(&headers)? {
        Some(seen) => seen,
        None => api.ledger.last_event().await?,
    };
    Ok(stream(follow(api, None, seen), stop))
}

/// Events as they come, until the process is to end.
fn stream<S>(events: S, stop: CancellationToken) -> Sse<impl Stream<Item = S::Item>>
where
    S: Stream<Item = std::result::Result<Event, Infallible>> + Send + 'static,
{
    let events = events.take_until(stop.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY))
}

/// What the client has seen before its connection was lost.
fn seen(headers: &HeaderMap) -> Result<Option<u64>> {
    let given = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().parse());
    given.transpose().map_err(|_not_a_number| Problem::invalid("Last-Event-ID is not a number"))
}

fn follow(
    api: Api,
    run: Option<RunId>,
    seen: u64,
) -> impl Stream<Item = std::result::Result<Event, Infallible>> {
    let blocks = futures::stream::unfold((api, seen), move |(api, mut seen)| async move {
        loop {
            match api.ledger.events(run, seen, BLOCK).await {
                Ok(events) if !events.is_empty() => {
                    seen = events.last().map_or(seen, |last| last.seq);
                    return Some((futures::stream::iter(events), (api, seen)));
                }
                // A ledger that is away comes back; the client is told by silence, as by any slow network.
                Ok(_) | Err(_) => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    });
    blocks.flatten().map(|event| Ok(line(&event)))
}

fn line(event: &ledger::Event) -> Event {
    let data = json!({
        "seq": event.seq, "run": event.run, "table": event.table, "chunk": event.chunk, "kind": event.kind,
        "detail": event.detail, "at": time::precise(event.at_ms),
    });
    Event::default().id(event.seq.to_string()).event(event.kind.clone()).retry(RETRY).data(data.to_string())
}
