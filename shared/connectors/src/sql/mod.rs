//! SQL text: the only place where statements are put together.
//!
//! Identifiers go through [`Dialect::ident`] alone. Values are bound where the driver's fast path can bind
//! (SQLite); for the text protocols they are rendered by [`literal`] (MySQL), [`postgres_text`] and [`transact`] (SQL
//! Server), from typed values, never from text that somebody wrote as SQL.

pub(crate) mod literal;
pub(crate) mod postgres_text;
pub(crate) mod select;
pub(crate) mod transact;
pub(crate) mod write;

use model::{TableRef, Value};
use sqlx::AssertSqlSafe;

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Mysql,
    Postgres,
    Sqlserver,
}

/// A place in a transaction to come back to when a call fails.
pub(crate) struct Savepoint {
    pub(crate) set: &'static str,
    /// It is released before the next one: PostgreSQL would keep them all.
    pub(crate) set_again: &'static str,
    pub(crate) back: &'static str,
}

impl Dialect {
    /// Quotes one identifier. Names come from a catalog or were checked by `plan`; a NUL, which no engine takes,
    /// is dropped so that the statement fails on an unknown name instead of being cut.
    pub(crate) fn ident(self, name: &str) -> String {
        // SQLite takes an unknown name in double quotes for a string: backticks have no such second meaning.
        let (open, close) = match self {
            Self::Sqlite | Self::Mysql => ('`', '`'),
            Self::Postgres => ('"', '"'),
            Self::Sqlserver => ('[', ']'),
        };
        let mut quoted = String::with_capacity(name.len() + 2);
        quoted.push(open);
        for c in name.chars().filter(|c| *c != '\0') {
            if c == close {
                quoted.push(close);
            }
            quoted.push(c);
        }
        quoted.push(close);
        quoted
    }

    /// Quotes a table, with its schema if it names one.
    pub(crate) fn table(self, table: &TableRef) -> String {
        match &table.schema {
            Some(schema) => format!("{}.{}", self.ident(schema), self.ident(&table.name)),
            None => self.ident(&table.name),
        }
    }

    /// `'text'`, for names and numbers of our own.
    pub(crate) fn literal(self, text: &str) -> String {
        let (mut sql, text) = (String::new(), Value::Text(text.to_owned()));
        match self {
            Self::Mysql => literal::push(&mut sql, &text),
            Self::Sqlite | Self::Postgres => postgres_text::push_literal(&mut sql, &text),
            Self::Sqlserver => transact::push(&mut sql, &text),
        }
        sql
    }

    /// What makes a SELECT give no more than so many rows: behind the word itself, and at the end.
    pub(crate) fn limit(self, rows: u32) -> (String, String) {
        match self {
            Self::Sqlite | Self::Mysql | Self::Postgres => (String::new(), format!(" LIMIT {rows}")),
            Self::Sqlserver => (format!("TOP ({rows}) "), String::new()),
        }
    }

    /// How many rows there are, beyond 31 bits too.
    pub(crate) const fn count(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Mysql | Self::Postgres => "COUNT(*)",
            Self::Sqlserver => "COUNT_BIG(*)",
        }
    }

    /// Counts the rows of a table, up to so many.
    pub(crate) fn count_rows(self, table: &TableRef, at_most: u64) -> String {
        let (count, table, at_most) = (self.count(), self.table(table), at_most.min(i64::MAX.unsigned_abs()));
        match self {
            Self::Sqlserver => {
                format!("SELECT {count} FROM (SELECT TOP ({at_most}) 1 AS one FROM {table}) AS counted")
            }
            Self::Sqlite | Self::Mysql | Self::Postgres => {
                format!("SELECT {count} FROM (SELECT 1 AS one FROM {table} LIMIT {at_most}) AS counted")
            }
        }
    }

    /// The time, to the microsecond.
    pub(crate) const fn now(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Mysql | Self::Postgres => "CURRENT_TIMESTAMP(6)",
            Self::Sqlserver => "SYSUTCDATETIME()",
        }
    }

    pub(crate) const fn savepoint(self) -> Savepoint {
        match self {
            Self::Sqlite | Self::Mysql | Self::Postgres => Savepoint {
                set: "SAVEPOINT syncline",
                set_again: "RELEASE SAVEPOINT syncline; SAVEPOINT syncline",
                back: "ROLLBACK TO SAVEPOINT syncline",
            },
            // The same name again is another place.
            Self::Sqlserver => Savepoint {
                set: "SAVE TRANSACTION syncline",
                set_again: "SAVE TRANSACTION syncline",
                back: "ROLLBACK TRANSACTION syncline",
            },
        }
    }

    /// The beginning of a name that leaves room for `spare` more within the engine's limit.
    pub(crate) fn cut_name(self, name: &str, spare: usize) -> String {
        let (mut cut, max) = (String::new(), self.name_max() - spare);
        for c in name.chars() {
            let grown = match self {
                Self::Sqlite | Self::Mysql => cut.chars().count() + 1,
                Self::Postgres => cut.len() + c.len_utf8(),
                Self::Sqlserver => cut.encode_utf16().count() + c.len_utf16(),
            };
            if grown > max {
                break;
            }
            cut.push(c);
        }
        cut
    }

    /// The name, cut to what the engine allows, with a number behind it if it is taken.
    pub(crate) fn free_name(self, name: &str, is_free: impl Fn(&str) -> bool) -> String {
        std::iter::once(self.cut_name(name, 0))
            .chain((2..10_000).map(|n| format!("{}_{n}", self.cut_name(name, 5))))
            .find(|candidate| is_free(candidate))
            .unwrap_or_else(|| self.cut_name(name, 0))
    }

    /// How long a name may be: in characters, for PostgreSQL in bytes, for SQL Server in units of UTF-16.
    const fn name_max(self) -> usize {
        match self {
            Self::Mysql => 64,
            Self::Postgres => 63,
            Self::Sqlserver => 128,
            Self::Sqlite => usize::MAX,
        }
    }

    /// A comma-separated list of quoted names.
    pub(crate) fn idents<'a>(self, names: impl IntoIterator<Item = &'a String>) -> String {
        names.into_iter().map(|n| self.ident(n)).collect::<Vec<_>>().join(", ")
    }
}

/// A statement under construction: text, and the values to bind where the dialect binds.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) dialect: Dialect,
    pub(crate) text: String,
    pub(crate) args: Vec<Value>,
}

impl Statement {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self { dialect, text: String::new(), args: Vec::new() }
    }

    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value: bound or rendered, as the dialect does it.
    pub(crate) fn push_value(&mut self, value: &Value) -> &mut Self {
        match self.dialect {
            Dialect::Sqlite => {
                self.text.push('?');
                self.args.push(value.clone());
            }
            Dialect::Mysql => literal::push(&mut self.text, value),
            Dialect::Postgres => postgres_text::push_literal(&mut self.text, value),
            Dialect::Sqlserver => transact::push(&mut self.text, value),
        }
        self
    }

    /// Adds values as `(a, b)`.
    pub(crate) fn push_tuple<'a>(&mut self, values: impl IntoIterator<Item = &'a Value>) -> &mut Self {
        self.push("(");
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.push_value(value);
        }
        self.push(")")
    }
}

/// Text without values, for the driver.
pub(crate) const fn safe(text: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evil_names_stay_names() {
        assert_eq!(Dialect::Mysql.ident("a`; DROP TABLE x --"), "`a``; DROP TABLE x --`");
        assert_eq!(Dialect::Sqlite.ident("a\"b`'\0"), "`a\"b``'`");
        assert_eq!(Dialect::Sqlserver.ident("a]; DROP TABLE [x] --"), "[a]]; DROP TABLE [x]] --]");
        assert_eq!(Dialect::Mysql.table(&"shop.a.b".parse().unwrap_or_else(|e| match e {})), "`shop`.`a.b`");
    }
}
