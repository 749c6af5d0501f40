//! Typed reading of rows, and numbers and JSON as columns hold them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::error::Cause;

/// Columns of a row by name, as the nouns need them. Anything unexpected is [`Cause::Unreadable`], naming the
/// column and not its value.
pub(crate) trait Fields {
    fn opt_int(&self, column: &'static str) -> Result<Option<i64>, Cause>;
    fn opt_text(&self, column: &'static str) -> Result<Option<String>, Cause>;
    fn opt_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, Cause>;

    fn int(&self, column: &'static str) -> Result<i64, Cause> {
        self.opt_int(column)?.ok_or(Cause::Unreadable { column })
    }

    fn count(&self, column: &'static str) -> Result<u64, Cause> {
        u64::try_from(self.int(column)?).map_err(|_| Cause::Unreadable { column })
    }

    fn opt_count(&self, column: &'static str) -> Result<Option<u64>, Cause> {
        let value = self.opt_int(column)?;
        value.map(u64::try_from).transpose().map_err(|_| Cause::Unreadable { column })
    }

    fn small(&self, column: &'static str) -> Result<u32, Cause> {
        u32::try_from(self.int(column)?).map_err(|_| Cause::Unreadable { column })
    }

    fn text(&self, column: &'static str) -> Result<String, Cause> {
        self.opt_text(column)?.ok_or(Cause::Unreadable { column })
    }

    /// A text that names a thing: an id, a state.
    fn named<T: std::str::FromStr>(&self, column: &'static str) -> Result<T, Cause> {
        self.text(column)?.parse().map_err(|_| Cause::Unreadable { column })
    }

    fn opt_named<T: std::str::FromStr>(&self, column: &'static str) -> Result<Option<T>, Cause> {
        let text = self.opt_text(column)?;
        text.map(|text| text.parse()).transpose().map_err(|_| Cause::Unreadable { column })
    }

    fn opt_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, Cause> {
        let bytes = self.opt_bytes(column)?;
        bytes
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .map_err(|_| Cause::Unreadable { column })
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Cause> {
        self.opt_json(column)?.ok_or(Cause::Unreadable { column })
    }
}

impl Fields for AnyRow {
    fn opt_int(&self, column: &'static str) -> Result<Option<i64>, Cause> {
        self.try_get::<Option<i64>, _>(column).map_err(|e| unreadable(e, column))
    }

    fn opt_text(&self, column: &'static str) -> Result<Option<String>, Cause> {
        self.try_get::<Option<String>, _>(column).map_err(|e| unreadable(e, column))
    }

    fn opt_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, Cause> {
        self.try_get::<Option<Vec<u8>>, _>(column).map_err(|e| unreadable(e, column))
    }
}

/// A value of another type than the column's is as unreadable as one that makes no sense.
fn unreadable(error: sqlx::Error, column: &'static str) -> Cause {
    if matches!(error, sqlx::Error::ColumnDecode { .. }) {
        Cause::Unreadable { column }
    } else {
        Cause::Driver(error)
    }
}

/// A count as a column holds it; beyond `i64::MAX` it stays there.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whole milliseconds of a duration.
pub(crate) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// JSON as a column holds it.
pub(crate) fn json<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, Cause> {
    serde_json::to_vec(value).map_err(|_| Cause::Unstorable { what })
}

/// The values of an `IN (..)`, the last of them repeated up to a power of two. So a list of any length is one of few
/// statements, which every connection keeps prepared. One that is prepared, run once and closed would cost the next
/// statement on a MySQL connection 40 ms: a close has no answer, and behind what has no answer TCP waits (Nagle's
/// algorithm and the server's delayed acknowledgement, RFC 896 and RFC 1122 4.2.3.2; sqlx has no way to turn it off).
pub(crate) fn listed<T>(values: &[T]) -> Vec<&T> {
    let last = values.iter().last().into_iter().cycle();
    values.iter().chain(last).take(values.len().next_power_of_two()).collect()
}

/// `?, ?, ?`.
pub(crate) fn marks(count: usize) -> String {
    let mut marks = "?, ".repeat(count);
    marks.truncate(marks.len().saturating_sub(2));
    marks
}
