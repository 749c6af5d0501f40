//! Column types: what the catalog's mean, and which one keeps what a source column holds.
//!
//! No word of a source's catalog is copied into a statement: native types are recognised and written anew.

use model::{Column, LogicalType};

/// Characters of NVARCHAR, in units of UTF-16; bytes of VARCHAR and VARBINARY.
const UNITS_MAX: u64 = 4_000;
const BYTES_MAX: u64 = 8_000;
/// Digits of a DECIMAL.
const DIGITS_MAX: u16 = 38;
/// Digits before and after the point where the source has no limits.
const DECIMAL_MAX: (u16, u16) = (38, 15);
/// Digits of a second.
const FRACTION_MAX: u8 = 7;

const LONG_TEXT: LogicalType = LogicalType::Text { max_chars: None, fixed: false, long: true };
const LONG_BYTES: LogicalType = LogicalType::Bytes { max_bytes: None, fixed: false, long: true };

/// A type as the catalog tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) word: &'a str,
    /// Characters or bytes; `None` where there is no limit.
    pub(super) length: Option<u64>,
    pub(super) precision: u16,
    /// Digits after the point, or of a second.
    pub(super) scale: u16,
}

/// What a type of the catalog means, and how it is written.
pub(super) fn of_catalog(told: Told<'_>) -> (LogicalType, String) {
    let Told { word, length, precision, scale } = told;
    let int = |bits, unsigned| LogicalType::Int { bits, unsigned };
    let fraction = u8::try_from(scale).unwrap_or(FRACTION_MAX).min(FRACTION_MAX);
    let text = |fixed| LogicalType::Text { max_chars: length, fixed, long: length.is_none() };
    let bytes = |fixed| LogicalType::Bytes { max_bytes: length, fixed, long: length.is_none() };
    let logical = match word {
        "bit" => LogicalType::Bool,
        "tinyint" => int(8, true),
        "smallint" => int(16, false),
        "int" => int(32, false),
        "bigint" => int(64, false),
        "decimal" | "numeric" => LogicalType::Decimal { precision, scale },
        "money" => LogicalType::Decimal { precision: 19, scale: 4 },
        "smallmoney" => LogicalType::Decimal { precision: 10, scale: 4 },
        "real" => LogicalType::Float32,
        "float" => LogicalType::Float64,
        "date" => LogicalType::Date,
        "time" => LogicalType::Time { fraction },
        "datetime2" => LogicalType::DateTime { fraction },
        "datetime" => LogicalType::DateTime { fraction: 3 },
        "smalldatetime" => LogicalType::DateTime { fraction: 0 },
        "datetimeoffset" => LogicalType::Instant { fraction },
        "char" | "nchar" => text(true),
        "varchar" | "nvarchar" => text(false),
        "binary" => bytes(true),
        "varbinary" => bytes(false),
        "timestamp" | "rowversion" => LogicalType::Bytes { max_bytes: Some(8), fixed: true, long: false },
        "uniqueidentifier" => LogicalType::Uuid,
        "image" | "geometry" | "geography" | "hierarchyid" => LONG_BYTES,
        // text, ntext, xml, sql_variant; and what comes: the server prints it.
        _ => LONG_TEXT,
    };
    (logical, written(told))
}

fn written(told: Told<'_>) -> String {
    let Told { word, length, precision, scale } = told;
    match word {
        "decimal" | "numeric" => format!("{word}({precision},{scale})"),
        "time" | "datetime2" | "datetimeoffset" => format!("{word}({scale})"),
        "char" | "nchar" | "varchar" | "nvarchar" | "binary" | "varbinary" => {
            length.map_or_else(|| format!("{word}(max)"), |n| format!("{word}({n})"))
        }
        _ => word.to_owned(),
    }
}

/// A type that was made here, in the same words; `None` if it is none of ours.
pub(super) fn anew(native: &str) -> Option<String> {
    const SIZED: [&str; 11] = [
        "decimal",
        "numeric",
        "time",
        "datetime2",
        "datetimeoffset",
        "nvarchar",
        "nchar",
        "varchar",
        "char",
        "varbinary",
        "binary",
    ];
    const PLAIN: [&str; 19] = [
        "bit",
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "real",
        "float",
        "date",
        "uniqueidentifier",
        "money",
        "smallmoney",
        "datetime",
        "smalldatetime",
        "xml",
        "sql_variant",
        "geometry",
        "geography",
        "hierarchyid",
        "timestamp",
    ];
    let Some((word, rest)) = native.split_once('(') else {
        return PLAIN.contains(&native).then(|| native.to_owned());
    };
    let numbers = rest.strip_suffix(')')?;
    let is_size = numbers == "max" || numbers.bytes().all(|b| b.is_ascii_digit() || b == b',');
    (SIZED.contains(&word) && is_size).then(|| format!("{word}({numbers})"))
}

/// The column that is made for `source`; its logical type is what the catalog would say of it.
pub(super) fn column_for(source: &Column) -> Column {
    let (native, logical) = type_for(source);
    let is_text = matches!(logical, LogicalType::Text { .. });
    let is_number = matches!(logical, LogicalType::Int { .. });
    Column {
        name: source.name.clone(),
        collation: source.collation.clone().filter(|name| is_text && is_collation(name)),
        logical,
        native,
        nullable: source.nullable,
        generated: false,
        auto_increment: source.auto_increment && is_number,
    }
}

/// Whether a collation is named as this server names them: no other engine has such names.
pub(super) fn is_collation(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_plain && name.split('_').any(|part| matches!(part, "CI" | "CS" | "BIN" | "BIN2"))
}

pub(super) fn type_for(source: &Column) -> (String, LogicalType) {
    if let Some(kept) = kept(source) {
        return kept;
    }
    let native = match &source.logical {
        LogicalType::Bool => "bit",
        LogicalType::Int { bits, unsigned } => return int_type(*bits, *unsigned),
        LogicalType::Decimal { precision, scale } => return decimal_type(*precision, *scale),
        LogicalType::AnyDecimal => return decimal_type(DECIMAL_MAX.0, DECIMAL_MAX.1),
        LogicalType::Float32 => "real",
        LogicalType::Float64 => "float",
        LogicalType::Date => "date",
        LogicalType::Time { fraction } => {
            let fraction = (*fraction).min(FRACTION_MAX);
            return (format!("time({fraction})"), LogicalType::Time { fraction });
        }
        LogicalType::DateTime { fraction } => {
            let fraction = (*fraction).min(FRACTION_MAX);
            return (format!("datetime2({fraction})"), LogicalType::DateTime { fraction });
        }
        LogicalType::Instant { fraction } => {
            let fraction = (*fraction).min(FRACTION_MAX);
            return (format!("datetimeoffset({fraction})"), LogicalType::Instant { fraction });
        }
        LogicalType::Text { max_chars, fixed, .. } => return text_type(*max_chars, *fixed),
        LogicalType::Bytes { max_bytes, fixed, .. } => return bytes_type(*max_bytes, *fixed),
        LogicalType::Json => return ("nvarchar(max)".to_owned(), LONG_TEXT),
        LogicalType::Uuid => "uniqueidentifier",
    };
    (native.to_owned(), source.logical.clone())
}

/// Types of this server are kept where both ends are of it; text of a code page only with its collation, which tells it
/// from another engine's.
fn kept(source: &Column) -> Option<(String, LogicalType)> {
    const PLAIN: [&str; 9] = [
        "money",
        "smallmoney",
        "datetime",
        "smalldatetime",
        "xml",
        "sql_variant",
        "geometry",
        "geography",
        "hierarchyid",
    ];
    const SIZED: [&str; 4] = ["nvarchar", "nchar", "varchar", "char"];
    let (word, rest) = source.native.split_once('(').unwrap_or((&source.native, ""));
    let length = rest.strip_suffix(')').and_then(|n| n.parse().ok());
    let is_ours = match word {
        _ if PLAIN.contains(&word) => rest.is_empty(),
        _ if SIZED.contains(&word) => source.collation.as_deref().is_some_and(is_collation),
        _ => false,
    };
    let (logical, native) = of_catalog(Told { word, length, precision: 0, scale: 0 });
    (is_ours && logical == source.logical).then_some((native, logical))
}

/// The smallest type that holds all: only TINYINT has no sign.
fn int_type(bits: u8, unsigned: bool) -> (String, LogicalType) {
    if bits <= 8 && unsigned {
        return ("tinyint".to_owned(), LogicalType::Int { bits: 8, unsigned: true });
    }
    let (native, bits) = match bits + u8::from(unsigned) {
        0..=16 => ("smallint", 16),
        17..=32 => ("int", 32),
        33..=64 => ("bigint", 64),
        _ => return decimal_type(20, 0),
    };
    (native.to_owned(), LogicalType::Int { bits, unsigned: false })
}

/// Where the source has more digits than there are here, those before the point come first.
fn decimal_type(precision: u16, scale: u16) -> (String, LogicalType) {
    let precision = precision.max(scale).max(1);
    let before = (precision - scale).min(DIGITS_MAX);
    let (precision, scale) = (precision.min(DIGITS_MAX), scale.min(DIGITS_MAX - before));
    (format!("decimal({precision},{scale})"), LogicalType::Decimal { precision, scale })
}

/// A character may take two units of UTF-16.
fn text_type(max_chars: Option<u64>, fixed: bool) -> (String, LogicalType) {
    match max_chars.map(|n| n.max(1) * 2).filter(|units| *units <= UNITS_MAX) {
        Some(units) => {
            let word = if fixed { "nchar" } else { "nvarchar" };
            (format!("{word}({units})"), LogicalType::Text { max_chars: Some(units), fixed, long: false })
        }
        None => ("nvarchar(max)".to_owned(), LONG_TEXT),
    }
}

fn bytes_type(max_bytes: Option<u64>, fixed: bool) -> (String, LogicalType) {
    match max_bytes.map(|n| n.max(1)).filter(|n| *n <= BYTES_MAX) {
        Some(n) => {
            let word = if fixed { "binary" } else { "varbinary" };
            (format!("{word}({n})"), LogicalType::Bytes { max_bytes: Some(n), fixed, long: false })
        }
        None => ("varbinary(max)".to_owned(), LONG_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(logical: LogicalType, native: &str, collation: Option<&str>) -> Column {
        Column {
            native: native.to_owned(),
            collation: collation.map(ToOwned::to_owned),
            ..Column::new("c", logical, true)
        }
    }

    const fn text(max_chars: u64, fixed: bool) -> LogicalType {
        LogicalType::Text { max_chars: Some(max_chars), fixed, long: false }
    }

    /// Logical type, native words, collation, and the type that is made.
    const TYPES: &[(LogicalType, &str, Option<&str>, &str)] = &[
        (LogicalType::Bool, "boolean", None, "bit"),
        (LogicalType::Int { bits: 8, unsigned: false }, "tinyint", None, "smallint"),
        (LogicalType::Int { bits: 8, unsigned: true }, "tinyint", None, "tinyint"),
        (LogicalType::Int { bits: 32, unsigned: true }, "int unsigned", None, "bigint"),
        (LogicalType::Int { bits: 64, unsigned: true }, "bigint unsigned", None, "decimal(20,0)"),
        (LogicalType::Decimal { precision: 65, scale: 30 }, "", None, "decimal(38,3)"),
        (LogicalType::Decimal { precision: 19, scale: 4 }, "money", None, "money"),
        (LogicalType::Decimal { precision: 19, scale: 2 }, "money", None, "decimal(19,2)"),
        (LogicalType::DateTime { fraction: 9 }, "", None, "datetime2(7)"),
        (LogicalType::DateTime { fraction: 3 }, "datetime", None, "datetime"),
        (LogicalType::DateTime { fraction: 0 }, "datetime", None, "datetime2(0)"),
        (LogicalType::Instant { fraction: 6 }, "timestamp", None, "datetimeoffset(6)"),
        (text(40, false), "varchar(40)", Some("utf8mb4_bin"), "nvarchar(80)"),
        (text(40, false), "varchar(40)", Some("Latin1_General_CI_AS"), "varchar(40)"),
        (text(40, true), "nchar(40)", Some("Latin1_General_100_BIN2"), "nchar(40)"),
        (text(3_000, false), "varchar(3000)", None, "nvarchar(max)"),
        (text(40, false), "nvarchar(40); DROP TABLE x", Some("Latin1_General_CI_AS"), "nvarchar(80)"),
        (LONG_TEXT, "xml", None, "xml"),
        (LogicalType::Json, "json", None, "nvarchar(max)"),
        (LogicalType::Uuid, "uuid", None, "uniqueidentifier"),
    ];

    #[test]
    fn every_source_type_finds_one_that_keeps_it() {
        for (logical, native, collation, wanted) in TYPES {
            let made = column_for(&source(logical.clone(), native, *collation));
            assert_eq!(made.native, *wanted, "{logical} {native}");
        }
    }

    #[test]
    fn what_was_made_is_written_in_the_same_words() {
        for native in ["nvarchar(80)", "nvarchar(max)", "decimal(38,3)", "datetime2(7)", "bit", "money"] {
            assert_eq!(anew(native).as_deref(), Some(native));
        }
        for native in
            ["nvarchar", "int(1)", "nvarchar(80); DROP TABLE x", "nvarchar(1)) x (1)", "interval", ""]
        {
            assert_eq!(anew(native), None, "{native}");
        }
    }

    #[test]
    fn words_of_the_catalog_become_logical_types() {
        let told = |word, length, precision, scale| of_catalog(Told { word, length, precision, scale });
        assert_eq!(told("nvarchar", Some(40), 0, 0), (text(40, false), "nvarchar(40)".to_owned()));
        assert_eq!(told("varchar", None, 0, 0), (LONG_TEXT, "varchar(max)".to_owned()));
        assert_eq!(
            told("numeric", None, 10, 2),
            (LogicalType::Decimal { precision: 10, scale: 2 }, "numeric(10,2)".to_owned())
        );
        assert_eq!(
            told("datetimeoffset", None, 0, 7),
            (LogicalType::Instant { fraction: 7 }, "datetimeoffset(7)".to_owned())
        );
    }
}
