//! The spec as written: every key, no judgement. The doc comments are the descriptions in the JSON schema.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

use super::form::{At, Form, Shape};

/// A Syncline spec: which tables are copied from where to where, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Spec")]
pub(crate) struct RawSpec {
    /// Version of this form; always 1.
    #[schemars(extend("const" = 1))]
    pub version: At<u64>,
    /// Names the spec and its runs.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,63}$"))]
    pub name: At<String>,
    /// Where rows come from.
    pub source: At<Form<RawConnection>>,
    /// Where rows go to.
    pub target: At<Form<RawConnection>>,
    /// What holds for every table that does not say otherwise.
    pub defaults: Option<RawDefaults>,
    /// What a run may read in a second, over all its workers; no limit if absent.
    pub limits: Option<RawLimits>,
    /// What source and target say about themselves that makes a run wait.
    pub brakes: Option<Vec<RawBrake>>,
    /// When `serve` runs it; only when asked for if absent.
    pub schedule: Option<At<Form<RawSchedule>>>,
    /// How often chunks that failed are tried again.
    pub retry: Option<RawRetry>,
    /// Who is told how runs end; nobody if absent.
    pub alerts: Option<Vec<RawAlert>>,
    /// The pipeline that is meant where none is named.
    pub default: Option<At<bool>>,
    /// The tables, one by one or by patterns.
    #[schemars(length(min = 1))]
    pub tables: At<Vec<RawTable>>,
}

/// A database. Text may hold `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Connection")]
pub(crate) struct RawConnection {
    /// `mysql` stands for MariaDB too.
    #[schemars(extend("enum" = ["sqlite", "mysql"]))]
    pub engine: At<String>,
    /// Host name or address; this machine if absent.
    pub host: Option<At<String>>,
    /// The engine's usual port if absent.
    #[schemars(with = "Option<Port>")]
    pub port: Option<At<String>>,
    pub user: Option<At<String>>,
    /// Better a reference than the password itself.
    pub password: Option<At<String>>,
    /// Needed for mysql.
    pub database: Option<At<String>>,
    /// The file, for sqlite; relative to where the program is started.
    pub path: Option<At<String>>,
    /// `off` on this machine and `verify` elsewhere, if absent.
    #[schemars(extend("enum" = ["verify", "insecure", "off"]))]
    pub tls: Option<At<String>>,
    /// PEM file with the authorities to trust instead of the system's.
    pub tls_ca: Option<At<String>>,
    /// Must be `accept-unverified` beside `tls: insecure`.
    #[schemars(extend("enum" = ["accept-unverified"]))]
    pub insecure_tls: Option<At<String>>,
    /// The database that knows the user, for mongodb; `admin` if absent.
    pub auth_source: Option<At<String>>,
    /// Makes messages smaller on the wire, for mongodb; not done if absent.
    #[schemars(extend("enum" = ["zlib"]))]
    pub compression: Option<At<String>>,
    /// Connections that each process keeps.
    pub pool: Option<At<RawPool>>,
    /// Most rows that one read brings into memory at once; 1000 if absent.
    #[schemars(range(min = 1, max = 100_000))]
    pub batch_rows: Option<At<u64>>,
}

/// How many connections each process keeps to a database, and for how long.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Pool")]
pub(crate) struct RawPool {
    /// Connections that stay open though nobody uses them; none if absent.
    pub min: Option<At<u64>>,
    /// Connections at most; twice the chunks at work and a few more if absent.
    #[schemars(range(min = 2, max = 1_000))]
    pub max: Option<At<u64>>,
    /// Longest wait for a free connection; 30s if absent.
    pub wait: Option<At<String>>,
    /// A connection that is older is replaced; none is too old if absent.
    pub recycle: Option<At<String>>,
}

/// Whom `serve` tells how a run ended. One message for each incident, and one when it is over.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Alert")]
pub(crate) struct RawAlert {
    /// `failed`, `done-with-quarantine` and `anomaly` if absent.
    #[schemars(extend("items" = { "enum": ["failed", "cancelled", "done-with-quarantine", "anomaly"] }))]
    pub on: Option<At<Vec<At<String>>>>,
    /// A reference to the address of an incoming webhook of Slack.
    pub slack: Option<At<String>>,
    /// A reference to an address that takes JSON by POST.
    pub webhook: Option<At<String>>,
    /// A reference to what messages to `webhook` are signed with; unsigned if absent.
    pub secret: Option<At<String>>,
}

/// How often a chunk is tried, and how long it waits between.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub(crate) struct RawRetry {
    /// Attempts in all; 5 if absent.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: Option<At<u64>>,
    /// Time before the second attempt, doubled for each one after; moments if absent.
    pub delay: Option<At<String>>,
}

/// A port, or a reference to one.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Port {
    Number(std::num::NonZeroU16),
    Reference(String),
}

/// What holds for every table that does not say otherwise.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Defaults")]
pub(crate) struct RawDefaults {
    /// What a table asks for; `merge` if absent.
    #[schemars(extend("enum" = ["merge", "mirror", "insert-only"]))]
    pub mode: Option<At<String>>,
    /// Who wins where both sides have a row, in mode merge; `source-wins` if absent.
    pub policy: Option<At<Form<RawNewest>>>,
    /// What happens to a row the target cannot take.
    #[schemars(extend("enum" = ["quarantine"]))]
    pub on_bad_row: Option<At<String>>,
    /// What happens to a table whose target has a narrower column than its source: `refuse` if absent.
    #[schemars(extend("enum" = ["refuse", "quarantine"]))]
    pub on_lossy_type: Option<At<String>>,
    /// How a copy is verified.
    #[schemars(extend("enum" = ["digest"]))]
    pub verify: Option<At<String>>,
    pub chunk: Option<RawChunk>,
    pub guard: Option<RawGuard>,
}

/// Sizes of chunks, the units of work.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Chunk")]
pub(crate) struct RawChunk {
    /// Most rows in a chunk; 100000 if absent.
    #[schemars(range(min = 1, max = 100_000))]
    pub rows_max: Option<At<u64>>,
    /// Bytes a chunk should hold; 16MiB if absent.
    pub target_size: Option<At<String>>,
    /// Time that reading a chunk should take; 2s if absent.
    pub target_time: Option<At<String>>,
}

/// When runs begin.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Schedule")]
pub(crate) struct RawSchedule {
    /// Time from start to start: `15m`.
    pub every: Option<At<String>>,
    /// A cron expression instead: minute, hour, day of the month, month, day of the week.
    pub cron: Option<At<String>>,
    /// The pipeline instead after whose runs it runs, each time when one has ended well.
    pub after: Option<At<String>>,
    /// The time zone of `cron`, such as `Europe/Berlin`; UTC if absent.
    pub timezone: Option<At<String>>,
    /// What becomes of a start while the run before is under way: left out, or made when it has ended. `skip` if absent.
    #[schemars(extend("enum" = ["skip", "queue"]))]
    pub if_running: Option<At<String>>,
    /// What becomes of starts while `serve` was down: one makes up for them, or none. `once` if absent.
    #[schemars(extend("enum" = ["once", "skip"]))]
    pub missed: Option<At<String>>,
    /// What is done: tables are copied, or both sides compared and nothing written. `copy` if absent.
    #[schemars(extend("enum" = ["copy", "verify"]))]
    pub run: Option<At<String>>,
}

/// What a run may read in a second.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(crate) struct RawLimits {
    /// Rows: `5000/s`.
    pub rows: Option<At<String>>,
    /// Bytes, as rows take them in memory: `20MB/s`.
    pub bytes: Option<At<String>>,
}

/// While a gauge shows more than its limit, or cannot be read, nothing more is handed out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Brake")]
pub(crate) struct RawBrake {
    #[schemars(extend("enum" = ["source", "target"]))]
    pub at: At<String>,
    /// `running` (statements at work), `lag` (seconds behind what it replicates), or a SELECT that finds one number.
    pub gauge: At<String>,
    /// The greatest value at which the run goes on.
    pub max: At<u64>,
}

/// One table, or several by a pattern.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Table")]
pub(crate) struct RawTable {
    /// Source table: `name`, `schema.name`, or a pattern with `*`. An entry with the exact name wins over a pattern.
    pub from: At<String>,
    /// Target table; the source's name if absent. Not beside a pattern.
    pub to: Option<At<String>>,
    /// Tables a pattern leaves out; may hold `*`.
    pub except: Option<At<Vec<At<String>>>>,
    /// Key columns; the primary key, or a unique index without NULLs, if absent.
    pub key: Option<At<Vec<At<String>>>>,
    #[schemars(extend("enum" = ["merge", "mirror", "insert-only"]))]
    pub mode: Option<At<String>>,
    /// Who wins where both sides have a row; mode merge only.
    pub policy: Option<At<Form<RawNewest>>>,
    /// Columns that are not copied.
    pub exclude: Option<At<Vec<At<String>>>>,
    /// What happens if the target has a narrower column: `refuse` the run, or `quarantine` the rows that do not fit.
    #[schemars(extend("enum" = ["refuse", "quarantine"]))]
    pub on_lossy_type: Option<At<String>>,
    pub guard: Option<RawGuard>,
    /// After the first run, only rows that have changed since are read: the column that rises with every change, or a
    /// mapping that names it.
    pub incremental: Option<At<Form<RawIncremental>>>,
    /// What becomes of single columns; all others go over as they are.
    pub fields: Option<RawFields>,
}

/// What becomes of single columns.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fields")]
pub(crate) struct RawFields {
    /// By the source's column, or by the target's for one that is added with `constant`, `join` or `nest`.
    pub rules: BTreeMap<String, At<RawRule>>,
}

/// What becomes of one column: renamed, changed step by step, cast, and checked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(crate) struct RawRule {
    /// The column of the target; the same name if absent.
    pub to: Option<At<String>>,
    /// What is done to values, in this order.
    pub apply: Option<At<Vec<At<RawStep>>>>,
    /// The type of the result: `int64`, `decimal(12,2)`, `text(40)`, `date`. What is not exactly that is refused.
    #[serde(rename = "as")]
    pub cast: Option<At<String>>,
    /// A column that the source does not have: the same value in each row.
    pub constant: Option<At<String>>,
    /// A column that the source does not have: these of its columns, one after the other; NULLs are left out.
    pub join: Option<At<Vec<At<String>>>>,
    /// What stands between columns that are joined; nothing if absent.
    pub with: Option<At<String>>,
    /// A field of documents: the rows of this other table of the source that belong to the row. For MongoDB.
    pub nest: Option<At<String>>,
    /// Beside `nest`: the other table's columns, each with the column of this table that it equals; told by a foreign
    /// key if absent.
    pub on: Option<At<BTreeMap<String, At<String>>>>,
    /// Beside `nest`: the columns of the other table that documents are ordered by.
    pub order_by: Option<At<Vec<At<String>>>>,
    /// Beside `nest`: what is taken of the other table; all if absent, but for the columns of `on`.
    pub columns: Option<At<Vec<At<String>>>>,
    /// Beside `nest`: one document, or none, in place of a list.
    pub one: Option<At<bool>>,
    /// Neither NULL nor an empty text.
    pub required: Option<At<bool>>,
    /// NULL, zero, false or an empty text; with `on_fail: delete`, what a column holds that marks deleted rows in all others.
    pub empty: Option<At<bool>>,
    /// The least value, of a number, date or time.
    #[schemars(with = "Option<Scalar>")]
    pub min: Option<At<String>>,
    /// The greatest value.
    #[schemars(with = "Option<Scalar>")]
    pub max: Option<At<String>>,
    /// Characters at most.
    pub max_length: Option<At<u64>>,
    /// A regular expression that some part of the value must match; anchor it with `^` and `$` for all of it.
    pub matches: Option<At<String>>,
    /// The only values.
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub one_of: Option<At<Vec<At<String>>>>,
    /// What becomes of a row that breaks the rule: it is set aside, left out, ends the run, or is deleted at the target.
    /// `quarantine` if absent.
    #[schemars(extend("enum" = ["quarantine", "skip", "fail", "delete"]))]
    pub on_fail: Option<At<String>>,
}

/// One change of a value. All but `default` and `null` leave NULL as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Step")]
pub(crate) enum RawStep {
    /// White space at both ends goes.
    Trim,
    Lower,
    Upper,
    /// `***` in place of any value.
    Redact,
    /// NULL in place of any value.
    Null,
    /// No more than so many characters stay.
    Truncate(u64),
    /// All but so many characters at the end become `*`.
    KeepLast(u64),
    Prefix(String),
    Suffix(String),
    /// In place of NULL.
    Default(String),
    /// Old values and new ones; `*` stands for all that are not listed, which are refused without it.
    Values(BTreeMap<String, String>),
    /// One part of a text, counted from 1, or from the end by -1; NULL if there is none.
    Split {
        at: String,
        part: i32,
    },
    /// What a JSON pointer such as `/customer/name` leads to; NULL if nothing is there.
    Json(String),
    /// HMAC-SHA256 in hexadecimal digits; a reference to the key.
    Hash(String),
    /// AES-256-SIV in Base64, which whoever has the key can decrypt; a reference to a key of 128 hexadecimal digits.
    Encrypt(String),
}

/// A text, number or truth value.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Scalar {
    Text(String),
    Number(f64),
    Bool(bool),
}

/// What tells changes.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Incremental")]
pub(crate) struct RawIncremental {
    /// The column that rises with every change of a row: a time of the source's clock, or a number it hands out.
    pub column: At<String>,
    /// What becomes of a table that has no such column: `refuse` it, or `read-all` of it each time. `refuse` if absent.
    #[schemars(extend("enum" = ["refuse", "read-all"]))]
    pub if_missing: Option<At<String>>,
    /// How far before the last watermark each run begins to read, for times; 60s if absent.
    pub overlap: Option<At<String>>,
    /// The zone of times that have none: `UTC`, `+02:00`, or `server`, which is what is meant if absent.
    pub zone: Option<At<String>>,
    /// `watched`: the source is asked what may still commit, so that no late commit is skipped; `trusted`: the overlap
    /// alone must cover it. `watched` if absent.
    #[schemars(extend("enum" = ["watched", "trusted"]))]
    pub late_commits: Option<At<String>>,
    /// Mode mirror: how often the target is searched for rows that are gone from the source; 24h if absent, 0s for
    /// every run.
    pub sweep_every: Option<At<String>>,
}

/// The later row wins.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Newest")]
pub(crate) struct RawNewest {
    /// The column that tells which row is later.
    pub newest: At<String>,
    /// `source-wins` merges tables that lack the column so. Without it such a table is an error.
    pub if_missing: Option<At<String>>,
}

/// Limits beyond which a table is held until a person allows it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Guard")]
pub(crate) struct RawGuard {
    /// Rows a mirror may delete: `10%`, `1000`, both as a list, or `{ rows: 1000, percent: 10% }`. Whatever comes
    /// first holds; a limit that is not given does not apply. 10% and 1000 rows if the key is absent.
    pub max_delete: Option<At<Form<RawMaxDelete>>>,
    /// Rows that may be quarantined; 1000 if absent.
    pub max_quarantined: Option<At<u64>>,
}

/// Rows that may be deleted.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MaxDelete")]
pub(crate) struct RawMaxDelete {
    /// Number of rows.
    #[schemars(with = "Option<u64>")]
    pub rows: Option<At<String>>,
    /// Share of the target's rows: `10%`.
    pub percent: Option<At<String>>,
}

impl Shape for RawConnection {
    const EXPECTED: &'static str = "a mapping such as { engine: sqlite, path: shop.db }, or a URL";
    const LIST: bool = false;

    fn scalar() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(mysql|sqlite):" })
    }
}

impl Shape for RawNewest {
    const EXPECTED: &'static str = "source-wins, keep-target or { newest: column }";
    const LIST: bool = false;

    fn scalar() -> Schema {
        json_schema!({ "enum": ["source-wins", "keep-target"] })
    }
}

impl Shape for RawIncremental {
    const EXPECTED: &'static str = "the column that tells changes, or { column: updated_at, overlap: 60s }";
    const LIST: bool = false;

    fn scalar() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Shape for RawSchedule {
    const EXPECTED: &'static str = "a time from start to start such as 15m, or { cron: \"0 1 * * *\" }";
    const LIST: bool = false;

    fn scalar() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(s|m|min|h)$" })
    }
}

impl Shape for RawMaxDelete {
    const EXPECTED: &'static str = "a limit such as 10%, 1000, or [10%, 1000]";
    const LIST: bool = true;

    fn scalar() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?%$" },
            { "type": "integer", "minimum": 0 },
        ] })
    }
}
