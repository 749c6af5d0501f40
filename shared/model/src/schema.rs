//! What catalogs say: tables, columns, logical types, indexes, foreign keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A database product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Memory,
    Sqlite,
    /// MySQL and MariaDB: one protocol, told apart at connect where they differ.
    Mysql,
    Postgres,
    Mongodb,
    Sqlserver,
}

impl Engine {
    /// Every engine a spec may name.
    pub const NAMES: [&'static str; 5] = ["sqlite", "mysql", "postgres", "mongodb", "sqlserver"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Mongodb => "mongodb",
            Self::Sqlserver => "sqlserver",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A table by name; the schema is absent where the engine has none or the connection implies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableRef {
    pub schema: Option<String>,
    pub name: String,
}

impl TableRef {
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl FromStr for TableRef {
    type Err = std::convert::Infallible;

    /// `schema.table` or `table`; only the first dot separates.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('.') {
            Some((schema, name)) if !schema.is_empty() && !name.is_empty() => {
                Self { schema: Some(schema.to_owned()), name: name.to_owned() }
            }
            _ => Self::named(text),
        })
    }
}

/// What a column's values mean, with the limits that decide whether a value fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogicalType {
    Bool,
    /// Two's complement or unsigned, 8 to 64 bits.
    Int {
        bits: u8,
        unsigned: bool,
    },
    /// Exactly `scale` fraction digits, at most `precision` digits in all.
    Decimal {
        precision: u16,
        scale: u16,
    },
    /// Decimals without declared limits (SQLite's NUMERIC): digits are kept as they are, trailing zeros go.
    AnyDecimal,
    Float32,
    Float64,
    Date,
    /// `fraction` digits after the second.
    Time {
        fraction: u8,
    },
    DateTime {
        fraction: u8,
    },
    Instant {
        fraction: u8,
    },
    /// `max_chars` in characters; `fixed` pads with spaces; `long` values are digested by their own hash.
    Text {
        max_chars: Option<u64>,
        fixed: bool,
        long: bool,
    },
    /// `max_bytes` in bytes; `fixed` pads with zero bytes.
    Bytes {
        max_bytes: Option<u64>,
        fixed: bool,
        long: bool,
    },
    Json,
    Uuid,
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = |max: &Option<u64>| max.map_or_else(String::new, |n| format!("({n})"));
        match self {
            Self::Bool => f.write_str("boolean"),
            Self::Int { bits, unsigned } => write!(f, "{}int{bits}", if *unsigned { "u" } else { "" }),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::AnyDecimal => f.write_str("decimal"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Date => f.write_str("date"),
            Self::Time { fraction } => write!(f, "time({fraction})"),
            Self::DateTime { fraction } => write!(f, "datetime({fraction})"),
            Self::Instant { fraction } => write!(f, "instant({fraction})"),
            Self::Text { max_chars, fixed, .. } => {
                write!(f, "{}{}", if *fixed { "char" } else { "text" }, limit(max_chars))
            }
            Self::Bytes { max_bytes, fixed, .. } => {
                write!(f, "{}{}", if *fixed { "binary" } else { "bytes" }, limit(max_bytes))
            }
            Self::Json => f.write_str("json"),
            Self::Uuid => f.write_str("uuid"),
        }
    }
}

/// Not the name of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a type that columns can have")]
pub struct UnknownType;

impl FromStr for LogicalType {
    type Err = UnknownType;

    /// Reads what [`LogicalType`] prints, such as `int64`, `decimal(12,2)` or `text(40)`; the number of digits of a time
    /// may be left out, which means 6.
    fn from_str(name: &str) -> Result<Self, UnknownType> {
        let (head, limits) = match name.trim().split_once('(') {
            Some((head, rest)) => (head.trim_end(), Some(rest.strip_suffix(')').ok_or(UnknownType)?)),
            None => (name.trim(), None),
        };
        let numbers = limits.unwrap_or_default().split(',').filter(|_| limits.is_some());
        let numbers: Vec<u64> =
            numbers.map(|n| n.trim().parse().map_err(|_| UnknownType)).collect::<Result<_, _>>()?;
        let digits = |n: Option<u64>| n.map_or(Some(6), |n| u8::try_from(n).ok().filter(|n| *n <= 9));
        let width = |max: Option<u64>| max != Some(0);
        let found = match (head, numbers.as_slice()) {
            ("boolean", []) => Self::Bool,
            ("float32", []) => Self::Float32,
            ("float64", []) => Self::Float64,
            ("date", []) => Self::Date,
            ("json", []) => Self::Json,
            ("uuid", []) => Self::Uuid,
            ("decimal", []) => Self::AnyDecimal,
            ("decimal", [precision, scale]) if (1..=65).contains(precision) && scale <= precision => {
                let narrow = |n: &u64| u16::try_from(*n).map_err(|_| UnknownType);
                Self::Decimal { precision: narrow(precision)?, scale: narrow(scale)? }
            }
            ("time", [] | [_]) => {
                Self::Time { fraction: digits(numbers.first().copied()).ok_or(UnknownType)? }
            }
            ("datetime", [] | [_]) => {
                Self::DateTime { fraction: digits(numbers.first().copied()).ok_or(UnknownType)? }
            }
            ("instant", [] | [_]) => {
                Self::Instant { fraction: digits(numbers.first().copied()).ok_or(UnknownType)? }
            }
            ("text" | "char", [] | [_]) if width(numbers.first().copied()) => Self::Text {
                max_chars: numbers.first().copied(),
                fixed: head == "char",
                long: numbers.is_empty(),
            },
            ("bytes" | "binary", [] | [_]) if width(numbers.first().copied()) => Self::Bytes {
                max_bytes: numbers.first().copied(),
                fixed: head == "binary",
                long: numbers.is_empty(),
            },
            (int, []) => {
                let signed = int.strip_prefix('u');
                let bits = signed.unwrap_or(int).strip_prefix("int").ok_or(UnknownType)?;
                let bits = ["8", "16", "24", "32", "64"].contains(&bits).then(|| bits.parse().ok()).flatten();
                Self::Int { bits: bits.ok_or(UnknownType)?, unsigned: signed.is_some() }
            }
            _ => return Err(UnknownType),
        };
        Ok(found)
    }
}

/// A column as its catalog describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub logical: LogicalType,
    /// The engine's own words, for people.
    pub native: String,
    pub nullable: bool,
    pub collation: Option<String>,
    /// Computed by the database: read, but never written.
    pub generated: bool,
    pub auto_increment: bool,
}

impl Column {
    /// A plain column, for engines and tests that build schemas.
    #[must_use]
    pub fn new(name: impl Into<String>, logical: LogicalType, nullable: bool) -> Self {
        let native = logical.to_string();
        Self {
            name: name.into(),
            logical,
            native,
            nullable,
            collation: None,
            generated: false,
            auto_increment: false,
        }
    }
}

/// A secondary index (never the primary key).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub name: String,
    pub columns: Vec<String>,
    pub unique: bool,
}

/// A reference from this table's `columns` to `parent_columns` of `parent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    pub name: String,
    pub columns: Vec<String>,
    pub parent: TableRef,
    pub parent_columns: Vec<String>,
}

/// One table of one database, as it was when looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    pub table: TableRef,
    pub columns: Vec<Column>,
    /// Column names in key order; empty if there is no primary key.
    pub primary_key: Vec<String>,
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    /// The engine's guess, never used for a decision about rows.
    pub row_estimate: Option<u64>,
}

impl TableSchema {
    /// The column of this name; case matters unless no exact match exists.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|c| c.name == name)
            .or_else(|| self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }

    /// The identity of a row: the primary key, else the first unique index without nullable columns.
    #[must_use]
    pub fn key(&self) -> Option<Vec<String>> {
        if !self.primary_key.is_empty() {
            return Some(self.primary_key.clone());
        }
        let whole = |index: &&Index| {
            index.unique
                && index.columns.iter().all(|c| self.column(c).is_some_and(|column| !column.nullable))
        };
        self.indexes.iter().find(whole).map(|index| index.columns.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_printed() {
        let names = [
            "boolean",
            "int8",
            "uint64",
            "decimal(12,2)",
            "decimal",
            "float32",
            "float64",
            "date",
            "time(3)",
            "datetime(0)",
            "instant(6)",
            "text",
            "text(40)",
            "char(2)",
            "bytes",
            "binary(16)",
            "json",
            "uuid",
        ];
        for name in names {
            let read: LogicalType = name.parse().expect(name);
            assert_eq!(read.to_string(), name);
        }
        assert_eq!("datetime".parse(), Ok(LogicalType::DateTime { fraction: 6 }));
        for name in
            ["", "int", "int7", "uuint8", "text(0)", "text(-1)", "decimal(2,3)", "date(1)", "text(4", "x"]
        {
            assert_eq!(name.parse::<LogicalType>(), Err(UnknownType), "{name}");
        }
    }
}
