//! The value matrix: what each type must hold, and what may be refused but never bent.

use model::{Date, DateTime, LogicalType, Time, Value};
use uuid::Uuid;

use super::bench::{bytes, text};

/// A type with values that every engine takes and odd ones that it may refuse.
pub(super) struct Cell {
    pub(super) logical: LogicalType,
    pub(super) plain: Vec<Value>,
    pub(super) odd: Vec<Value>,
}

fn cell(logical: LogicalType, plain: Vec<Value>, odd: Vec<Value>) -> Cell {
    Cell { logical, plain, odd }
}

fn decimals(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::Decimal(t.parse().expect("a decimal"))).collect()
}

fn dates(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::Date(Date::parse(t).expect("a date"))).collect()
}

fn times(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::Time(Time::parse(t).expect("a time"))).collect()
}

fn date_times(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::DateTime(DateTime::parse(t).expect("a date-time"))).collect()
}

fn instants_at(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::Instant(DateTime::parse(t).expect("an instant"))).collect()
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::Text((*t).to_owned())).collect()
}

fn documents(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|t| Value::Json((*t).to_owned())).collect()
}

pub(super) fn integers() -> Vec<Cell> {
    let mut cells = vec![cell(LogicalType::Bool, vec![Value::Bool(false), Value::Bool(true)], vec![])];
    for bits in [8_u8, 16, 24, 32, 64] {
        let high = i64::MAX >> (64 - bits);
        let signed = [!high, -1, 0, 1, high].map(Value::Int).to_vec();
        let too_big = if bits == 64 { Value::UInt(u64::MAX) } else { Value::Int(high + 1) };
        cells.push(cell(LogicalType::Int { bits, unsigned: false }, signed, vec![too_big]));
        let top = u64::MAX >> (64 - bits);
        let unsigned = [0, 1, top / 2, top / 2 + 1, top].map(Value::from_u64).to_vec();
        cells.push(cell(LogicalType::Int { bits, unsigned: true }, unsigned, vec![Value::Int(-1)]));
    }
    cells
}

pub(super) fn decimals_all() -> Vec<Cell> {
    let wide = format!("-{}.{}", "9".repeat(35), "9".repeat(30));
    vec![
        cell(
            LogicalType::Decimal { precision: 10, scale: 2 },
            decimals(&["0", "0.01", "-0.01", "99999999.99", "-99999999.99", "12.50"]),
            decimals(&["100000000", "0.001", "-100000000.00"]),
        ),
        cell(
            LogicalType::Decimal { precision: 18, scale: 0 },
            decimals(&["999999999999999999", "-1", "0"]),
            vec![],
        ),
        cell(
            LogicalType::Decimal { precision: 38, scale: 10 },
            decimals(&["1234567890123456789012345678.0123456789", "-0.0000000001"]),
            vec![],
        ),
        cell(
            LogicalType::Decimal { precision: 65, scale: 30 },
            decimals(&["1e-30", "-1e-30", &wide]),
            vec![],
        ),
        cell(LogicalType::Decimal { precision: 38, scale: 38 }, decimals(&["1e-38"]), decimals(&["1"])),
        cell(
            LogicalType::AnyDecimal,
            decimals(&["0", "1.5", "-12345.678", "1000000"]),
            decimals(&["1e-30", "123456789012345678901234567890", "0.1234567890123456789", "1e60", "-1e-60"]),
        ),
    ]
}

pub(super) fn floats() -> Vec<Cell> {
    let tiny = f64::from_bits(1);
    let tiny32 = f32::from_bits(1);
    vec![
        cell(
            LogicalType::Float64,
            [0.0, 1.5, -1.5, 0.1, 1.0 / 3.0, 9_007_199_254_740_993.0, f64::MAX, f64::MIN, 1e300, 1e-300]
                .map(Value::Float64)
                .to_vec(),
            [
                -0.0,
                tiny,
                -tiny,
                f64::MIN_POSITIVE,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                9.223_372_036_854_776e18,
            ]
            .map(Value::Float64)
            .to_vec(),
        ),
        cell(
            LogicalType::Float32,
            [0.0, 1.5, 0.1, 16_777_215.0, 12_345_679.0, 1.0 / 3.0, 1e-30].map(Value::Float32).to_vec(),
            [-0.0, f32::MAX, f32::MIN, tiny32, f32::MIN_POSITIVE, f32::NAN, f32::INFINITY]
                .map(Value::Float32)
                .to_vec(),
        ),
    ]
}

pub(super) fn dates_all() -> Vec<Cell> {
    let plain = dates(&["1970-01-01", "2024-02-29", "9999-12-31", "1000-01-01", "1582-10-15"]);
    let odd = dates(&[
        "0000-00-00",
        "2024-00-15",
        "2024-01-00",
        "0001-01-01",
        "0000-01-01",
        "2023-02-29",
        "-0044-03-15",
    ]);
    vec![cell(LogicalType::Date, plain, odd)]
}

pub(super) fn times_all() -> Vec<Cell> {
    let mut cells: Vec<Cell> = [0_u8, 3, 6]
        .into_iter()
        .map(|fraction| {
            let whole = times(&["00:00:00", "23:59:59", "12:34:56"]);
            let odd = times(&[
                "-00:00:01",
                "24:00:00",
                "838:59:59",
                "-838:59:59",
                "839:00:00",
                "-838:59:59.999999",
            ]);
            cell(LogicalType::Time { fraction }, whole, odd)
        })
        .collect();
    cells[1].plain.extend(times(&["00:00:00.001", "23:59:59.999"]));
    cells[2].plain.extend(times(&["00:00:00.000001", "23:59:59.999999"]));
    cells[2].odd.extend(times(&["838:59:59.999999", "-00:00:00.000001", "00:00:00.0000001"]));
    cells
}

pub(super) fn date_times_all() -> Vec<Cell> {
    let odd = date_times(&[
        "0000-00-00 00:00:00",
        "2024-00-15 01:02:03",
        "0001-01-01 00:00:00",
        "2023-02-29 00:00:00",
    ]);
    let mut cells: Vec<Cell> = [0_u8, 3, 6, 9]
        .into_iter()
        .map(|fraction| {
            let plain = date_times(&["1970-01-01 00:00:00", "2024-02-29 12:34:56", "9999-12-31 23:59:59"]);
            cell(LogicalType::DateTime { fraction }, plain, odd.clone())
        })
        .collect();
    // In a zone with summer time these two do not exist, or exist twice.
    cells[0].plain.extend(date_times(&["2024-03-31 02:30:00", "2024-10-27 02:30:00"]));
    cells[1].plain.extend(date_times(&["2024-02-29 12:34:56.789", "1969-12-31 23:59:59.999"]));
    cells[2].plain.extend(date_times(&["2024-02-29 12:34:56.000001", "9999-12-31 23:59:59.999999"]));
    cells[2].odd.extend(date_times(&["2024-02-29 12:34:56.0000001"]));
    cells[3].odd.extend(date_times(&["2024-02-29 12:34:56.123456789"]));
    cells
}

pub(super) fn instants_all() -> Vec<Cell> {
    let plain = instants_at(&[
        "1970-01-01 00:00:01",
        "2024-03-31 01:30:00",
        "2024-10-27 01:30:00",
        "2038-01-19 03:14:07",
    ]);
    let odd = instants_at(&[
        "1970-01-01 00:00:00",
        "1969-12-31 23:59:59",
        "2038-01-19 03:14:07.999999",
        "2038-01-19 03:14:08",
        "2106-02-07 06:28:16",
        "9999-12-31 23:59:59",
        "0000-00-00 00:00:00",
    ]);
    let fine = LogicalType::Instant { fraction: 6 };
    vec![
        cell(LogicalType::Instant { fraction: 0 }, plain, odd.clone()),
        cell(fine, instants_at(&["2024-01-02 03:04:05.678901", "2001-09-09 01:46:40.000001"]), odd),
    ]
}

pub(super) fn text_all() -> Vec<Cell> {
    let plain = texts(&[
        "",
        "a",
        " leading and trailing  ",
        "   ",
        "tab\tand\r\nCR LF\nLF\rCR",
        "quote ' double \" back \\ tick ` percent % under _",
        "\\' OR 1=1 -- ",
        "'); DROP TABLE x; --",
        "NULL",
        "😀 four bytes 𝕏",
        "combining e\u{301} and é precomposed",
        "ß ẞ ı İ ﬁ 日本語 \u{200b}\u{feff}",
        "\u{1a} \u{7f} \u{1}",
        "\u{fffd}\u{ffff}\u{10ffff}",
        "0",
        "1e5",
        "0x41",
    ]);
    let odd = texts(&["\0", "a\0b", "trailing nul\0"]);
    let long = LogicalType::Text { max_chars: None, fixed: false, long: true };
    let four = LogicalType::Text { max_chars: Some(4), fixed: false, long: false };
    vec![
        cell(text(200), plain.clone(), odd.clone()),
        cell(long, plain, odd),
        cell(four, texts(&["", "😀😀😀😀", "ab  "]), texts(&["abcde", "abcd "])),
    ]
}

pub(super) fn fixed_text_all() -> Vec<Cell> {
    let fixed = LogicalType::Text { max_chars: Some(8), fixed: true, long: false };
    vec![cell(
        fixed,
        texts(&["", "abc", "abc   ", "  abc", "12345678", "日本語"]),
        texts(&["123456789", "a\0", "\t "]),
    )]
}

pub(super) fn binary_all() -> Vec<Cell> {
    let all: Vec<u8> = (0..=255).collect();
    let of = |values: &[&[u8]]| values.iter().map(|b| Value::Bytes(b.to_vec())).collect::<Vec<_>>();
    let plain = of(&[b"", b"\0", b"\0\0", &all, b"abc  ", b"it's \\", &[0xff; 300], &[0xc3, 0x28]]);
    let long = LogicalType::Bytes { max_bytes: None, fixed: false, long: true };
    let fixed = LogicalType::Bytes { max_bytes: Some(4), fixed: true, long: false };
    vec![
        cell(bytes(300), plain.clone(), of(&[&[7; 301]])),
        cell(long, plain, vec![]),
        cell(fixed, of(&[&[0; 4], &[1, 2, 3, 0], &[32; 4], &[255; 4]]), of(&[b"", b"abc", b"abcde"])),
    ]
}

pub(super) fn json_all() -> Vec<Cell> {
    let deep = format!("{}1{}", "[".repeat(20), "]".repeat(20));
    // MariaDB takes no more than 32 levels.
    let deeper = format!("{}1{}", "[".repeat(90), "]".repeat(90));
    let plain = documents(&[
        "{}",
        "[]",
        "null",
        "true",
        "\"text\"",
        "{\"b\": 1, \"a\": [1, 2.5, null, {\"x\": \"é😀\"}]}",
        "{\"\": 1, \"a b\": 2, \"quote\\\"\": \"back\\\\slash\\n\"}",
        "[-9223372036854775808, 9223372036854775807]",
        "[0.1, 1e100, -2.5E-3]",
        &deep,
    ]);
    let odd = documents(&[
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0.12345678901234567890123456789",
        "1e400",
        &deeper,
        "-0",
        "-0.0",
        "{\"a\": 1, \"a\": 2}",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "{",
        "",
    ]);
    vec![cell(LogicalType::Json, plain, odd)]
}

pub(super) fn uuids_all() -> Vec<Cell> {
    let some = [0, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, 1];
    vec![cell(LogicalType::Uuid, some.map(|n| Value::Uuid(Uuid::from_u128(n))).to_vec(), vec![])]
}

/// One column of every type, for random rows.
pub(super) fn every_type() -> Vec<LogicalType> {
    let cells = [
        integers(),
        decimals_all(),
        floats(),
        dates_all(),
        times_all(),
        date_times_all(),
        instants_all(),
        text_all(),
        fixed_text_all(),
        binary_all(),
        json_all(),
        uuids_all(),
    ];
    cells.into_iter().flatten().map(|c| c.logical).collect()
}
