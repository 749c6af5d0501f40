//! Column types: which BSON type keeps what a source column holds.

use bson::{Bson, bson};
use model::{Column, LogicalType};

use super::codec::native;

/// Digits of a Decimal128.
const DIGITS_MAX: u16 = 34;
/// Digits of a second that a BSON date has.
const FRACTION_MAX: u8 = 3;
/// Characters of an ObjectId in hexadecimal.
pub(super) const OBJECT_ID: LogicalType =
    LogicalType::Text { max_chars: Some(24), fixed: false, long: false };

/// The field that is made for `source`.
pub(super) fn column_for(source: &Column) -> Column {
    let (native, logical) = type_for(source);
    Column { native: native.to_owned(), ..Column::new(source.name.clone(), logical, source.nullable) }
}

fn type_for(source: &Column) -> (&'static str, LogicalType) {
    let native = match &source.logical {
        LogicalType::Bool => native::BOOL,
        LogicalType::Int { bits, unsigned } => int_type(*bits, *unsigned),
        LogicalType::Decimal { precision, .. } if *precision > DIGITS_MAX => native::STRING,
        LogicalType::Decimal { .. } | LogicalType::AnyDecimal => native::DECIMAL,
        LogicalType::Float32 | LogicalType::Float64 => native::DOUBLE,
        LogicalType::Date => native::DATE,
        LogicalType::DateTime { fraction } => {
            return (native::DATE, LogicalType::DateTime { fraction: (*fraction).min(FRACTION_MAX) });
        }
        LogicalType::Instant { fraction } => {
            return (native::DATE, LogicalType::Instant { fraction: (*fraction).min(FRACTION_MAX) });
        }
        LogicalType::Text { .. } if source.native == native::OBJECT_ID && source.logical == OBJECT_ID => {
            native::OBJECT_ID
        }
        // BSON has no time of day.
        LogicalType::Time { .. } | LogicalType::Text { .. } => native::STRING,
        LogicalType::Bytes { .. } => native::BINARY,
        LogicalType::Json => native::ANY,
        LogicalType::Uuid => native::UUID,
    };
    (native, source.logical.clone())
}

const fn int_type(bits: u8, unsigned: bool) -> &'static str {
    match (bits, unsigned) {
        (64, true) => native::LONG_OR_DECIMAL,
        (0..=31, _) | (32, false) => native::INT,
        _ => native::LONG,
    }
}

/// What a validator lets stand in a field: the type it is written as, and those that mean the same.
pub(super) fn bson_types(column: &Column) -> Option<Vec<Bson>> {
    let mut types: Vec<Bson> = match column.native.as_str() {
        native::INT | native::LONG => vec![bson!("int"), bson!("long")],
        native::LONG_OR_DECIMAL | native::DECIMAL => vec![bson!("int"), bson!("long"), bson!("decimal")],
        native::DOUBLE => vec![bson!("number")],
        native::UUID => vec![bson!(native::BINARY)],
        native::ANY => return None,
        other => vec![bson!(other)],
    };
    if column.nullable {
        types.push(bson!("null"));
    }
    Some(types)
}

/// Whether a table may be cut by this column: its values are of one type that servers order as they compare it. They
/// disagree about binaries of several lengths.
pub(super) const fn can_be_cut(column: &Column) -> bool {
    !matches!(
        column.logical,
        LogicalType::Json
            | LogicalType::Float32
            | LogicalType::Float64
            | LogicalType::Bytes { fixed: false, .. }
    )
}

/// The column that fields of this BSON type become; `None` if there is none but [`native::ANY`].
pub(super) fn column_of(name: &str, bson_type: &str) -> Column {
    let (native, logical) = match bson_type {
        "bool" => (native::BOOL, LogicalType::Bool),
        "int" => (native::INT, LogicalType::Int { bits: 32, unsigned: false }),
        "long" => (native::LONG, LogicalType::Int { bits: 64, unsigned: false }),
        "decimal" => (native::DECIMAL, LogicalType::AnyDecimal),
        "double" => (native::DOUBLE, LogicalType::Float64),
        "date" => (native::DATE, LogicalType::Instant { fraction: FRACTION_MAX }),
        "string" => (native::STRING, LogicalType::Text { max_chars: None, fixed: false, long: true }),
        "uuid" => (native::UUID, LogicalType::Uuid),
        "binData" => (native::BINARY, LogicalType::Bytes { max_bytes: None, fixed: false, long: true }),
        "objectId" => (native::OBJECT_ID, OBJECT_ID),
        _ => (native::ANY, LogicalType::Json),
    };
    Column { native: native.to_owned(), ..Column::new(name, logical, true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_a_field_that_keeps_it() {
        let int = |bits, unsigned| LogicalType::Int { bits, unsigned };
        let decimal = |precision| LogicalType::Decimal { precision, scale: 2 };
        for (logical, native) in [
            (int(8, true), "int"),
            (int(24, true), "int"),
            (int(32, false), "int"),
            (int(32, true), "long"),
            (int(64, true), "long, decimal"),
            (decimal(34), "decimal"),
            (decimal(35), "string"),
            (LogicalType::Time { fraction: 6 }, "string"),
            (LogicalType::Json, "any"),
        ] {
            let made = column_for(&Column::new("c", logical.clone(), false));
            assert_eq!((made.native.as_str(), &made.logical), (native, &logical));
            assert_eq!(column_for(&made), made, "made again as it is");
        }
        let fine = column_for(&Column::new("c", LogicalType::Instant { fraction: 6 }, true));
        assert_eq!(fine.logical, LogicalType::Instant { fraction: 3 });
        let id = column_of("_id", "objectId");
        assert_eq!(column_for(&id).native, "objectId");
    }
}
