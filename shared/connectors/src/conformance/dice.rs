//! Random values from a seed: the same on every machine, so that a failure can be seen again.

use model::{Date, DateTime, Decimal, LogicalType, Time, Value};
use uuid::Uuid;

const DAY_NANOS: u64 = 86_400_000_000_000;

/// SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A value of the type, or NULL one time in ten.
    pub(super) fn value(&mut self, logical: &LogicalType) -> Value {
        if self.below(10) == 0 {
            return Value::Null;
        }
        match logical {
            LogicalType::Bool => Value::Bool(self.below(2) == 1),
            LogicalType::Int { bits, unsigned } => self.integer(*bits, *unsigned),
            LogicalType::Decimal { precision, scale } => {
                self.decimal(u64::from(*precision), usize::from(*scale))
            }
            LogicalType::AnyDecimal => self.decimal(15, 4),
            LogicalType::Float32 => Value::Float32(f32::from_bits(u32::from_le_bytes(self.bytes_of()))),
            LogicalType::Float64 => Value::Float64(f64::from_bits(self.next())),
            LogicalType::Date => Value::Date(self.date()),
            LogicalType::Time { fraction } => {
                let nanos = self.below(DAY_NANOS) / unit(*fraction) * unit(*fraction);
                let nanos = i64::try_from(nanos).expect("a day fits");
                Value::Time(Time { nanos: if self.below(4) == 0 { -nanos } else { nanos } })
            }
            LogicalType::DateTime { fraction } => Value::DateTime(self.date_time(*fraction)),
            LogicalType::Instant { fraction } => {
                let mut at = self.date_time(*fraction);
                at.date.year = 1_971 + at.date.year % 66;
                Value::Instant(at)
            }
            LogicalType::Text { max_chars, .. } => Value::Text(self.text(max_chars.unwrap_or(60).min(60))),
            LogicalType::Bytes { max_bytes, fixed, .. } => {
                let max = max_bytes.unwrap_or(60).min(60);
                let len = if *fixed { max } else { self.below(max + 1) };
                Value::Bytes((0..len).map(|_| self.byte()).collect())
            }
            LogicalType::Json => Value::Json(self.json()),
            LogicalType::Uuid => Value::Uuid(Uuid::from_u64_pair(self.next(), self.next())),
        }
    }

    fn bytes_of(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        [a, b, c, d]
    }

    fn integer(&mut self, bits: u8, unsigned: bool) -> Value {
        // Few leading bits as often as many, so that small and large numbers are alike frequent.
        let width = 1 + self.below(u64::from(bits));
        let magnitude = self.next() >> (64 - width);
        if unsigned {
            return Value::from_u64(magnitude);
        }
        let half = i64::try_from(magnitude >> 1).expect("one bit was shifted out");
        Value::Int(if self.below(2) == 0 { half } else { !half })
    }

    fn decimal(&mut self, precision: u64, scale: usize) -> Value {
        let len = 1 + self.below(precision);
        let digits: String =
            (0..len).map(|_| char::from(b'0' + u8::try_from(self.below(10)).expect("a digit"))).collect();
        let sign = if self.below(2) == 0 { "-" } else { "" };
        let decimal: Decimal = format!("{sign}{digits}e-{scale}").parse().expect("a decimal");
        Value::Decimal(decimal)
    }

    fn date(&mut self) -> Date {
        let small = |n: u64| u8::try_from(n).expect("below 32");
        let year = i32::try_from(1_000 + self.below(9_000)).expect("a year");
        Date { year, month: small(1 + self.below(12)), day: small(1 + self.below(28)) }
    }

    fn date_time(&mut self, fraction: u8) -> DateTime {
        DateTime { date: self.date(), nanos: self.below(DAY_NANOS) / unit(fraction) * unit(fraction) }
    }

    fn text(&mut self, max_chars: u64) -> String {
        const PIECES: [char; 16] =
            ['a', 'A', 'é', 'ß', ' ', '\'', '"', '\\', '\n', '\r', '\0', '%', '€', '日', '😀', '\u{301}'];
        let len = self.below(max_chars + 1);
        (0..len)
            .map(|_| match self.below(3) {
                0 => char::from_u32(u32::try_from(self.below(0x0011_0000)).expect("a code point"))
                    .unwrap_or('?'),
                1 => char::from(b' ' + u8::try_from(self.below(95)).expect("printable")),
                _ => PIECES[usize::try_from(self.below(16)).expect("an index")],
            })
            .collect()
    }

    fn json(&mut self) -> String {
        let text = serde_json::Value::String(self.text(12).replace('\0', "0"));
        match self.below(5) {
            0 => format!("{{\"b\": [{}, null], \"a\": {text}}}", self.below(1_000)),
            1 => format!("[{text}, true, -{}]", self.below(1 << 53)),
            2 => text.to_string(),
            3 => format!("{{\"n\": {}.{}}}", self.below(1_000), 1 + self.below(99)),
            _ => "{}".to_owned(),
        }
    }
}

/// Nanoseconds of the last of `fraction` digits.
const fn unit(fraction: u8) -> u64 {
    10_u64.pow(9 - fraction as u32)
}
