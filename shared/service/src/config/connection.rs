//! Connections: what each engine needs, URLs, references and TLS.

use model::spec::{Tls, is_loopback};
use model::{ConnectionSpec, Engine};

use super::form::{At, Form, Place};
use super::raw::RawConnection;
use super::validate::Findings;
use crate::problem::code;
use crate::secret;

const URL_HELP: &str = "write mysql://user@host:3306/database, postgres://user@host:5432/database, \
     mongodb://user@host:27017/database, sqlserver://user@host:1433/database or sqlite:path, or a mapping with `engine`";
/// What a URL may begin with, and the engine it names.
const SCHEMES: [(&str, &str); 6] = [
    ("mysql://", "mysql"),
    ("postgres://", "postgres"),
    ("postgresql://", "postgres"),
    ("mongodb://", "mongodb"),
    ("sqlserver://", "sqlserver"),
    ("mssql://", "sqlserver"),
];
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
    Some(ConnectionSpec { engine, host, port, user, password, database, path, tls, tls_ca })
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
        ],
        Engine::Mysql | Engine::Postgres | Engine::Mongodb | Engine::Sqlserver => &[("path", &parts.path)],
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

/// The parts of `mysql://user:password@host:port/database`, the same for the other servers, or `sqlite:path`.
fn parse_url(url: &str, place: Place, findings: &mut Findings<'_>) -> Option<RawConnection> {
    let part = |text: &str| (!text.is_empty()).then(|| At::new(text.to_owned(), place));
    let blank = |engine: &str| RawConnection {
        engine: At::new(engine.to_owned(), place),
        host: None,
        port: None,
        user: None,
        password: None,
        database: None,
        path: None,
        tls: None,
        tls_ca: None,
        insecure_tls: None,
    };
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Some(RawConnection {
            path: part(path.strip_prefix("//").unwrap_or(path)),
            ..blank("sqlite")
        });
    }
    let scheme = SCHEMES.iter().find_map(|(lead, engine)| Some((url.strip_prefix(lead)?, *engine)));
    let Some((rest, engine)) = scheme else {
        findings.refuse(code::BAD_URL, code::BAD_URL.title, place, URL_HELP);
        return None;
    };
    let (login, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (user, password) = split_outside_reference(login, ':');
    let (authority, database) = split_outside_reference(address, '/');
    // Members of a replica set, each with its own port.
    let is_seed_list = engine == "mongodb" && authority.contains(',');
    let (host, port) = if is_seed_list { (authority, "") } else { split_host(authority) };
    if database.contains('?') || database.contains('/') {
        let message = "a URL holds user, host, port and database only";
        findings.refuse(code::BAD_URL, message, place, "write other settings as a mapping with `engine`");
        return None;
    }
    let [Some(user), Some(password), Some(database)] = [user, password, database].map(percent_decode) else {
        findings.refuse(code::BAD_URL, "a `%` in the URL is not an escape", place, "write % itself as %25");
        return None;
    };
    Some(RawConnection {
        host: part(host),
        port: part(port),
        user: part(&user),
        password: part(&password),
        database: part(&database),
        ..blank(engine)
    })
}

/// Splits at the first separator that is not inside a `${…}`.
fn split_outside_reference(text: &str, separator: char) -> (&str, &str) {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 => return (&text[..at], &text[at + c.len_utf8()..]),
            _ => {}
        }
    }
    (text, "")
}

/// Host and port; an IPv6 address stands in brackets.
fn split_host(authority: &str) -> (&str, &str) {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
        None => split_outside_reference(authority, ':'),
    }
}

/// References are left alone: a path or default in them is not a part of the URL.
fn percent_decode(text: &str) -> Option<String> {
    if text.contains("${") {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}
