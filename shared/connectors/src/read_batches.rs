//! From a stream of driver rows to bounded batches: the same for every engine.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use model::{Column, Engine, ErrorKind, QuarantinedRow, Row, RowBatch};

use crate::BATCH_BYTES_MAX;
use crate::error::{Error, Result};

/// A row as decoded: whole, or set aside.
pub(crate) enum Decoded {
    Row(Row),
    Undecodable(QuarantinedRow),
}

/// Groups decoded rows into batches of at most `rows_max`. Each row must arrive within `deadline`. After an error the stream ends.
pub(crate) fn batches<'a>(
    engine: Engine,
    operation: String,
    columns: Arc<[Column]>,
    (rows_max, deadline): (usize, Duration),
    rows: BoxStream<'a, Result<Decoded>>,
) -> BoxStream<'a, Result<RowBatch>> {
    let state = Some(rows);
    futures::stream::unfold(state, move |state| {
        let (operation, columns) = (operation.clone(), columns.clone());
        async move {
            let mut rows = state?;
            let mut batch = RowBatch::new(columns);
            while !batch.is_full(rows_max, BATCH_BYTES_MAX) {
                match tokio::time::timeout(deadline, rows.next()).await {
                    Err(_) => return Some((Err(Error::new(ErrorKind::Timeout, engine, operation)), None)),
                    Ok(Some(Err(error))) => return Some((Err(error), None)),
                    Ok(Some(Ok(Decoded::Row(row)))) => batch.push(row),
                    Ok(Some(Ok(Decoded::Undecodable(row)))) => batch.undecodable.push(row),
                    Ok(None) if batch.is_empty() => return None,
                    Ok(None) => return Some((Ok(batch), None)),
                }
            }
            Some((Ok(batch), Some(rows)))
        }
    })
    .boxed()
}
