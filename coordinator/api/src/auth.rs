//! Who asks, and what they may. Tokens are 256 random bits; the ledger knows their hashes.

use std::fmt;
use std::net::IpAddr;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ledger::{Act, Ledger, Login, NewLogin, NewToken, Role, Token};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::audit;
use crate::limits::Peer;
use crate::problem::{Problem, Result};

/// What tokens begin with, so that scanners find one that was left somewhere.
const LEAD: &str = "syn_";
const ID_DIGITS: usize = 8;
const SECRET_DIGITS: usize = 64;
const CHECK_DIGITS: usize = 8;
/// What a browser keeps of a log-in.
pub(crate) const COOKIE: &str = "syncline";

/// Makes a token: the text that its owner keeps, and what the ledger keeps.
///
/// # Errors
/// If the system has no random numbers.
pub fn make_token(
    name: &str,
    role: Role,
    lasts_ms: Option<i64>,
) -> std::result::Result<(String, NewToken), getrandom::Error> {
    let (mut id, mut secret) = ([0; ID_DIGITS / 2], [0; SECRET_DIGITS / 2]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = hex::encode(id);
    let body = format!("{LEAD}{id}_{}", hex::encode(secret));
    let text = format!("{body}{}", check_digits(&body));
    let new = NewToken { id, name: name.to_owned(), hash: hash(&text), role, lasts_ms };
    Ok((text, new))
}

/// Tells a token that was cut off or mistyped from one that nobody knows.
fn check_digits(body: &str) -> String {
    hex::encode(&Sha256::digest(body.as_bytes())[..CHECK_DIGITS / 2])
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The id in a token, if this is one.
fn id_of(text: &str) -> Option<&str> {
    let (id, rest) = text.strip_prefix(LEAD)?.split_once('_')?;
    let is_whole = id.len() == ID_DIGITS && rest.len() == SECRET_DIGITS + CHECK_DIGITS && text.is_ascii();
    let (body, check) = text.split_at_checked(text.len().checked_sub(CHECK_DIGITS)?)?;
    (is_whole && check_digits(body) == check).then_some(id)
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    Token {
        id: String,
        name: String,
    },
    /// Somebody here, as long as no token was made.
    Machine,
}

impl Caller {
    /// Nobody else has it.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Token { id, .. } => id,
            Self::Machine => "",
        }
    }

    /// What it asks for, for the audit log.
    pub(crate) fn act(&self, via: &str, action: &str, object: &str, detail: Value) -> Act {
        let text = str::to_owned;
        Act { actor: self.to_string(), via: text(via), action: text(action), object: text(object), detail }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { id, name } if name.is_empty() => write!(f, "token {id}"),
            Self::Token { id, name } => write!(f, "token {id} ({name})"),
            Self::Machine => f.write_str("this machine"),
        }
    }
}

/// What acts in the audit log came by.
pub(crate) const VIA: &str = "api";

/// Lets a request through to a route that needs this role, or answers it.
pub(crate) async fn guard(
    State((ledger, needed)): State<(Ledger, Role)>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    match role_of(&ledger, &peer, request.method(), request.headers()).await {
        Ok((role, caller)) if role >= needed => {
            request.extensions_mut().insert(role);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok((role, caller)) => {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            audit::forbidden(&ledger, (&caller, VIA), (&method, &path), (role, needed)).await;
            Problem::forbidden(format!("this takes the role {needed}; the token has {role}")).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn role_of(
    ledger: &Ledger,
    peer: &Peer,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Role, Caller)> {
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let text = given.to_str().ok().and_then(|given| given.strip_prefix("Bearer "));
        let token = known(ledger, peer, text.unwrap_or_default().trim()).await?;
        return Ok((token.role, Caller::Token { id: token.id, name: token.name }));
    }
    if ledger.has_tokens().await? {
        let detail = "a token is needed: Authorization: Bearer syn_…";
        return Err(Problem::unauthenticated(detail).next("syncline token create --role viewer"));
    }
    is_of_this_machine(method, headers)?;
    Ok((Role::Operator, Caller::Machine))
}

/// The token, if it is a good one; its use is noted. Of one that is not, too, until the peer has shown too many.
pub(crate) async fn known(ledger: &Ledger, peer: &Peer, text: &str) -> Result<Token> {
    let refused = || {
        Problem::unauthenticated("the token is not known, or is no good any more").next("syncline token list")
    };
    let Some(id) = id_of(text) else {
        peer.refused()?;
        return Err(refused());
    };
    let token = ledger.token(id).await?;
    let found =
        token.filter(|token| token.is_good && bool::from(token.hash.as_bytes().ct_eq(hash(text).as_bytes())));
    let Some(token) = found else {
        peer.refused()?;
        note(ledger, "api-token-refused", &json!({ "id": id })).await;
        return Err(refused());
    };
    if !token.is_use_noted {
        ledger.note_token_use(&token.id).await?;
    }
    Ok(token)
}

/// Makes a log-in: the cookie, and what the ledger keeps of it.
pub(crate) fn make_login(token: &str) -> std::result::Result<(String, NewLogin), getrandom::Error> {
    let (mut id, mut secret) = ([0; ID_DIGITS], [0; SECRET_DIGITS / 2]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = hex::encode(id);
    let cookie = format!("{id}_{}", hex::encode(secret));
    let login = NewLogin { id, token: token.to_owned(), hash: hash(&cookie) };
    Ok((cookie, login))
}

/// The cookie of a log-in that a request carries.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The log-in of a cookie, if it is a good one; its use is noted.
pub(crate) async fn login(ledger: &Ledger, cookie: &str) -> Result<Option<Login>> {
    let Some((id, _secret)) = cookie.split_once('_') else { return Ok(None) };
    let found = ledger.login(id).await?;
    let is_same = |login: &Login| bool::from(login.hash.as_bytes().ct_eq(hash(cookie).as_bytes()));
    let Some(login) = found.filter(is_same) else { return Ok(None) };
    if !login.is_use_noted {
        ledger.note_login_use(&login.id).await?;
    }
    Ok(Some(login))
}

/// What forms of a log-in carry: a page of another site does not know it.
pub(crate) fn form_token(cookie: &str) -> String {
    hash(&format!("form {cookie}"))
}

/// Without tokens the API listens on this machine only. A page that a browser here has open must not use it: neither by
/// a name that leads here (DNS rebinding), nor by a request across origins.
pub(crate) fn is_of_this_machine(method: &Method, headers: &HeaderMap) -> Result<()> {
    if !is_local_name(text(headers, "host").unwrap_or_default()) {
        return Err(Problem::forbidden("without tokens the API answers to localhost only")
            .next("syncline token create --role operator"));
    }
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    if !is_safe && !is_same_origin(headers) {
        return Err(Problem::forbidden("a request from another site"));
    }
    Ok(())
}

/// Whether no browser says that a page of another site sent this. Browsers that do not tell the site tell the origin.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let host = text(headers, "host").unwrap_or_default();
    text(headers, "origin").is_none_or(|origin| {
        origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")) == Some(host)
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether `host` or `host:port` means this machine whoever resolves it.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A security event; that the ledger could not take it stops nobody.
pub(crate) async fn note(ledger: &Ledger, kind: &str, detail: &serde_json::Value) {
    if let Err(error) = ledger.security_event("api", kind, 1, detail).await {
        tracing::warn!(error = %error, kind, "a security event could not be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_id_and_shows_damage() {
        let (text, new) = make_token("ci", Role::Viewer, None).expect("random numbers");
        assert_eq!(id_of(&text), Some(new.id.as_str()));
        assert!(text.starts_with("syn_") && !format!("{new:?}").contains(&text));
        assert_eq!(new.hash, hash(&text));
        let last = if text.ends_with('0') { '1' } else { '0' };
        for damaged in
            [&text[..text.len() - 1], &format!("{}{last}", &text[..text.len() - 1]), "", "syn_", "syn_é_é"]
        {
            assert_eq!(id_of(damaged), None, "{damaged}");
        }
        assert_ne!(make_token("ci", Role::Viewer, None).expect("random numbers").0, text);
    }

    #[test]
    fn only_names_that_cannot_lead_elsewhere_are_local() {
        for local in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:80", "[::1]"] {
            assert!(is_local_name(local), "{local}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example:80", "10.0.0.1:8080", "127.0.0.1.evil.example"]
        {
            assert!(!is_local_name(other), "{other}");
        }
    }
}
