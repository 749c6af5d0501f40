//! Reading: ranges, keys, boundaries.

use model::{Key, KeyRange, TableRef};

use super::{Dialect, Statement};

/// What is selected and from where.
pub(crate) struct From<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) table: &'a TableRef,
    /// Select list, ready-made by the engine's codec.
    pub(crate) list: String,
    /// Key column names in key order.
    pub(crate) key: &'a [String],
    /// The index to force, where the dialect needs to be told.
    pub(crate) index: Option<&'a str>,
}

impl From<'_> {
    fn head(&self) -> Statement {
        let mut sql = Statement::new(self.dialect);
        sql.push(&format!("SELECT {} FROM {}", self.list, self.dialect.table(self.table)));
        if let (Dialect::Mysql, Some(index)) = (self.dialect, self.index) {
            sql.push(&format!(" FORCE INDEX ({})", self.dialect.ident(index)));
        }
        sql
    }

    /// PostgreSQL would take a bare name for what is selected under it: the text of an enum, not the enum.
    fn order(&self) -> String {
        let column = |name: &String| match self.dialect {
            Dialect::Postgres => {
                format!("{}.{}", self.dialect.table(self.table), self.dialect.ident(name))
            }
            Dialect::Sqlite | Dialect::Mysql => self.dialect.ident(name),
        };
        format!(" ORDER BY {}", self.key.iter().map(column).collect::<Vec<_>>().join(", "))
    }

    /// The rows of a key range in key order.
    pub(crate) fn range(&self, range: &KeyRange) -> Statement {
        let mut sql = self.head();
        push_range(&mut sql, self.key, range);
        if !self.key.is_empty() {
            sql.push(&self.order());
        }
        sql
    }

    /// The rows at these keys, in no order.
    pub(crate) fn keys(&self, keys: &[Key]) -> Statement {
        let mut sql = self.head();
        sql.push(" WHERE ");
        push_keys(&mut sql, self.key, keys);
        sql
    }

    /// The key `rows` places after `from`.
    pub(crate) fn boundary(&self, from: Option<&Key>, rows: u64) -> Statement {
        let mut sql = self.head();
        push_range(&mut sql, self.key, &KeyRange { lower: from.cloned(), upper: None });
        sql.push(&self.order());
        sql.push(&format!(" LIMIT 1 OFFSET {rows}"));
        sql
    }
}

/// `WHERE` for a half-open range; nothing for the whole table.
fn push_range(sql: &mut Statement, key: &[String], range: &KeyRange) {
    let mut joint = " WHERE ";
    for (bound, op, last_op) in [(&range.lower, ">", ">="), (&range.upper, "<", "<")] {
        if let Some(bound) = bound {
            sql.push(joint);
            push_bound(sql, key, bound, op, last_op);
            joint = " AND ";
        }
    }
}

/// One end of a range. MySQL reads the whole table for row constructors but exactly the range for the expanded
/// form; SQLite and PostgreSQL have native row values.
fn push_bound(sql: &mut Statement, key: &[String], bound: &Key, op: &str, last_op: &str) {
    let dialect = sql.dialect;
    if key.len() == 1 {
        sql.push(&format!("{} {last_op} ", dialect.ident(&key[0]))).push_value(&bound.0[0]);
        return;
    }
    if dialect != Dialect::Mysql {
        sql.push(&format!("({}) {last_op} ", dialect.idents(key))).push_tuple(&bound.0);
        return;
    }
    sql.push("(");
    for i in 0..key.len() {
        if i > 0 {
            sql.push(" OR ");
        }
        sql.push("(");
        for (j, column) in key.iter().enumerate().take(i) {
            sql.push(&format!("{} = ", dialect.ident(column))).push_value(&bound.0[j]).push(" AND ");
        }
        let op = if i + 1 == key.len() { last_op } else { op };
        sql.push(&format!("{} {op} ", dialect.ident(&key[i]))).push_value(&bound.0[i]).push(")");
    }
    sql.push(")");
}

/// `k IN (..)`; for composite keys `(a, b) IN (..)`, or for MySQL, which reads the whole table for that,
/// `((a = .. AND b = ..) OR ..)`. PostgreSQL would take literals in VALUES for text, SQLite needs VALUES.
pub(crate) fn push_keys(sql: &mut Statement, key: &[String], keys: &[Key]) {
    let dialect = sql.dialect;
    if key.len() == 1 {
        sql.push(&format!("{} IN ", dialect.ident(&key[0]))).push_tuple(keys.iter().map(|k| &k.0[0]));
        return;
    }
    if dialect == Dialect::Mysql {
        push_alternatives(sql, key, keys);
        return;
    }
    let values = if dialect == Dialect::Sqlite { "VALUES " } else { "" };
    sql.push(&format!("({}) IN ({values}", dialect.idents(key)));
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            sql.push(", ");
        }
        sql.push_tuple(&key.0);
    }
    sql.push(")");
}

fn push_alternatives(sql: &mut Statement, columns: &[String], keys: &[Key]) {
    sql.push("(");
    for (i, key) in keys.iter().enumerate() {
        sql.push(if i > 0 { " OR (" } else { "(" });
        for (j, (column, value)) in columns.iter().zip(&key.0).enumerate() {
            if j > 0 {
                sql.push(" AND ");
            }
            let name = sql.dialect.ident(column);
            sql.push(&format!("{name} = ")).push_value(value);
        }
        sql.push(")");
    }
    sql.push(")");
}

#[cfg(test)]
mod tests {
    use model::Value;

    use super::*;

    fn key(values: &[i64]) -> Key {
        Key(values.iter().copied().map(Value::Int).collect())
    }

    fn from<'a>(dialect: Dialect, table: &'a TableRef, key: &'a [String]) -> From<'a> {
        From { dialect, table, list: "1".to_owned(), key, index: Some("PRIMARY") }
    }

    #[test]
    fn composite_ranges_are_expanded_for_mysql_and_native_for_sqlite() {
        let (table, columns) = (TableRef::named("t"), ["a".to_owned(), "b".to_owned()]);
        let range = KeyRange { lower: Some(key(&[1, 2])), upper: Some(key(&[3, 4])) };
        assert_eq!(
            from(Dialect::Mysql, &table, &columns).range(&range).text,
            "SELECT 1 FROM `t` FORCE INDEX (`PRIMARY`) WHERE ((`a` > 1) OR (`a` = 1 AND `b` >= 2)) \
             AND ((`a` < 3) OR (`a` = 3 AND `b` < 4)) ORDER BY `a`, `b`"
        );
        let sqlite = from(Dialect::Sqlite, &table, &columns).range(&range);
        assert_eq!(
            sqlite.text,
            "SELECT 1 FROM `t` WHERE (`a`, `b`) >= (?, ?) AND (`a`, `b`) < (?, ?) ORDER BY `a`, `b`"
        );
        assert_eq!(sqlite.args.len(), 4);
    }

    #[test]
    fn key_lists_and_boundaries() {
        let (table, one, two) = (TableRef::named("t"), ["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            from(Dialect::Sqlite, &table, &two).keys(&[key(&[1, 2]), key(&[3, 4])]).text,
            "SELECT 1 FROM `t` WHERE (`a`, `b`) IN (VALUES (?, ?), (?, ?))"
        );
        assert_eq!(
            from(Dialect::Mysql, &table, &two).keys(&[key(&[1, 2]), key(&[3, 4])]).text,
            "SELECT 1 FROM `t` FORCE INDEX (`PRIMARY`) WHERE ((`a` = 1 AND `b` = 2) OR (`a` = 3 AND `b` = 4))"
        );
        assert_eq!(
            from(Dialect::Mysql, &table, &one).boundary(Some(&key(&[7])), 1_000).text,
            "SELECT 1 FROM `t` FORCE INDEX (`PRIMARY`) WHERE `a` >= 7 ORDER BY `a` LIMIT 1 OFFSET 1000"
        );
    }
}
