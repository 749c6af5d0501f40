//! The tables that are made here: CREATE TABLE for the target of a plan.

use std::collections::HashSet;

use model::{Column, LogicalType, TablePlan};

use super::mapping::type_for;
use super::session::Server;
use crate::sql::Dialect;

/// Bytes of the columns of a row that are not TEXT or BLOB, less some for the rest.
const ROW_BYTES_MAX: u64 = 65_000;
/// Bytes of an index entry.
pub(super) const INDEX_BYTES_MAX: u64 = 3_072;
/// Characters of a key column whose source has no limit.
const KEY_CHARS_MAX: u64 = 255;

/// A column on its way into CREATE TABLE.
struct Made<'a> {
    column: &'a Column,
    native: String,
    in_key: bool,
    /// Two values that differ must not be taken for one: keys, unique indexes, foreign keys.
    exact: bool,
}

/// CREATE TABLE for the target of `plan`: columns and primary key. Secondary indexes and foreign keys come after the
/// rows.
pub(super) fn create_table(plan: &TablePlan, server: &Server, collations: &HashSet<String>) -> String {
    let mut made = columns(plan);
    shrink(&mut made);
    let mut lines: Vec<String> = made.iter().map(|m| definition(m, plan, server, collations)).collect();
    if !plan.key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", Dialect::Mysql.idents(&plan.target_key())));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n  {}\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4",
        Dialect::Mysql.table(&plan.target.table),
        lines.join(",\n  ")
    )
}

fn columns(plan: &TablePlan) -> Vec<Made<'_>> {
    let unbounded = |place: &usize| {
        let (native, _) = type_for(&plan.columns[*place].target);
        native.starts_with("long")
    };
    // Unlimited columns of a key share what an index entry holds.
    let share = plan.key.iter().filter(|place| unbounded(place)).count().max(1) as u64;
    let key_chars = KEY_CHARS_MAX.min(INDEX_BYTES_MAX / 4 / share);
    let made = |(place, pair): (usize, &'_ model::ColumnPlan)| {
        let in_key = plan.key.contains(&place);
        let names = |list: &[String]| list.contains(&pair.target.name);
        let referring = plan.target.foreign_keys.iter().any(|key| names(&key.columns));
        let unique = plan.target.indexes.iter().any(|index| index.unique && names(&index.columns));
        let native = match type_for(&pair.target).0.as_str() {
            "longtext" if in_key || referring => format!("varchar({key_chars})"),
            "longblob" if in_key || referring => format!("varbinary({key_chars})"),
            native => native.to_owned(),
        };
        (native, in_key, in_key || referring || unique)
    };
    plan.columns
        .iter()
        .enumerate()
        .map(|(place, pair)| {
            let (native, in_key, exact) = made((place, pair));
            Made { column: &pair.target, native, in_key, exact }
        })
        .collect()
}

/// Bytes a column of this type may take of the row's own space.
fn row_bytes(native: &str) -> u64 {
    let length =
        || native.split_once('(').and_then(|(_, n)| n.trim_end_matches(')').parse::<u64>().ok()).unwrap_or(0);
    if native.starts_with("varchar(") || native.starts_with("char(") {
        length() * 4 + 2
    } else if native.starts_with("varbinary(") || native.starts_with("binary(") {
        length() + 2
    } else if native.starts_with("decimal") {
        30
    } else {
        12
    }
}

/// Turns the widest columns into TEXT and BLOB until the row fits, sparing those that an index needs.
fn shrink(made: &mut [Made<'_>]) {
    while made.iter().map(|m| row_bytes(&m.native)).sum::<u64>() > ROW_BYTES_MAX {
        let movable = made.iter_mut().filter(|m| !m.exact && m.native.starts_with("var"));
        let Some(widest) = movable.max_by_key(|m| row_bytes(&m.native)) else {
            return;
        };
        widest.native = if widest.native.starts_with("varchar") { "longtext" } else { "longblob" }.to_owned();
    }
}

fn definition(made: &Made<'_>, plan: &TablePlan, server: &Server, collations: &HashSet<String>) -> String {
    let mut sql = format!("{} {}", Dialect::Mysql.ident(&made.column.name), made.native);
    if let LogicalType::Text { .. } = made.column.logical {
        sql.push_str(&collate(made, server, collations));
    }
    if made.in_key || !made.column.nullable {
        sql.push_str(" NOT NULL");
    } else {
        // A TIMESTAMP that does not say NULL is NOT NULL on older servers.
        sql.push_str(" NULL");
    }
    let leads_key = plan.key.first().is_some_and(|i| plan.columns[*i].target.name == made.column.name);
    if made.column.auto_increment && leads_key {
        sql.push_str(" AUTO_INCREMENT");
    }
    sql
}

/// The collation of the source where this server has it; else one under which no two values are equal, where that
/// matters, and the server's own where it does not.
fn collate(made: &Made<'_>, server: &Server, collations: &HashSet<String>) -> String {
    let known = made.column.collation.as_ref().filter(|name| *name != "binary" && collations.contains(*name));
    let charset = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    match known {
        Some(name) => format!(" CHARACTER SET {} COLLATE {name}", charset(name)),
        None if made.exact => {
            let exact = if server.mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
            format!(" CHARACTER SET utf8mb4 COLLATE {exact}")
        }
        None => " CHARACTER SET utf8mb4".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use model::{ColumnPlan, ForeignKey, Index, MergePolicy, TableRef, TableSchema};

    use super::super::mapping::column_for;
    use super::*;

    const MANY: LogicalType = LogicalType::Text { max_chars: None, fixed: false, long: true };

    fn column(name: &str, logical: LogicalType, collation: Option<&str>) -> Column {
        Column { collation: collation.map(ToOwned::to_owned), ..Column::new(name, logical, true) }
    }

    fn plan(columns: &[Column], key: &[usize]) -> TablePlan {
        let names = |places: &[usize]| places.iter().map(|i| columns[*i].name.clone()).collect::<Vec<_>>();
        let schema = |name: &str| TableSchema {
            table: TableRef::named(name),
            columns: columns.to_vec(),
            primary_key: names(key),
            indexes: vec![],
            foreign_keys: vec![],
            row_estimate: None,
        };
        let pair = |source: &Column| ColumnPlan {
            source: source.clone(),
            target: column_for(source),
            canonical: source.logical.clone(),
            loss: None,
            rule: None,
        };
        TablePlan {
            v: 1,
            source: schema("source"),
            target: schema("evil`name"),
            columns: columns.iter().map(pair).collect(),
            key: key.to_vec(),
            policy: MergePolicy::SourceWins,
            create_target: true,
            fresh: true,
            wave: 0,
            in_cycle: false,
            rows_per_chunk: 1,
            delete_guard: model::plan::DeleteGuard::default(),
            quarantined_max: 0,
            notes: vec![],
            window: None,
            range: None,
            inputs: Vec::new(),
            nests: vec![],
        }
    }

    fn made(plan: &TablePlan, mariadb: bool) -> String {
        let server =
            Server { mariadb, version: String::new(), database: None, packet_max: 1, folds_names: false };
        let known = ["latin1_swedish_ci", "ascii_bin", "binary"].map(ToOwned::to_owned).into();
        create_table(plan, &server, &known)
    }

    #[test]
    fn keys_and_references_are_compared_exactly_and_other_text_as_the_server_likes() {
        let int = LogicalType::Int { bits: 64, unsigned: false };
        let mut plan = plan(
            &[
                Column { auto_increment: true, nullable: false, ..column("id", int, None) },
                column("code", MANY, Some("NOCASE")),
                column("parent", MANY, Some("binary")),
                column("mail", LogicalType::Text { max_chars: Some(90), fixed: false, long: false }, None),
                column("note", MANY, None),
                column(
                    "old",
                    LogicalType::Text { max_chars: Some(9), fixed: true, long: false },
                    Some("latin1_swedish_ci"),
                ),
                column("at", LogicalType::Instant { fraction: 3 }, None),
                column("u", LogicalType::Uuid, None),
            ],
            &[0, 1],
        );
        plan.target.foreign_keys = vec![ForeignKey {
            name: "f".to_owned(),
            columns: vec!["parent".to_owned()],
            parent: TableRef::named("p"),
            parent_columns: vec!["id".to_owned()],
        }];
        plan.target.indexes =
            vec![Index { name: "i".to_owned(), columns: vec!["mail".to_owned()], unique: true }];
        assert_eq!(
            made(&plan, false),
            "CREATE TABLE IF NOT EXISTS `evil``name` (\n  \
             `id` bigint NOT NULL AUTO_INCREMENT,\n  \
             `code` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL,\n  \
             `parent` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NULL,\n  \
             `mail` varchar(90) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NULL,\n  \
             `note` longtext CHARACTER SET utf8mb4 NULL,\n  \
             `old` char(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci NULL,\n  \
             `at` datetime(3) NULL,\n  \
             `u` char(36) CHARACTER SET ascii COLLATE ascii_bin NULL,\n  \
             PRIMARY KEY (`id`, `code`)\n\
             ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4"
        );
        assert!(
            made(&plan, true).contains("`code` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        );
    }

    #[test]
    fn unlimited_columns_of_a_key_share_the_index_entry() {
        let many: Vec<Column> = (0..5).map(|i| column(&format!("c{i}"), MANY, None)).collect();
        let sql = made(&plan(&many, &[0, 1, 2, 3, 4]), false);
        assert_eq!(sql.matches("varchar(153)").count(), 5, "{sql}");
    }

    #[test]
    fn a_row_too_wide_gives_up_its_widest_columns() {
        let text = |n| LogicalType::Text { max_chars: Some(n), fixed: false, long: false };
        let columns =
            [column("k", text(500), None), column("a", text(16_000), None), column("b", text(500), None)];
        let sql = made(&plan(&columns, &[0]), false);
        assert!(
            sql.contains("`k` varchar(500)")
                && sql.contains("`a` longtext")
                && sql.contains("`b` varchar(500)")
        );
    }
}
