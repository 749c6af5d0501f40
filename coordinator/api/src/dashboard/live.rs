//! Tells an open page that something happened: it fetches itself anew then. What happened is for the page to find out.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures::Stream;
use futures::stream::{self, StreamExt as _};
use model::RunId;
use tokio::time::Instant;

use super::page::Refused;
use crate::Api;
use crate::events::Stop;
use crate::extract::Path;
use crate::runs::found;

/// How often the ledger is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Even if nothing happened, times grow and workers fall silent.
const TICK_EVERY: Duration = Duration::from_secs(5);

/// What happens to any run.
pub(super) async fn all(State(api): State<Api>, Extension(Stop(stop)): Extension<Stop>) -> impl IntoResponse {
    Sse::new(follow(api, None).take_until(stop.cancelled_owned()))
}

/// What happens to one.
pub(super) async fn of_run(
    State(api): State<Api>,
    Extension(Stop(stop)): Extension<Stop>,
    Path(run): Path<String>,
) -> Result<impl IntoResponse, Refused> {
    let run = found(&api, &run).await?.id;
    Ok(Sse::new(follow(api, Some(run)).take_until(stop.cancelled_owned())))
}

fn follow(api: Api, run: Option<RunId>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((api, None), move |(api, mut seen)| async move {
        let since = Instant::now();
        loop {
            let last = match run {
                Some(run) => api.ledger.last_event_of(run).await,
                None => api.ledger.last_event().await,
            };
            // A ledger that is away is no news: the page stands as it was.
            if let Ok(last) = last {
                let is_news = seen != Some(last);
                seen = Some(last);
                if is_news || since.elapsed() >= TICK_EVERY {
                    let event = Event::default().id(last.to_string()).retry(Duration::from_secs(1));
                    return Some((Ok(event.data("changed")), (api, seen)));
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    })
}
