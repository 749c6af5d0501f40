//! Reading: ranges, keys, boundaries.

use model::{Key, KeyRange, TableRef, Value};

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
            Dialect::Sqlite | Dialect::Mysql | Dialect::Sqlserver => self.dialect.ident(name),
        };
        format!(" ORDER BY {}", self.key.iter().map(column).collect::<Vec<_>>().join(", "))
    }

    /// The rows of a key range in key order.
    pub(crate) fn range(&self, range: &KeyRange) -> Statement {
        let mut sql = self.within(range);
        if !self.key.is_empty() {
            sql.push(&self.order());
        }
        sql
    }

    fn within(&self, range: &KeyRange) -> Statement {
        let is_split = self.dialect == Dialect::Sqlserver && self.key.len() > 1;
        let branches = if is_split { prefix_ranges(self.key.len(), range) } else { Vec::new() };
        if branches.is_empty() {
            let mut sql = self.head();
            push_range(&mut sql, self.key, range);
            return sql;
        }
        let mut sql = Statement::new(self.dialect);
        sql.push(&format!("SELECT {} FROM (", self.list));
        for (i, branch) in branches.iter().enumerate() {
            let joint = if i > 0 { " UNION ALL " } else { "" };
            sql.push(&format!("{joint}SELECT * FROM {}", self.dialect.table(self.table)));
            branch.push(&mut sql, self.key);
        }
        sql.push(") AS syncline");
        sql
    }

    /// The rows at these keys, in no order.
    pub(crate) fn keys(&self, keys: &[Key]) -> Statement {
        let mut sql = self.head();
        sql.push(" WHERE ");
        push_keys(&mut sql, self.key, keys);
        sql
    }

    /// The rows at these keys, kept from others until the transaction ends.
    pub(crate) fn keys_for_update(&self, keys: &[Key]) -> Statement {
        let mut sql = self.head();
        let is_hinted = self.dialect == Dialect::Sqlserver;
        sql.push(if is_hinted { " WITH (UPDLOCK, HOLDLOCK, ROWLOCK) WHERE " } else { " WHERE " });
        push_keys(&mut sql, self.key, keys);
        sql.push(if is_hinted { "" } else { " FOR UPDATE" });
        sql
    }

    /// The rows with a value in the first of the columns, the greatest first, no more than one.
    pub(crate) fn greatest(&self) -> Statement {
        let mut sql = self.head();
        let is_top = self.dialect == Dialect::Sqlserver;
        let column = self.dialect.ident(&self.key[0]);
        sql.push(&format!(" WHERE {column} IS NOT NULL{} DESC", self.order()));
        sql.push(if is_top { " OFFSET 0 ROWS FETCH NEXT 1 ROWS ONLY" } else { " LIMIT 1" });
        sql
    }

    /// The key `rows` places after `from`.
    pub(crate) fn boundary(&self, from: Option<&Key>, rows: u64) -> Statement {
        let range = KeyRange { lower: from.cloned(), upper: None };
        let mut sql = self.within(&range);
        sql.push(&self.order());
        sql.push(&match self.dialect {
            Dialect::Sqlserver => format!(" OFFSET {rows} ROWS FETCH NEXT 1 ROWS ONLY"),
            Dialect::Sqlite | Dialect::Mysql | Dialect::Postgres => format!(" LIMIT 1 OFFSET {rows}"),
        });
        sql
    }
}

/// Comparisons that all must hold: key column, operator, value.
struct Branch<'a> {
    compared: Vec<(usize, &'static str, &'a Value)>,
    /// The end of the range, where comparisons alone do not tell it.
    below: Option<&'a Key>,
}

/// A range of composite keys as ranges each of which an index serves, and no row is in two of them; none for the whole
/// table. For k columns there are at most 2k - 1: up from the lower end, from its last column to the first that the ends do
/// not share; what lies between; up to the upper end.
///
/// The server may take two values for one that are not the same here. Then nothing lies between them: the first branches
/// hold all rows, for they are told the end as well, and the last ones none, for theirs must be above the lower end.
fn prefix_ranges(columns: usize, range: &KeyRange) -> Vec<Branch<'_>> {
    let (lower, upper) = (range.lower.as_ref(), range.upper.as_ref());
    let shared = match (lower, upper) {
        (Some(lower), Some(upper)) => lower.0.iter().zip(&upper.0).take_while(|(a, b)| a == b).count(),
        (Some(_), None) | (None, Some(_)) => 0,
        (None, None) => return Vec::new(),
    };
    let first = shared.min(columns - 1);
    // An end may have fewer columns than the key.
    let ends = |key: &Key, place: usize| if place + 1 == key.0.len() { ">=" } else { ">" };
    let mut branches = Vec::new();
    if let Some(lower) = lower {
        let from = first + usize::from(upper.is_some());
        branches.extend((from..lower.0.len()).rev().map(|place| {
            let mut compared = equal(lower, place);
            compared.push((place, ends(lower, place), &lower.0[place]));
            Branch { compared, below: upper }
        }));
    }
    let Some(upper) = upper else { return branches };
    branches.extend((first..upper.0.len()).map(|place| {
        let mut compared = equal(upper, place);
        compared.push((place, "<", &upper.0[place]));
        let above = lower.and_then(|lower| Some((first, ends(lower, first), lower.0.get(first)?)));
        compared.extend(above);
        Branch { compared, below: None }
    }));
    branches
}

/// The first columns are those of `key`.
fn equal(key: &Key, columns: usize) -> Vec<(usize, &'static str, &Value)> {
    key.0.iter().take(columns).enumerate().map(|(place, value)| (place, "=", value)).collect()
}

impl Branch<'_> {
    fn push(&self, sql: &mut Statement, key: &[String]) {
        for (n, (place, op, value)) in self.compared.iter().enumerate() {
            let joint = if n > 0 { "AND" } else { "WHERE" };
            let column = sql.dialect.ident(&key[*place]);
            sql.push(&format!(" {joint} {column} {op} ")).push_value(value);
        }
        if let Some(end) = self.below {
            sql.push(" AND ");
            push_bound(sql, key, end, "<", "<");
        }
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
    let (dialect, key) = (sql.dialect, &key[..bound.0.len().min(key.len())]);
    if key.len() == 1 {
        sql.push(&format!("{} {last_op} ", dialect.ident(&key[0]))).push_value(&bound.0[0]);
        return;
    }
    if !matches!(dialect, Dialect::Mysql | Dialect::Sqlserver) {
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

/// `k IN (..)`; for composite keys `(a, b) IN (..)`, or for MySQL, which reads the whole table for that, and for SQL
/// Server, which has no such thing, `((a = .. AND b = ..) OR ..)`. PostgreSQL would take literals in VALUES for text, SQLite needs VALUES.
pub(crate) fn push_keys(sql: &mut Statement, key: &[String], keys: &[Key]) {
    let dialect = sql.dialect;
    if key.len() == 1 {
        sql.push(&format!("{} IN ", dialect.ident(&key[0]))).push_tuple(keys.iter().map(|k| &k.0[0]));
        return;
    }
    if matches!(dialect, Dialect::Mysql | Dialect::Sqlserver) {
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
    fn composite_ranges_are_prefix_ranges_for_sql_server() {
        let (table, columns) = (TableRef::named("t"), ["a".to_owned(), "b".to_owned()]);
        let text = |lower: Option<&[i64]>, upper: Option<&[i64]>| {
            let range = KeyRange { lower: lower.map(key), upper: upper.map(key) };
            from(Dialect::Sqlserver, &table, &columns).range(&range).text
        };
        let with = |branches: &[&str]| {
            let all: Vec<String> = branches.iter().map(|b| format!("SELECT * FROM [t] WHERE {b}")).collect();
            format!("SELECT 1 FROM ({}) AS syncline ORDER BY [a], [b]", all.join(" UNION ALL "))
        };
        let end = "(([a] < 3) OR ([a] = 3 AND [b] < 4))";
        assert_eq!(
            text(Some(&[1, 2]), Some(&[3, 4])),
            with(&[
                &format!("[a] = 1 AND [b] >= 2 AND {end}"),
                "[a] < 3 AND [a] > 1",
                "[a] = 3 AND [b] < 4 AND [a] > 1",
            ])
        );
        assert_eq!(text(Some(&[1, 2]), Some(&[1, 4])), with(&["[a] = 1 AND [b] < 4 AND [b] >= 2"]));
        assert_eq!(text(Some(&[1, 2]), None), with(&["[a] = 1 AND [b] >= 2", "[a] > 1"]));
        assert_eq!(text(None, Some(&[3, 4])), with(&["[a] < 3", "[a] = 3 AND [b] < 4"]));
        assert_eq!(text(None, None), "SELECT 1 FROM [t] ORDER BY [a], [b]");
    }

    /// The server takes `a` and `A` for one; the ends of a range may be any spelling of it.
    #[test]
    fn every_row_of_a_range_is_in_one_branch_however_the_server_compares() {
        let letters = ["a", "A", "b", "B", "c"];
        let mut keys = Vec::new();
        for x in letters {
            for y in letters {
                keys.extend(letters.map(|z| Key([x, y, z].map(|t| Value::Text(t.to_owned())).to_vec())));
            }
        }
        let folded = |value: &Value| {
            if let Value::Text(text) = value { text.to_lowercase() } else { unreachable!("texts only") }
        };
        let place = |key: &Key| key.0.iter().map(&folded).collect::<Vec<_>>();
        let holds = |row: &Key, (at, op, value): &(usize, &str, &Value)| {
            let order = folded(&row.0[*at]).cmp(&folded(value));
            match *op {
                "=" => order.is_eq(),
                ">" => order.is_gt(),
                ">=" => order.is_ge(),
                _ => order.is_lt(),
            }
        };
        let beginnings = keys.iter().step_by(5).map(|key| Key(key.0[..1].to_vec()));
        let lowers: Vec<Key> = keys.iter().step_by(3).cloned().chain(beginnings).collect();
        for (lower, upper) in lowers.iter().flat_map(|a| keys.iter().step_by(7).map(move |b| (a, b))) {
            let range = KeyRange { lower: Some(lower.clone()), upper: Some(upper.clone()) };
            let branches = prefix_ranges(3, &range);
            assert!(branches.len() <= 5);
            for row in &keys {
                let in_branch = |branch: &&Branch<'_>| {
                    branch.compared.iter().all(|compared| holds(row, compared))
                        && branch.below.is_none_or(|end| place(row) < place(end))
                };
                let found = branches.iter().filter(in_branch).count();
                let is_in = place(row) >= place(lower) && place(row) < place(upper);
                assert_eq!(found, usize::from(is_in), "{row:?} from {lower:?} to {upper:?}");
            }
        }
    }

    #[test]
    fn an_end_with_fewer_columns_stands_before_all_that_begin_with_it() {
        let (table, columns) = (TableRef::named("t"), ["c".to_owned(), "a".to_owned()]);
        let range = KeyRange { lower: Some(key(&[5])), upper: Some(key(&[7, 2])) };
        let text = |dialect| from(dialect, &table, &columns).range(&range).text;
        assert_eq!(
            text(Dialect::Mysql),
            "SELECT 1 FROM `t` FORCE INDEX (`PRIMARY`) WHERE `c` >= 5 AND ((`c` < 7) OR (`c` = 7 AND `a` < 2)) \
             ORDER BY `c`, `a`"
        );
        assert_eq!(
            text(Dialect::Sqlite),
            "SELECT 1 FROM `t` WHERE `c` >= ? AND (`c`, `a`) < (?, ?) ORDER BY `c`, `a`"
        );
        assert_eq!(
            text(Dialect::Sqlserver),
            "SELECT 1 FROM (SELECT * FROM [t] WHERE [c] < 7 AND [c] >= 5 UNION ALL SELECT * FROM [t] WHERE [c] = 7 \
             AND [a] < 2 AND [c] >= 5) AS syncline ORDER BY [c], [a]"
        );
        let open = KeyRange { lower: Some(key(&[5])), upper: None };
        assert_eq!(
            from(Dialect::Sqlserver, &table, &columns).range(&open).text,
            "SELECT 1 FROM (SELECT * FROM [t] WHERE [c] >= 5) AS syncline ORDER BY [c], [a]"
        );
        assert_eq!(
            from(Dialect::Sqlserver, &table, &columns[..1]).greatest().text,
            "SELECT 1 FROM [t] WHERE [c] IS NOT NULL ORDER BY [c] DESC OFFSET 0 ROWS FETCH NEXT 1 ROWS ONLY"
        );
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
