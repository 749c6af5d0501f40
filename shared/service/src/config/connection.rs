//! Connections: what each engine needs, URLs, references and TLS.

use model::spec::{Compression, PoolLimits, Tls, is_loopback};
use model::{ConnectionSpec, Engine};

use super::form::{At, Form, Place};
use super::raw::{RawConnection, RawPool};
use super::url::parse_url;
use super::validate::Findings;
use crate::problem::code;
use crate::secret;

/// What people call an engine that is known here by another name.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("mariadb", "MariaDB is `mysql` too"),
    ("postgresql", "PostgreSQL is `postgres`"),
    ("mongo", "MongoDB is `mongodb`"),
    ("mssql", "SQL Server is `sqlserver`"),
];

/// `role` is `source` or `target`, for messages.
pub(super) fn connection(
    raw: &At<Form<RawConnection>>,
    role: &str,
    findings: &mut Findings<'_>,
) -> Option<ConnectionSpec> {
    let from_url;
    let parts = match &raw.value {
        Form::Map(parts) => parts,
        Form::Text(url) => {
            from_url = parse_url(url, raw.place, findings)?;
            &from_url
        }
        Form::List(_) => return None,
    };
    let engine = engine(&parts.engine, findings)?;
    refuse_misfits(parts, engine, findings);
    let mut text = |field: &Option<At<String>>| field.as_ref().and_then(|field| expand(field, findings));
    let (host, port, user) = (text(&parts.host), text(&parts.port), text(&parts.user));
    let (database, path, tls_ca) = (text(&parts.database), text(&parts.path), text(&parts.tls_ca));
    let port = port.and_then(|port| parse_port(&port, parts.port.as_ref(), findings));
    refuse_incomplete(parts, engine, role, findings);
    check_password(parts.password.as_ref(), role, findings);
    let tls = match engine {
        Engine::Mysql | Engine::Postgres | Engine::Mongodb | Engine::Sqlserver => {
            tls(parts, host.as_deref(), role, findings)
        }
        Engine::Sqlite | Engine::Memory => Tls::Off,
    };
    let password = parts.password.as_ref().map(|password| password.value.clone());
    let auth_source = parts.auth_source.as_ref().and_then(|field| expand(field, findings));
    let pool = parts.pool.as_ref().map_or_else(PoolLimits::default, |given| pool(given, engine, findings));
    let batch_rows = parts.batch_rows.as_ref();
    let batch_rows = batch_rows.and_then(|given| findings.number(given, 1..=100_000, "batch_rows"));
    let spec = ConnectionSpec {
        host,
        port,
        user,
        password,
        database,
        path,
        tls,
        tls_ca,
        ..ConnectionSpec::new(engine)
    };
    let compression = parts.compression.as_ref();
    let compression = compression
        .and_then(|given| findings.choose(code::UNKNOWN_CHOICE, given, &[("zlib", Compression::Zlib)]));
    Some(ConnectionSpec { auth_source, compression, pool, batch_rows, ..spec })
}

fn pool(given: &At<RawPool>, engine: Engine, findings: &mut Findings<'_>) -> PoolLimits {
    let raw = &given.value;
    if let (Some(place), Engine::Mongodb) =
        (raw.wait.as_ref().or(raw.recycle.as_ref()).map(|key| key.place), engine)
    {
        findings.refuse(code::MISFIT, "mongodb has no such limit", place, "a pool there has `min` and `max`");
    }
    let help = "a number and a unit: 30s, 1h";
    let pool = PoolLimits {
        min: raw.min.as_ref().and_then(|min| findings.number(min, 0..=1_000, "min")).unwrap_or_default(),
        // One reads while another asks.
        max: raw.max.as_ref().and_then(|max| findings.number(max, 2..=1_000, "max")),
        wait_ms: raw.wait.as_ref().and_then(|wait| findings.millis(wait, help)),
        recycle_ms: raw.recycle.as_ref().and_then(|age| findings.millis(age, help)),
    };
    if pool.max.is_some_and(|max| max < pool.min) {
        findings.refuse(code::BAD_LIMIT, "`min` is more than `max`", given.place, "lower it, or raise `max`");
    }
    pool
}

fn engine(given: &At<String>, findings: &mut Findings<'_>) -> Option<Engine> {
    if let Some((name, help)) = OTHER_NAMES.iter().find(|(name, _)| given.value == *name) {
        findings.refuse(code::UNKNOWN_ENGINE, format!("unknown engine `{name}`"), given.place, help);
        return None;
    }
    let known = [Engine::Sqlite, Engine::Mysql, Engine::Postgres, Engine::Mongodb, Engine::Sqlserver];
    let known = known.map(|engine| (engine.name(), engine));
    findings.choose(code::UNKNOWN_ENGINE, given, &known)
}

fn refuse_misfits(parts: &RawConnection, engine: Engine, findings: &mut Findings<'_>) {
    let misfits: &[(&str, &Option<At<String>>)] = match engine {
        Engine::Sqlite | Engine::Memory => &[
            ("host", &parts.host),
            ("port", &parts.port),
            ("user", &parts.user),
            ("password", &parts.password),
            ("database", &parts.database),
            ("tls", &parts.tls),
            ("tls_ca", &parts.tls_ca),
            ("insecure_tls", &parts.insecure_tls),
            ("auth_source", &parts.auth_source),
            ("compression", &parts.compression),
        ],
        Engine::Mysql | Engine::Postgres | Engine::Sqlserver => {
            &[("path", &parts.path), ("auth_source", &parts.auth_source), ("compression", &parts.compression)]
        }
        Engine::Mongodb => &[("path", &parts.path)],
    };
    for (key, value) in misfits {
        if let Some(value) = value {
            findings.refuse(code::MISFIT, format!("{engine} has no `{key}`"), value.place, "remove the key");
        }
    }
}

fn refuse_incomplete(parts: &RawConnection, engine: Engine, role: &str, findings: &mut Findings<'_>) {
    let (key, value, example) = match engine {
        Engine::Sqlite | Engine::Memory => ("path", &parts.path, "path: ./shop.db"),
        Engine::Mysql | Engine::Postgres | Engine::Mongodb | Engine::Sqlserver => {
            ("database", &parts.database, "database: shop")
        }
    };
    if value.as_ref().is_none_or(|value| value.value.is_empty()) {
        let place = value.as_ref().map_or(parts.engine.place, |value| value.place);
        let message = format!("{role}: {engine} needs `{key}`");
        findings.refuse(code::INCOMPLETE, message, place, &format!("add `{example}`"));
    }
}

fn expand(field: &At<String>, findings: &mut Findings<'_>) -> Option<String> {
    match secret::expand(&field.value, findings.variables) {
        Ok(text) => Some(text),
        Err(error) => {
            refuse_reference(&error, field.place, findings);
            None
        }
    }
}

fn refuse_reference(error: &secret::SecretError, place: Place, findings: &mut Findings<'_>) {
    let problem = crate::Problem::from(error);
    findings.refuse(error.page(), problem.detail, place, &problem.next);
}

/// The password stays as it is written; each process resolves it when it connects.
fn check_password(password: Option<&At<String>>, role: &str, findings: &mut Findings<'_>) {
    let Some(password) = password else { return };
    if let Err(error) = secret::check(&password.value) {
        refuse_reference(&error, password.place, findings);
    } else if secret::has_literal_part(&password.value) {
        findings.warnings.push(format!(
            "the password of the {role} stands in the spec; write \"${{env:NAME}}\" or \"${{file:/path}}\" instead"
        ));
    }
}

fn parse_port(text: &str, given: Option<&At<String>>, findings: &mut Findings<'_>) -> Option<u16> {
    let port = text.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        let place = given.map(|given| given.place).unwrap_or_default();
        findings.refuse(code::BAD_PORT, "not a port", place, "a port is a number from 1 to 65535");
    }
    port
}

fn tls(parts: &RawConnection, host: Option<&str>, role: &str, findings: &mut Findings<'_>) -> Tls {
    let is_local = host.is_none_or(is_loopback);
    let choices = [("verify", Tls::Verify), ("insecure", Tls::Insecure), ("off", Tls::Off)];
    let chosen = parts.tls.as_ref().and_then(|given| findings.choose(code::UNKNOWN_CHOICE, given, &choices));
    let consent = parts.insecure_tls.as_ref();
    if let Some(consent) = consent.filter(|consent| consent.value != "accept-unverified") {
        let message = "`insecure_tls` confirms only by the word `accept-unverified`";
        findings.refuse(code::TLS, message, consent.place, "write `insecure_tls: accept-unverified`");
    }
    match (chosen, consent) {
        (Some(Tls::Insecure), None) => {
            let place = parts.tls.as_ref().map(|tls| tls.place).unwrap_or_default();
            let help =
                "prefer `tls_ca` with the server's authority, or add `insecure_tls: accept-unverified`";
            findings.refuse(code::TLS, "`tls: insecure` must be confirmed", place, help);
        }
        (Some(Tls::Insecure), Some(_)) => {
            findings.warnings.push(format!("the certificate of the {role} is not verified"));
        }
        (Some(Tls::Verify | Tls::Off) | None, Some(consent)) => {
            findings.refuse(
                code::TLS,
                "`insecure_tls` without `tls: insecure`",
                consent.place,
                "remove the key",
            );
        }
        (Some(Tls::Off), None) if !is_local => {
            findings.warnings.push(format!("traffic with the {role}, password and rows, is not encrypted"));
        }
        (Some(Tls::Verify | Tls::Off) | None, None) => {}
    }
    chosen.unwrap_or(if is_local { Tls::Off } else { Tls::Verify })
}
