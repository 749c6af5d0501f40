//! Column pairs: which source column goes where, as what, and what may not survive.

use model::{Column, ColumnPlan, Engine, LogicalType};

/// Pairs a source column with its target column.
pub(crate) fn pair(source: &Column, target: Column, engines: (Engine, Engine)) -> ColumnPlan {
    let canonical = canonical(&source.logical, &target.logical);
    let loss = cut(&source.logical, &target.logical, engines.1)
        .or_else(|| loss(&source.logical, &target.logical))
        .or_else(|| engine_loss(source, engines));
    ColumnPlan { source: source.clone(), target, canonical, loss, rule: None }
}

/// What a column is known to lose of values that come over all the same.
fn cut(source: &LogicalType, target: &LogicalType, engine: Engine) -> Option<String> {
    use LogicalType as T;
    let (T::DateTime { fraction: a } | T::Instant { fraction: a }) = source else { return None };
    let (T::DateTime { fraction: b } | T::Instant { fraction: b }) = target else { return None };
    let why = "a date of MongoDB has milliseconds: finer fractions are cut, and do not fit in a key";
    (engine == Engine::Mongodb && a > b).then(|| why.to_owned())
}

/// The type both sides are digested as: the target's; text is fixed or long if either side is.
fn canonical(source: &LogicalType, target: &LogicalType) -> LogicalType {
    match (source, target) {
        (LogicalType::Text { fixed: a, long: c, .. }, LogicalType::Text { max_chars, fixed: b, long: d }) => {
            LogicalType::Text { max_chars: *max_chars, fixed: *a || *b, long: *c || *d }
        }
        (LogicalType::Bytes { long: c, .. }, LogicalType::Bytes { max_bytes, fixed, long: d }) => {
            LogicalType::Bytes { max_bytes: *max_bytes, fixed: *fixed, long: *c || *d }
        }
        _ => target.clone(),
    }
}

/// What some values of `source` lose in `target`, in words; `None` if every value fits exactly. Values that do not
/// fit are quarantined one by one.
#[must_use]
pub fn loss(source: &LogicalType, target: &LogicalType) -> Option<String> {
    use LogicalType as T;
    match (source, target) {
        _ if source == target => None,
        (
            T::Int { .. } | T::Decimal { .. } | T::AnyDecimal,
            T::Int { .. } | T::Decimal { .. } | T::AnyDecimal,
        ) => number_loss(source, target),
        (
            T::Bool,
            T::Int { .. } | T::Text { .. } | T::Decimal { .. } | T::AnyDecimal | T::Float64 | T::Float32,
        )
        | (T::Int { .. }, T::Text { max_chars: None, .. })
        | (T::Float32, T::Float64)
        | (T::Date, T::DateTime { .. })
        | (T::Uuid | T::Json, T::Text { .. }) => None,
        (T::Time { fraction: a }, T::Time { fraction: b })
        | (T::DateTime { fraction: a }, T::DateTime { fraction: b })
        | (T::Instant { fraction: a }, T::Instant { fraction: b }) => {
            (a > b).then(|| format!("fractions of a second beyond {b} digits do not fit"))
        }
        (T::Text { max_chars: a, .. }, T::Text { max_chars: b, .. }) => longer(*a, *b, "characters"),
        (T::Bytes { fixed: false, .. }, T::Bytes { fixed: true, .. }) => {
            Some(format!("values shorter than {target} would be padded and do not fit"))
        }
        (T::Bytes { max_bytes: a, .. }, T::Bytes { max_bytes: b, .. }) => longer(*a, *b, "bytes"),
        (T::DateTime { .. }, T::Instant { .. }) => Some("zone-less times are taken as UTC".to_owned()),
        (T::Instant { .. }, T::DateTime { .. }) => {
            Some("instants are kept as UTC without their zone".to_owned())
        }
        _ => Some(format!("{source} becomes {target}; values that cannot be kept exactly do not fit")),
    }
}

fn number_loss(source: &LogicalType, target: &LogicalType) -> Option<String> {
    use LogicalType as T;
    let fits = match (source, target) {
        (_, T::AnyDecimal) => true,
        (T::Int { bits: a, unsigned: u }, T::Int { bits: b, unsigned: v }) => {
            if u == v {
                a <= b
            } else {
                *u && a < b
            }
        }
        (T::Int { bits, .. }, T::Decimal { precision, scale }) => {
            let digits = match bits {
                8 => 3,
                16 => 5,
                24 => 8,
                32 => 10,
                _ => 20,
            };
            precision.saturating_sub(*scale) >= digits
        }
        (T::Decimal { precision: p, scale: s }, T::Decimal { precision: q, scale: t }) => {
            p.saturating_sub(*s) <= q.saturating_sub(*t) && s <= t
        }
        _ => false,
    };
    (!fits).then(|| format!("numbers beyond {target} do not fit"))
}

fn longer(source: Option<u64>, target: Option<u64>, unit: &str) -> Option<String> {
    match (source, target) {
        (_, None) => None,
        (Some(a), Some(b)) if a <= b => None,
        (_, Some(b)) => Some(format!("values longer than {b} {unit} do not fit")),
    }
}

/// What an engine itself cannot hold, whatever the type says.
fn engine_loss(source: &Column, engines: (Engine, Engine)) -> Option<String> {
    use LogicalType as T;
    let loss = match (engines, &source.logical) {
        ((Engine::Sqlite, Engine::Mysql | Engine::Sqlserver), T::Float32 | T::Float64) => {
            "infinities do not fit"
        }
        (
            (Engine::Postgres | Engine::Mongodb, Engine::Mysql | Engine::Sqlserver),
            T::Float32 | T::Float64,
        ) => "NaN and infinities do not fit",
        (
            (Engine::Mysql, Engine::Postgres | Engine::Mongodb | Engine::Sqlserver),
            T::Date | T::DateTime { .. } | T::Instant { .. },
        ) => "days that no calendar has do not fit",
        ((Engine::Mysql, Engine::Postgres | Engine::Sqlserver), T::Time { .. }) => {
            "times beyond a day do not fit"
        }
        (
            (Engine::Mysql | Engine::Sqlite | Engine::Mongodb | Engine::Sqlserver, Engine::Postgres),
            T::Text { .. },
        ) => "texts with a NUL character do not fit",
        ((Engine::Postgres | Engine::Mongodb, _), T::Date | T::DateTime { .. } | T::Instant { .. }) => {
            "infinity and years beyond 0 to 9999 do not fit"
        }
        ((Engine::Postgres | Engine::Mongodb, _), T::Decimal { .. } | T::AnyDecimal) => {
            "NaN and infinities do not fit"
        }
        ((_, Engine::Mongodb), T::AnyDecimal) => "numbers of more than 34 digits do not fit",
        ((_, Engine::Mongodb), T::Json) => "integers beyond 64 bits and more than 100 levels do not fit",
        ((_, Engine::Mongodb), T::Text { long: true, .. } | T::Bytes { long: true, .. }) => {
            "rows longer than 16 MiB do not fit"
        }
        _ => return None,
    };
    Some(loss.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named_and_widening_is_silent() {
        let int = |bits, unsigned| LogicalType::Int { bits, unsigned };
        let text = |n| LogicalType::Text { max_chars: n, fixed: false, long: false };
        for (source, target, lossy) in [
            (int(32, false), int(64, false), false),
            (int(64, true), int(64, false), true),
            (int(32, true), int(64, false), false),
            (int(64, true), LogicalType::Decimal { precision: 20, scale: 0 }, false),
            (text(Some(10)), text(Some(9)), true),
            (text(Some(10)), text(None), false),
            (text(None), text(Some(9)), true),
            (LogicalType::DateTime { fraction: 6 }, LogicalType::DateTime { fraction: 3 }, true),
            (LogicalType::Float64, LogicalType::Float32, true),
        ] {
            assert_eq!(loss(&source, &target).is_some(), lossy, "{source} to {target}");
        }
    }
}
