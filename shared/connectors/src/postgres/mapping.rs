//! Column types: which one keeps what a source column holds.
//!
//! No word of a source's catalog is copied into a statement: native types are made of words that are listed here, and of
//! numbers.

use model::{Column, LogicalType};

/// Longest VARCHAR and CHAR.
const CHARS_MAX: u64 = 10_485_760;
/// Digits of a NUMERIC that declares them.
const DIGITS_MAX: u16 = 1_000;

/// The column that is made for `source`; its logical type is what the catalog would say of it.
pub(super) fn column_for(source: &Column) -> Column {
    let (native, logical) = type_for(source);
    let is_text = matches!(logical, LogicalType::Text { .. });
    let is_int = matches!(logical, LogicalType::Int { .. });
    Column {
        name: source.name.clone(),
        collation: source.collation.clone().filter(|_| is_text && can_collate(&native)),
        logical,
        native,
        nullable: source.nullable,
        generated: false,
        auto_increment: source.auto_increment && is_int,
    }
}

fn can_collate(native: &str) -> bool {
    native == "text" || native.starts_with("character")
}

pub(super) fn type_for(source: &Column) -> (String, LogicalType) {
    if is_kept(source) {
        return (source.native.clone(), source.logical.clone());
    }
    let native = match &source.logical {
        LogicalType::Bool => "boolean",
        LogicalType::Int { bits, unsigned } => return int_type(*bits, *unsigned),
        LogicalType::Decimal { precision, scale } => return decimal_type(*precision, *scale),
        LogicalType::AnyDecimal => "numeric",
        LogicalType::Float32 => "real",
        LogicalType::Float64 => "double precision",
        LogicalType::Date => "date",
        LogicalType::Time { fraction } => {
            let fraction = (*fraction).min(6);
            return (format!("time({fraction}) without time zone"), LogicalType::Time { fraction });
        }
        LogicalType::DateTime { fraction } => {
            let fraction = (*fraction).min(6);
            return (format!("timestamp({fraction}) without time zone"), LogicalType::DateTime { fraction });
        }
        LogicalType::Instant { fraction } => {
            let fraction = (*fraction).min(6);
            return (format!("timestamp({fraction}) with time zone"), LogicalType::Instant { fraction });
        }
        LogicalType::Text { max_chars, fixed, .. } => return text_type(*max_chars, *fixed),
        LogicalType::Bytes { .. } => {
            return ("bytea".to_owned(), LogicalType::Bytes { max_bytes: None, fixed: false, long: true });
        }
        LogicalType::Json => "jsonb",
        LogicalType::Uuid => "uuid",
    };
    (native.to_owned(), source.logical.clone())
}

/// The smallest type that holds all: there are none without a sign.
fn int_type(bits: u8, unsigned: bool) -> (String, LogicalType) {
    let (native, bits) = match bits + u8::from(unsigned) {
        0..=16 => ("smallint", 16),
        17..=32 => ("integer", 32),
        33..=64 => ("bigint", 64),
        _ => return decimal_type(20, 0),
    };
    (native.to_owned(), LogicalType::Int { bits, unsigned: false })
}

fn decimal_type(precision: u16, scale: u16) -> (String, LogicalType) {
    let precision = precision.max(scale).max(1);
    if precision > DIGITS_MAX {
        return ("numeric".to_owned(), LogicalType::AnyDecimal);
    }
    (format!("numeric({precision},{scale})"), LogicalType::Decimal { precision, scale })
}

fn text_type(max_chars: Option<u64>, fixed: bool) -> (String, LogicalType) {
    match max_chars {
        Some(n) if n <= CHARS_MAX => {
            let n = n.max(1);
            let word = if fixed { "character" } else { "character varying" };
            (format!("{word}({n})"), LogicalType::Text { max_chars: Some(n), fixed, long: false })
        }
        Some(_) | None => {
            ("text".to_owned(), LogicalType::Text { max_chars: None, fixed: false, long: true })
        }
    }
}

/// Types that only this server has: kept where both ends are of it.
const OWN: [&str; 33] = [
    "interval",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "xml",
    "tsvector",
    "tsquery",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "bit",
    "bit varying",
    "time with time zone",
    "pg_lsn",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "jsonpath",
    "name",
];
/// Types that arrays are made of beside those.
const ELEMENTS: [&str; 17] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "text",
    "character",
    "character varying",
    "uuid",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "bytea",
    "jsonb",
];

fn is_kept(source: &Column) -> bool {
    match &source.logical {
        // MySQL's word for what JSONB is here: its documents have lost their spelling already, and lose nothing.
        LogicalType::Json => source.native == "json",
        LogicalType::Text { .. } => {
            let (element, is_array) = match source.native.strip_suffix("[]") {
                Some(element) => (element, true),
                None => (source.native.as_str(), false),
            };
            let Some(words) = without_numbers(element) else { return false };
            OWN.contains(&words.as_str()) || is_array && ELEMENTS.contains(&words.as_str())
        }
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
        | LogicalType::Bytes { .. }
        | LogicalType::Uuid => false,
    }
}

/// The words of a type without its one pair of brackets, in which only digits and commas stand.
fn without_numbers(native: &str) -> Option<String> {
    let Some((before, rest)) = native.split_once('(') else { return Some(native.to_owned()) };
    let (numbers, after) = rest.split_once(')')?;
    numbers.bytes().all(|b| b.is_ascii_digit() || b == b',').then(|| format!("{before}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(logical: LogicalType, native: &str) -> Column {
        Column { native: native.to_owned(), ..Column::new("c", logical, true) }
    }

    const TEXT: LogicalType = LogicalType::Text { max_chars: None, fixed: false, long: true };

    /// Logical type, native words, and the type that is made.
    const TYPES: &[(LogicalType, &str, &str)] = &[
        (LogicalType::Bool, "boolean", "boolean"),
        (LogicalType::Int { bits: 8, unsigned: false }, "tinyint", "smallint"),
        (LogicalType::Int { bits: 16, unsigned: true }, "smallint unsigned", "integer"),
        (LogicalType::Int { bits: 32, unsigned: true }, "int unsigned", "bigint"),
        (LogicalType::Int { bits: 64, unsigned: true }, "bigint unsigned", "numeric(20,0)"),
        (LogicalType::Decimal { precision: 65, scale: 30 }, "", "numeric(65,30)"),
        (LogicalType::AnyDecimal, "NUMERIC", "numeric"),
        (LogicalType::DateTime { fraction: 9 }, "", "timestamp(6) without time zone"),
        (LogicalType::Instant { fraction: 3 }, "timestamp(3)", "timestamp(3) with time zone"),
        (LogicalType::Text { max_chars: Some(9), fixed: true, long: false }, "char(9)", "character(9)"),
        (LogicalType::Text { max_chars: Some(9), fixed: false, long: false }, "mood", "character varying(9)"),
        (LogicalType::Bytes { max_bytes: Some(16), fixed: true, long: false }, "binary(16)", "bytea"),
        (LogicalType::Json, "json", "json"),
        (LogicalType::Json, "jsonb", "jsonb"),
        (TEXT, "longtext", "text"),
        (TEXT, "inet", "inet"),
        (TEXT, "numeric(10,2)[]", "numeric(10,2)[]"),
        (TEXT, "timestamp(3) with time zone[]", "timestamp(3) with time zone[]"),
        (TEXT, "bit varying(5)", "bit varying(5)"),
        (TEXT, "inet); DROP TABLE x; --", "text"),
        (TEXT, "integer[](1); DROP", "text"),
        (TEXT, "bit(1); DROP TABLE x; --)", "text"),
    ];

    #[test]
    fn every_source_type_finds_one_that_keeps_it() {
        for (logical, native, wanted) in TYPES {
            let made = column_for(&source(logical.clone(), native));
            assert_eq!(made.native, *wanted, "{logical} {native}");
            assert_eq!(type_for(&made), (made.native.clone(), made.logical.clone()), "again: {native}");
        }
    }
}
