//! Values as PostgreSQL reads them: its own text forms, in quotes within a statement or escaped within COPY.
//!
//! Every value is text of no declared type: the server reads it as the type of the column that it meets.
//! Safe because every connection has `standard_conforming_strings` on (asserted at connect).

use std::fmt::Write as _;

use model::{Date, DateTime, Value};

/// Appends the literal of `value`.
pub(crate) fn push_literal(sql: &mut String, value: &Value) {
    match value {
        Value::Null => sql.push_str("NULL"),
        Value::Text(text) | Value::Json(text) => push_quoted(sql, text),
        // None of the other forms has a quote or a backslash that means anything.
        Value::Bool(_)
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Decimal(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_)
        | Value::Instant(_)
        | Value::Bytes(_)
        | Value::Uuid(_) => {
            sql.push('\'');
            push_form(sql, value);
            sql.push('\'');
        }
    }
}

/// `'text'`. A NUL, which no text of the server can hold, is left for the server to refuse.
fn push_quoted(sql: &mut String, text: &str) {
    if text.contains('\0') {
        let escaped = text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\x00");
        sql.push_str("E'");
        sql.push_str(&escaped);
    } else {
        sql.push('\'');
        sql.push_str(&text.replace('\'', "''"));
    }
    sql.push('\'');
}

/// Appends a cell as COPY FROM reads it (text format, tabs between cells).
pub(crate) fn push_copy_cell(line: &mut String, value: &Value) {
    match value {
        Value::Null => line.push_str("\\N"),
        Value::Text(text) | Value::Json(text) => push_escaped(line, text),
        Value::Bytes(_) => {
            line.push('\\');
            push_form(line, value);
        }
        Value::Bool(_)
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Decimal(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_)
        | Value::Instant(_)
        | Value::Uuid(_) => push_form(line, value),
    }
}

fn push_escaped(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
        line.push_str(&rest[..at]);
        line.push_str(match rest.as_bytes()[at] {
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            _ => "\\\\",
        });
        rest = &rest[at + 1..];
    }
    line.push_str(rest);
}

/// The value as the server's input functions read it.
fn push_form(out: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(if *b { 't' } else { 'f' }),
        Value::Int(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::UInt(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::Decimal(d) => out.push_str(d.as_str()),
        Value::Float32(v) => push_float(out, *v, f64::from(*v)),
        Value::Float64(v) => push_float(out, *v, *v),
        Value::Date(date) => {
            let before_christ = push_date(out, *date);
            out.push_str(before_christ);
        }
        Value::Time(time) => time.push_text(out, fraction(time.nanos.unsigned_abs())),
        Value::DateTime(moment) => push_moment(out, *moment, ""),
        Value::Instant(moment) => push_moment(out, *moment, "+00"),
        Value::Text(text) | Value::Json(text) => out.push_str(text),
        Value::Bytes(bytes) => {
            out.push_str("\\x");
            out.push_str(&hex::encode(bytes));
        }
        // Writing to a String cannot fail.
        Value::Uuid(uuid) => drop(write!(out, "{uuid}")),
    }
}

/// The shortest text that reads back as these bits, of the width it has.
fn push_float(out: &mut String, value: impl std::fmt::LowerExp, wide: f64) {
    if wide.is_nan() {
        out.push_str("NaN");
    } else if wide.is_infinite() {
        out.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let _ = write!(out, "{value:e}");
    }
}

/// The date, and what is to stand at the very end. The year 0 of ISO 8601 is the year 1 before Christ.
fn push_date(out: &mut String, date: Date) -> &'static str {
    if date.year > 0 {
        date.push_text(out);
        return "";
    }
    Date { year: 1 - date.year, ..date }.push_text(out);
    " BC"
}

fn push_moment(out: &mut String, moment: DateTime, zone: &str) {
    let before_christ = push_date(out, moment.date);
    out.push(' ');
    let clock = DateTime { date: Date { year: 1, month: 1, day: 1 }, nanos: moment.nanos };
    let text = clock.to_text(' ', fraction(moment.nanos));
    out.push_str(&text["0001-01-01 ".len()..]);
    out.push_str(zone);
    out.push_str(before_christ);
}

/// Digits after the second: none, or as many as the server keeps, or all, for it to refuse nothing silently.
const fn fraction(nanos: u64) -> u8 {
    if nanos.is_multiple_of(1_000_000_000) {
        0
    } else if nanos.is_multiple_of(1_000) {
        6
    } else {
        9
    }
}

#[cfg(test)]
mod tests {
    use model::Time;

    use super::*;

    fn literal(value: &Value) -> String {
        let mut sql = String::new();
        push_literal(&mut sql, value);
        sql
    }

    fn cell(value: &Value) -> String {
        let mut line = String::new();
        push_copy_cell(&mut line, value);
        line
    }

    #[test]
    fn text_cannot_leave_its_place() {
        let evil = Value::Text("a'b\\\"\n\t\r\\.é😀".to_owned());
        assert_eq!(literal(&evil), "'a''b\\\"\n\t\r\\.é😀'");
        assert_eq!(cell(&evil), "a'b\\\\\"\\n\\t\\r\\\\.é😀");
        assert_eq!(literal(&Value::Text("a\0'\\".to_owned())), "E'a\\x00''\\\\'");
        assert_eq!(cell(&Value::Text("\\N".to_owned())), "\\\\N");
        assert_eq!((literal(&Value::Null).as_str(), cell(&Value::Null).as_str()), ("NULL", "\\N"));
    }

    #[test]
    fn every_form_is_the_servers_own() {
        let date = |year| Date { year, month: 3, day: 15 };
        let noon = |year| DateTime { date: date(year), nanos: 43_200_000_001_000 };
        for (value, form) in [
            (Value::Bool(true), "t"),
            (Value::UInt(u64::MAX), "18446744073709551615"),
            (Value::Float32(0.1), "1e-1"),
            (Value::Float64(5e-324), "5e-324"),
            (Value::Float64(-0.0), "-0e0"),
            (Value::Float64(f64::NEG_INFINITY), "-Infinity"),
            (Value::Float32(f32::NAN), "NaN"),
            (Value::Date(date(2024)), "2024-03-15"),
            (Value::Date(date(0)), "0001-03-15 BC"),
            (Value::DateTime(noon(-43)), "0044-03-15 12:00:00.000001 BC"),
            (Value::Instant(noon(2024)), "2024-03-15 12:00:00.000001+00"),
            (Value::Time(Time { nanos: 86_400_000_000_000 }), "24:00:00"),
            (Value::Uuid(uuid::Uuid::from_u128(1)), "00000000-0000-0000-0000-000000000001"),
        ] {
            assert_eq!(literal(&value), format!("'{form}'"));
            assert_eq!(cell(&value), form);
        }
        assert_eq!(literal(&Value::Bytes(vec![0, 255])), "'\\x00ff'");
        assert_eq!(cell(&Value::Bytes(vec![0, 255])), "\\\\x00ff");
    }
}
