//! Column types: which one keeps what a source column holds.
//!
//! No word of a source's catalog is copied into a statement: native types are recognised and written anew.

use model::{Column, LogicalType};

/// Spatial types, whose values go as the server's own bytes.
pub(super) const GEOMETRY: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];
/// A longer VARCHAR of four-byte characters passes the server's limit for a row.
const VARCHAR_CHARS_MAX: u64 = 16_383;
/// Decimals without limits become the widest there is: 35 digits before the point, 30 after it.
const DECIMAL_MAX: (u16, u16) = (65, 30);

/// The column that is made for `source`; its logical type is what the catalog would say of it.
pub(super) fn column_for(source: &Column) -> Column {
    let (native, logical) = type_for(source);
    let collation = match (&source.logical, &logical) {
        (LogicalType::Uuid, _) => Some("ascii_bin".to_owned()),
        (_, LogicalType::Text { .. }) => source.collation.clone(),
        _ => None,
    };
    Column {
        name: source.name.clone(),
        logical,
        native,
        nullable: source.nullable,
        collation,
        generated: false,
        auto_increment: source.auto_increment && matches!(source.logical, LogicalType::Int { .. }),
    }
}

pub(super) fn type_for(source: &Column) -> (String, LogicalType) {
    if let Some(kept) = kept_native(source) {
        return (kept, source.logical.clone());
    }
    let native = match &source.logical {
        LogicalType::Bool => {
            return ("tinyint(1)".to_owned(), LogicalType::Int { bits: 8, unsigned: false });
        }
        LogicalType::Int { bits, unsigned } => {
            let logical = LogicalType::Int { bits: int_bits(*bits), unsigned: *unsigned };
            return (int_type(*bits, *unsigned).to_owned(), logical);
        }
        LogicalType::Decimal { precision, scale } => return decimal_type(*precision, *scale),
        LogicalType::AnyDecimal => return decimal_type(DECIMAL_MAX.0, DECIMAL_MAX.1),
        LogicalType::Time { fraction } => {
            let fraction = (*fraction).min(6);
            return (fractional("time", fraction), LogicalType::Time { fraction });
        }
        LogicalType::DateTime { fraction } | LogicalType::Instant { fraction } => {
            let fraction = (*fraction).min(6);
            return (fractional("datetime", fraction), LogicalType::DateTime { fraction });
        }
        LogicalType::Text { max_chars, fixed, .. } => return text_type(*max_chars, *fixed),
        LogicalType::Bytes { max_bytes, fixed, .. } => return bytes_type(*max_bytes, *fixed),
        LogicalType::Uuid => return text_type(Some(36), true),
        LogicalType::Float32 => "float",
        LogicalType::Float64 => "double",
        LogicalType::Date => "date",
        LogicalType::Json => "json",
    };
    (native.to_owned(), source.logical.clone())
}

/// `time`, `time(3)`.
fn fractional(word: &str, fraction: u8) -> String {
    if fraction == 0 { word.to_owned() } else { format!("{word}({fraction})") }
}

/// Types that only this family of servers has: kept where both ends are of it.
fn kept_native(source: &Column) -> Option<String> {
    let native = source.native.as_str();
    match &source.logical {
        LogicalType::Int { bits: 8, unsigned: false } if native == "tinyint(1)" => Some(native.to_owned()),
        LogicalType::Int { bits: 16, unsigned: true } if native.starts_with("year") => {
            Some("year".to_owned())
        }
        LogicalType::Int { bits: 64, unsigned: true } => {
            let bits: u8 = native.strip_prefix("bit(")?.strip_suffix(')')?.parse().ok()?;
            Some(format!("bit({bits})"))
        }
        // TIMESTAMP ends in 2038; it is taken only where the source has it too.
        LogicalType::Instant { fraction } if native.starts_with("timestamp") && *fraction <= 6 => {
            Some(if *fraction == 0 { "timestamp".to_owned() } else { format!("timestamp({fraction})") })
        }
        LogicalType::Text { .. } => {
            let word = ["enum", "set"]
                .into_iter()
                .find(|word| native.strip_prefix(word).is_some_and(|r| r.starts_with('(')))?;
            let list: Vec<String> = members(native).map(|m| as_member(&m)).collect();
            (!list.is_empty()).then(|| format!("{word}({})", list.join(",")))
        }
        LogicalType::Bytes { .. } => GEOMETRY.contains(&native).then(|| native.to_owned()),
        LogicalType::Bool
        | LogicalType::Int { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Date
        | LogicalType::Time { .. }
        | LogicalType::DateTime { .. }
        | LogicalType::Instant { .. }
        | LogicalType::Json
        | LogicalType::Uuid => None,
    }
}

/// A member as COLUMN_TYPE spells it, which is a literal too.
fn as_member(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

const fn int_bits(bits: u8) -> u8 {
    match bits {
        0..=8 => 8,
        9..=16 => 16,
        17..=24 => 24,
        25..=32 => 32,
        _ => 64,
    }
}

const fn int_type(bits: u8, unsigned: bool) -> &'static str {
    match (int_bits(bits), unsigned) {
        (8, false) => "tinyint",
        (8, true) => "tinyint unsigned",
        (16, false) => "smallint",
        (16, true) => "smallint unsigned",
        (24, false) => "mediumint",
        (24, true) => "mediumint unsigned",
        (32, false) => "int",
        (32, true) => "int unsigned",
        (_, false) => "bigint",
        (_, true) => "bigint unsigned",
    }
}

fn decimal_type(precision: u16, scale: u16) -> (String, LogicalType) {
    let (precision, scale) = (precision.max(scale).max(1), scale);
    if precision > DECIMAL_MAX.0 || scale > DECIMAL_MAX.1 {
        // More digits than any decimal here has: as text, with room for sign and point.
        return text_type(Some(u64::from(precision) + 3), false);
    }
    (format!("decimal({precision},{scale})"), LogicalType::Decimal { precision, scale })
}

fn text_type(max_chars: Option<u64>, fixed: bool) -> (String, LogicalType) {
    match max_chars {
        Some(n) if fixed && n <= 255 => {
            let n = n.max(1);
            (format!("char({n})"), LogicalType::Text { max_chars: Some(n), fixed: true, long: false })
        }
        Some(n) if n <= VARCHAR_CHARS_MAX => {
            let n = n.max(1);
            (format!("varchar({n})"), LogicalType::Text { max_chars: Some(n), fixed: false, long: false })
        }
        Some(_) | None => {
            ("longtext".to_owned(), LogicalType::Text { max_chars: None, fixed: false, long: true })
        }
    }
}

fn bytes_type(max_bytes: Option<u64>, fixed: bool) -> (String, LogicalType) {
    match max_bytes {
        Some(n) if fixed && n <= 255 => {
            let n = n.max(1);
            (format!("binary({n})"), LogicalType::Bytes { max_bytes: Some(n), fixed: true, long: false })
        }
        Some(n) if n <= VARCHAR_CHARS_MAX => {
            let n = n.max(1);
            (format!("varbinary({n})"), LogicalType::Bytes { max_bytes: Some(n), fixed: false, long: false })
        }
        Some(_) | None => {
            ("longblob".to_owned(), LogicalType::Bytes { max_bytes: None, fixed: false, long: true })
        }
    }
}

/// The members of an ENUM or SET as its COLUMN_TYPE spells them; nothing if the text has another form.
pub(super) fn members(native: &str) -> impl Iterator<Item = String> + '_ {
    let list = native
        .strip_prefix("enum(")
        .or_else(|| native.strip_prefix("set("))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or_default();
    let mut rest = list;
    std::iter::from_fn(move || {
        let (member, after) = member(rest)?;
        rest = after.strip_prefix(',').unwrap_or(after);
        Some(member)
    })
}

/// One quoted member and what follows it.
fn member(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('\'')?;
    let mut member = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if body[at + 1..].starts_with('\'') => {
                member.push('\'');
                chars.next();
            }
            '\'' => return Some((member, &body[at + 1..])),
            '\\' => member.push(match chars.next()?.1 {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                'Z' => '\u{1a}',
                other => other,
            }),
            other => member.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(logical: LogicalType, native: &str) -> Column {
        Column { native: native.to_owned(), ..Column::new("c", logical, true) }
    }

    /// Logical type, native words, and the type that is made.
    const TYPES: &[(LogicalType, &str, &str)] = &[
        (LogicalType::Bool, "boolean", "tinyint(1)"),
        (LogicalType::Int { bits: 24, unsigned: true }, "mediumint unsigned", "mediumint unsigned"),
        (LogicalType::Int { bits: 64, unsigned: true }, "bit(7)", "bit(7)"),
        (LogicalType::Int { bits: 64, unsigned: true }, "bigint(20) unsigned", "bigint unsigned"),
        (LogicalType::Int { bits: 16, unsigned: true }, "year(4)", "year"),
        (LogicalType::Decimal { precision: 65, scale: 30 }, "", "decimal(65,30)"),
        (LogicalType::Decimal { precision: 38, scale: 38 }, "", "varchar(41)"),
        (LogicalType::AnyDecimal, "NUMERIC", "decimal(65,30)"),
        (LogicalType::Float32, "float", "float"),
        (LogicalType::Time { fraction: 9 }, "", "time(6)"),
        (LogicalType::Instant { fraction: 3 }, "timestamp(3)", "timestamp(3)"),
        (LogicalType::Instant { fraction: 3 }, "DATETIME", "datetime(3)"),
        (LogicalType::Text { max_chars: Some(16_384), fixed: false, long: false }, "", "longtext"),
        (LogicalType::Text { max_chars: Some(0), fixed: false, long: false }, "", "varchar(1)"),
        (LogicalType::Text { max_chars: Some(300), fixed: true, long: false }, "", "varchar(300)"),
        (
            LogicalType::Text { max_chars: Some(2), fixed: false, long: false },
            "enum('a','it''s')",
            "enum('a','it''s')",
        ),
        (
            LogicalType::Text { max_chars: Some(2), fixed: false, long: false },
            "enum('a'); DROP TABLE x",
            "varchar(2)",
        ),
        (LogicalType::Bytes { max_bytes: None, fixed: false, long: true }, "point", "point"),
        (LogicalType::Bytes { max_bytes: Some(16), fixed: true, long: false }, "binary(16)", "binary(16)"),
        (LogicalType::Uuid, "uuid", "char(36)"),
    ];

    #[test]
    fn every_source_type_finds_one_that_keeps_it() {
        for (logical, native, wanted) in TYPES {
            let made = column_for(&source(logical.clone(), native));
            assert_eq!(made.native, *wanted, "{logical} {native}");
            assert_eq!(
                type_for(&made),
                (made.native.clone(), made.logical.clone()),
                "again: {logical} {native}"
            );
        }
    }

    #[test]
    fn text_of_a_column_definition_is_never_taken_from_the_source() {
        let evil = source(LogicalType::Int { bits: 64, unsigned: true }, "bit(1) ); DROP TABLE x; --");
        assert_eq!(column_for(&evil).native, "bigint unsigned");
    }

    #[test]
    fn members_are_read_back_as_they_were_written() {
        let read: Vec<String> = members("enum('a','it''s','x'',''y','b\\\\c','')").collect();
        assert_eq!(read, ["a", "it's", "x','y", "b\\c", ""]);
        assert_eq!(members("varchar(3)").count(), 0);
    }
}
