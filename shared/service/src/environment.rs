//! The pipeline that variables describe: MySQL → MongoDB without a spec file. They are put into the words of a spec, which
//! is then read like any other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::Problem;
use crate::config::{self, LoadedSpec, mongodb_url};
use crate::problem::code;
use crate::secret::{Variables, process_variable, url_password};

/// What the pipeline, and the spec that it stands for, is called.
pub const NAME: &str = "mysql-to-mongodb";
/// Where further variables are read from, if it is there.
const FILE: &str = ".env";
/// The column that tells changes, where a table has it.
const CHANGED: &str = "updated_at";
const SLACK: &str = "SYNC_ALERT_SLACK_URL";
const WEBHOOK: &str = "SYNC_ALERT_WEBHOOK_URL";
const WEBHOOK_SECRET: &str = "SYNC_ALERT_WEBHOOK_SECRET";
const TABLES: &str = "products,orders,customers,inventory";

/// A variable of the pipeline.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    /// Absent: it must be set, or is left out.
    pub default: Option<&'static str>,
    pub required: bool,
    /// Never shown.
    pub secret: bool,
}

const fn required(name: &'static str) -> Variable {
    Variable { name, default: None, required: true, secret: false }
}

const fn or(name: &'static str, default: &'static str) -> Variable {
    Variable { name, default: Some(default), required: false, secret: false }
}

const fn optional(name: &'static str) -> Variable {
    Variable { name, default: None, required: false, secret: false }
}

/// All of them, but for `SYNC_<TABLE>_COLLECTION`, of which each table has one.
pub const VARIABLES: &[Variable] = &[
    required("MYSQL_HOST"),
    or("MYSQL_PORT", "3306"),
    required("MYSQL_USER"),
    Variable { secret: true, ..required("MYSQL_PASSWORD") },
    required("MYSQL_DATABASE"),
    or("MYSQL_CHARSET", "utf8mb4"),
    optional("MYSQL_TLS"),
    optional("MYSQL_TLS_CA"),
    or("MYSQL_MIN_POOL_SIZE", "1"),
    or("MYSQL_MAX_POOL_SIZE", "10"),
    or("MYSQL_POOL_TIMEOUT", "30"),
    or("MYSQL_POOL_RECYCLE", "3600"),
    Variable { secret: true, ..required("MONGODB_URI") },
    required("MONGODB_DATABASE"),
    or("SYNC_ENABLED", "true"),
    or("SYNC_INTERVAL_MINUTES", "60"),
    or("SYNC_BATCH_SIZE", "1000"),
    or("SYNC_MAX_RETRIES", "3"),
    or("SYNC_RETRY_DELAY", "30"),
    or("SYNC_TABLES", TABLES),
    Variable { secret: true, ..optional(SLACK) },
    Variable { secret: true, ..optional(WEBHOOK) },
    Variable { secret: true, ..optional(WEBHOOK_SECRET) },
];

/// Names that came from the file.
static FROM_FILE: OnceLock<BTreeSet<String>> = OnceLock::new();

/// What the file says now of a variable that was taken from it when the process began.
pub(crate) fn in_file(name: &str) -> Option<String> {
    if !FROM_FILE.get().is_some_and(|names| names.contains(name)) {
        return None;
    }
    let mut entries = dotenvy::from_path_iter(FILE).ok()?.filter_map(Result::ok);
    entries.find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Environment,
    File,
    Default,
    Unset,
}

impl Origin {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::File => FILE,
            Self::Default => "default",
            Self::Unset => "not set",
        }
    }
}

/// Takes the variables of `.env` in the working folder into the environment of this process; what is set there already
/// stays. To be called once, before there are threads. Without the file nothing happens.
///
/// # Errors
/// If the file cannot be read, or holds a line that is not `NAME=value`. The message shows nothing of the line.
pub fn load_file() -> Result<(), Problem> {
    let path = Path::new(FILE);
    if !path.exists() {
        return Ok(());
    }
    let refuse = |detail: String| {
        Problem::new(
            code::BAD_SETTING,
            format!("{FILE}: {detail}"),
            "a line is NAME=value; quote what holds spaces",
        )
    };
    let entries = dotenvy::from_path_iter(path).map_err(|_hidden| refuse("it cannot be read".to_owned()))?;
    let mut names = BTreeSet::new();
    let mut last = None;
    for entry in entries {
        let (name, _value) = entry.map_err(|_hidden| {
            let after = last
                .as_ref()
                .map_or_else(|| "the first entry".to_owned(), |name| format!("what follows {name}"));
            refuse(format!("{after} is not NAME=value"))
        })?;
        if std::env::var_os(&name).is_none() {
            names.insert(name.clone());
        }
        last = Some(name);
    }
    dotenvy::from_path(path).map_err(|_hidden| refuse("it cannot be read".to_owned()))?;
    let _ = FROM_FILE.set(names);
    Ok(())
}

/// Whether any of the variables that the pipeline needs is set: then it is meant, and the others must be there too.
#[must_use]
pub fn is_meant() -> bool {
    VARIABLES
        .iter()
        .filter(|variable| variable.required)
        .any(|variable| process_variable(variable.name).is_some())
}

/// What a variable holds, and where that came from.
#[must_use]
pub fn value_of(variable: &Variable) -> (Option<String>, Origin) {
    match (process_variable(variable.name).filter(|value| !value.is_empty()), variable.default) {
        (Some(value), _) => {
            let is_of_file = FROM_FILE.get().is_some_and(|names| names.contains(variable.name));
            (Some(value), if is_of_file { Origin::File } else { Origin::Environment })
        }
        (None, Some(default)) => (Some(default.to_owned()), Origin::Default),
        (None, None) => (None, Origin::Unset),
    }
}

/// The pipeline of the variables, as text of a spec that says the same. Passwords are references.
///
/// # Errors
/// Names every variable that is missing, or the first that makes no sense.
pub fn spec_text() -> Result<String, Problem> {
    text_with(&process_variable)
}

/// The pipeline of the variables.
///
/// # Errors
/// As [`spec_text`].
pub fn spec(colors: bool) -> Result<LoadedSpec, Problem> {
    let text = spec_text()?;
    config::parse_spec(&text, "env:").map_err(|error| Problem::of_spec(&error, colors))
}

fn text_with(variables: Variables<'_>) -> Result<String, Problem> {
    let given = Given(variables);
    given.require_all()?;
    if given.text("MYSQL_CHARSET")? != "utf8mb4" {
        let detail = "MYSQL_CHARSET: connections always use utf8mb4, which holds every character";
        return Err(Problem::new(code::BAD_SETTING, detail, "unset MYSQL_CHARSET"));
    }
    let mut spec = json!({
        "version": 1,
        "name": NAME,
        "default": true,
        "source": given.source()?,
        "target": given.target()?,
        "retry": {
            "attempts": given.number("SYNC_MAX_RETRIES", 0, 99)? + 1,
            "delay": format!("{}s", given.number("SYNC_RETRY_DELAY", 0, 3_600)?),
        },
    });
    let minutes = given.number("SYNC_INTERVAL_MINUTES", 1, 366 * 1_440)?;
    if given.flag("SYNC_ENABLED")? {
        spec["schedule"] = json!({ "every": format!("{minutes}m") });
    }
    let alerts = given.alerts();
    if !alerts.is_empty() {
        spec["alerts"] = alerts.into();
    }
    let tables = given.tables()?;
    spec["tables"] = tables.iter().map(|table| given.table(table)).collect::<Result<Vec<_>, _>>()?.into();
    serde_saphyr::to_string(&Plain(&spec))
        .map_err(|error| Problem::new(code::INTERNAL, error.to_string(), "report it"))
}

/// JSON as YAML writes it: its numbers are kept as text here, which serialises as something else.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => match number.as_u64() {
                Some(number) => serializer.serialize_u64(number),
                None => serializer.serialize_str(&number.to_string()),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Plain)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(key, value)| (key, Plain(value))))
            }
        }
    }
}

struct Given<'a>(Variables<'a>);

impl Given<'_> {
    fn find(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    fn require_all(&self) -> Result<(), Problem> {
        let is_missing = |variable: &&Variable| variable.required && self.find(variable.name).is_none();
        let missing: Vec<&str> = VARIABLES.iter().filter(is_missing).map(|variable| variable.name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let detail = format!("{} {verb} not set", missing.join(", "));
        Err(Problem::new(
            code::BAD_SETTING,
            detail,
            format!("set them, in {FILE} for instance, or name a spec file"),
        ))
    }

    fn text(&self, name: &str) -> Result<String, Problem> {
        let default =
            || VARIABLES.iter().find(|variable| variable.name == name)?.default.map(ToOwned::to_owned);
        self.find(name).or_else(default).ok_or_else(|| {
            Problem::new(code::BAD_SETTING, format!("{name} is not set"), format!("export {name}=…"))
        })
    }

    fn number(&self, name: &str, min: u64, max: u64) -> Result<u64, Problem> {
        let number = self.text(name)?.trim().parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| {
            let detail = format!("{name} is not a whole number from {min} to {max}");
            Problem::new(code::BAD_SETTING, detail, format!("correct {name}"))
        })
    }

    fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name)?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => {
                let detail = format!("{name} is neither true nor false");
                Err(Problem::new(code::BAD_SETTING, detail, format!("correct {name}")))
            }
        }
    }

    fn source(&self) -> Result<Value, Problem> {
        let mut source = json!({
            "engine": "mysql",
            "host": "${env:MYSQL_HOST}",
            "port": self.number("MYSQL_PORT", 1, 65_535)?,
            "user": "${env:MYSQL_USER}",
            "password": "${env:MYSQL_PASSWORD}",
            "database": "${env:MYSQL_DATABASE}",
            "pool": {
                "min": self.number("MYSQL_MIN_POOL_SIZE", 0, 1_000)?,
                "max": self.number("MYSQL_MAX_POOL_SIZE", 2, 1_000)?,
                "wait": format!("{}s", self.number("MYSQL_POOL_TIMEOUT", 1, 3_600)?),
                "recycle": format!("{}s", self.number("MYSQL_POOL_RECYCLE", 1, 7 * 86_400)?),
            },
            "batch_rows": self.number("SYNC_BATCH_SIZE", 1, 100_000)?,
        });
        if let Some(tls) = self.find("MYSQL_TLS") {
            source["tls"] = tls.into();
        }
        if let Some(authority) = self.find("MYSQL_TLS_CA") {
            source["tls_ca"] = authority.into();
        }
        Ok(source)
    }

    /// The URL in parts: the name of its database says only who knows the user.
    fn target(&self) -> Result<Value, Problem> {
        let url = self.text("MONGODB_URI")?;
        let mut target = mongodb_url(&url).map_err(|detail| {
            let next = "mongodb://user:password@host:27017/?authSource=admin";
            Problem::new(code::BAD_SETTING, format!("MONGODB_URI: {detail}"), next)
        })?;
        if url_password(&url).is_some() {
            target["password"] = "${password-of:MONGODB_URI}".into();
        }
        target["database"] = "${env:MONGODB_DATABASE}".into();
        Ok(target)
    }

    fn alerts(&self) -> Vec<Value> {
        let reference = |name: &str| self.find(name).map(|_| format!("${{env:{name}}}"));
        let mut alerts = Vec::new();
        alerts.extend(reference(SLACK).map(|url| json!({ "slack": url })));
        alerts.extend(reference(WEBHOOK).map(|url| match reference(WEBHOOK_SECRET) {
            Some(secret) => json!({ "webhook": url, "secret": secret }),
            None => json!({ "webhook": url }),
        }));
        alerts
    }

    /// `a,b`, or a JSON list.
    fn tables(&self) -> Result<Vec<String>, Problem> {
        let text = self.text("SYNC_TABLES")?;
        let names: Option<Vec<String>> = if text.trim_start().starts_with('[') {
            serde_json::from_str(&text).ok()
        } else {
            Some(text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
        };
        names.filter(|names| !names.is_empty()).ok_or_else(|| {
            let detail = "SYNC_TABLES names no tables";
            Problem::new(code::BAD_SETTING, detail, format!("SYNC_TABLES={TABLES}, or a JSON list"))
        })
    }

    fn table(&self, table: &str) -> Result<Value, Problem> {
        let word: String = table
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let collection = self.find(&format!("SYNC_{word}_COLLECTION"));
        Ok(json!({
            "from": table,
            "to": collection.as_deref().unwrap_or(table),
            "policy": { "newest": CHANGED, "if_missing": "source-wins" },
            "incremental": { "column": CHANGED, "if_missing": "read-all" },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[(&str, &str)] = &[
        ("MYSQL_HOST", "localhost"),
        ("MYSQL_USER", "app"),
        ("MYSQL_PASSWORD", "canary-pw"),
        ("MYSQL_DATABASE", "shop"),
        ("MONGODB_URI", "mongodb://app:canary-p%40ss@localhost:27017/logins?retryWrites=true&w=majority"),
        ("MONGODB_DATABASE", "shop"),
    ];

    fn text(more: &[(&str, &str)]) -> Result<String, String> {
        let all: Vec<(&str, &str)> = SAMPLE.iter().chain(more).copied().collect();
        let variables = |name: &str| {
            all.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        text_with(&variables).map_err(|problem| problem.detail)
    }

    #[test]
    fn seed_4_05_all_that_is_missing_is_named_at_once() {
        let nothing = text_with(&|_| None).expect_err("nothing is set").detail;
        let names = "MYSQL_HOST, MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE, MONGODB_URI, MONGODB_DATABASE";
        assert_eq!(nothing, format!("{names} are not set"));
        assert_eq!(text(&[("MYSQL_USER", " ")]), Err("MYSQL_USER is not set".to_owned()));
    }

    #[test]
    fn seed_4_06_to_4_08_the_defaults_are_those_of_the_seed() {
        let text = text(&[]).expect("a spec");
        assert!(!text.contains("canary"), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn seed_4_08_and_4_09_tables_as_a_list_of_either_form_and_collections_of_any_table() {
        for list in ["products, categories", "[\"products\", \"categories\"]"] {
            let text =
                text(&[("SYNC_TABLES", list), ("SYNC_CATEGORIES_COLLECTION", "kinds")]).expect("a spec");
            assert!(text.contains("from: categories\n") && text.contains("to: kinds\n"), "{text}");
            assert!(text.contains("to: products\n"), "{text}");
        }
        for none in [",", "[]", "[1"] {
            assert_eq!(text(&[("SYNC_TABLES", none)]), Err("SYNC_TABLES names no tables".to_owned()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_never_shown() {
        for (name, value) in [
            ("MYSQL_PORT", "canary"),
            ("SYNC_INTERVAL_MINUTES", "0"),
            ("SYNC_ENABLED", "canary"),
            ("MYSQL_CHARSET", "latin1"),
            ("MONGODB_URI", "postgres://canary:canary@h/x"),
            ("MONGODB_URI", "mongodb+srv://app:canary@cluster.example/"),
            ("MONGODB_URI", "mongodb://app:canary@h/?w=1"),
        ] {
            let refused = text(&[(name, value)]).expect_err("refused");
            assert!(refused.starts_with(name) && !refused.contains("canary"), "{refused}");
        }
    }

    #[test]
    fn a_pipeline_that_is_off_has_no_schedule() {
        assert!(!text(&[("SYNC_ENABLED", "false")]).expect("a spec").contains("schedule"));
        assert!(text(&[("SYNC_INTERVAL_MINUTES", "5")]).expect("a spec").contains("every: 5m"));
    }
}
