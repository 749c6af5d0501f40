//! Connections written as URLs.

use serde_json::Value;

use super::form::{At, Place};
use super::raw::RawConnection;
use super::validate::Findings;
use crate::problem::code;

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

/// The parts of `mysql://user:password@host:port/database`, the same for the other servers, or `sqlite:path`.
pub(super) fn parse_url(url: &str, place: Place, findings: &mut Findings<'_>) -> Option<RawConnection> {
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
        auth_source: None,
        compression: None,
        pool: None,
        batch_rows: None,
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
    let (address, options) = split_outside_reference(address, '?');
    let (authority, database) = split_outside_reference(address, '/');
    // Members of a replica set, each with its own port.
    let is_seed_list = engine == "mongodb" && authority.contains(',');
    let (host, port) = if is_seed_list { (authority, "") } else { split_host(authority) };
    if (!options.is_empty() && engine != "mongodb") || database.contains('/') {
        let message = "a URL holds user, host, port and database only";
        findings.refuse(code::BAD_URL, message, place, "write other settings as a mapping with `engine`");
        return None;
    }
    let [Some(user), Some(password), Some(database)] = [user, password, database].map(percent_decode) else {
        findings.refuse(code::BAD_URL, "a `%` in the URL is not an escape", place, "write % itself as %25");
        return None;
    };
    let mut parts = RawConnection {
        host: part(host),
        port: part(port),
        user: part(&user),
        password: part(&password),
        database: part(&database),
        ..blank(engine)
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        take_option(option, &mut parts, place, findings)?;
    }
    Some(parts)
}

/// What drivers take behind the `?` of a MongoDB URL, as far as it means something here.
fn take_option(
    option: &str,
    parts: &mut RawConnection,
    place: Place,
    findings: &mut Findings<'_>,
) -> Option<()> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let value = percent_decode(value)?;
    let text = |text: &str| Some(At::new(text.to_owned(), place));
    match (name.to_ascii_lowercase().as_str(), value.as_str()) {
        ("authsource", _) => parts.auth_source = text(&value),
        ("tls" | "ssl", "true") => parts.tls = text("verify"),
        ("tls" | "ssl", "false") => parts.tls = text("off"),
        ("compressors", "zlib") => parts.compression = text(&value),
        ("tlscafile", _) => parts.tls_ca = text(&value),
        // What is done anyway, or names what the servers say themselves.
        ("retrywrites" | "retryreads", _)
        | ("w", "majority")
        | ("readpreference", "primary")
        | ("replicaset" | "appname" | "directconnection", _) => {}
        _ => {
            let message = format!("the option `{name}` of a URL is not known, or not with this value");
            let help =
                "authSource, tls, tlsCAFile, compressors=zlib, replicaSet, w=majority, retryWrites, appName";
            findings.refuse(code::BAD_URL, message, place, help);
            return None;
        }
    }
    Some(())
}

/// A MongoDB URL as a connection of a spec, without its password. The database that it names is not the one to write to:
/// drivers ask it for the user.
///
/// # Errors
/// What is wrong with it; nothing of its text.
pub(crate) fn mongodb_url(url: &str) -> Result<Value, String> {
    if url.starts_with("mongodb+srv://") {
        return Err(
            "addresses by DNS (mongodb+srv) are not known; name the members: mongodb://a,b,c/".to_owned()
        );
    }
    if !url.starts_with("mongodb://") {
        return Err("it does not begin with mongodb://".to_owned());
    }
    let mut findings = Findings { problems: Vec::new(), warnings: Vec::new(), variables: &|_| None };
    let Some(parts) = parse_url(url, Place::default(), &mut findings) else {
        return Err(findings.problems.pop().map_or_else(String::new, |problem| problem.message));
    };
    let text = |part: &Option<At<String>>| part.as_ref().map(|part| part.value.clone());
    let port =
        text(&parts.port).map(|port| port.parse::<u16>().map_err(|_| "its port is no number".to_owned()));
    let all = [
        ("engine", Some(parts.engine.value.into())),
        ("host", text(&parts.host).map(Value::from)),
        ("port", port.transpose()?.map(Value::from)),
        ("user", text(&parts.user).map(Value::from)),
        ("auth_source", text(&parts.auth_source).or(text(&parts.database)).map(Value::from)),
        ("compression", text(&parts.compression).map(Value::from)),
        ("tls", text(&parts.tls).map(Value::from)),
        ("tls_ca", text(&parts.tls_ca).map(Value::from)),
    ];
    let given = all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Ok(Value::Object(given.collect()))
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
pub(crate) fn percent_decode(text: &str) -> Option<String> {
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
