//! What a server says about itself while it works: its load, how far it is behind, or what a query finds.

use std::borrow::Cow;
use std::sync::Arc;

use model::ErrorKind;
use model::limits::Gauge;

use super::pool::Pool;
use super::{Protocol, error};
use crate::error::Result;

/// The reading of a gauge, rounded up to a whole number; `None` where the server has nothing to say.
pub(crate) async fn read<P: Protocol>(pool: &Arc<Pool<P>>, gauge: &Gauge) -> Result<Option<u64>> {
    let operation = format!("read the gauge `{gauge}`");
    let mut lease = pool.lease(&operation).await?;
    let (sql, column) = P::gauge_sql(gauge, lease.server());
    let answers = lease.run(&operation, sql).await?;
    let row = answers.iter().find_map(|answer| answer.rows.first());
    let text = row.and_then(|row| {
        let at = match column {
            Some(name) => P::place(row, name)?,
            None => 0,
        };
        P::text(row, at).map(Cow::into_owned)
    });
    lease.release();
    let Some(text) = text else { return Ok(None) };
    crate::gauge::whole(&text).map(Some).ok_or_else(|| {
        error::<P>(ErrorKind::Unsupported, &operation).with_object("its answer, which is no number")
    })
}
