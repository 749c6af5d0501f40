//! References to what must not stand in a spec: `${env:NAME}`, `${env:NAME:-default}`, `${file:/path}`, and
//! `${password-of:NAME}`, the password in the URL that a variable holds.
//!
//! Errors name the variable or the path, never what is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::ConnectionSpec;
use secrecy::SecretString;

use crate::config::percent_decode;
use crate::environment;

/// A secret is a word, a key or a certificate; nothing larger is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where variables come from; the process environment outside tests.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A reference that could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("not `${{env:NAME}}`, `${{env:NAME:-default}}`, `${{file:/path}}` or `${{password-of:NAME}}`")]
    Form,
    #[error("variable {name} is not set")]
    VariableMissing { name: String },
    #[error("the URL in variable {name} holds no password")]
    NoPassword { name: String },
    #[error("secret file {} cannot be read", path.display())]
    FileUnreadable { path: PathBuf, source: io::Error },
    #[error("secret file {} may be read by every user of this machine", path.display())]
    FileExposed { path: PathBuf },
    #[error("secret file {} is larger than 64 KiB or not text", path.display())]
    FileContent { path: PathBuf },
}

/// Text with every reference in it replaced.
///
/// # Errors
/// If a reference has another form, or leads nowhere, or to a file that every user may read.
pub fn resolve(text: &str) -> Result<SecretString, SecretError> {
    expand(text, &process_variable).map(SecretString::from)
}

/// The password of a connection, resolved by the process that is about to connect.
///
/// # Errors
/// As `resolve`.
pub fn resolve_password(connection: &ConnectionSpec) -> Result<Option<SecretString>, SecretError> {
    connection.password.as_deref().map(resolve).transpose()
}

/// As it stands now: a variable that came from the file of variables is read there again.
pub(crate) fn process_variable(name: &str) -> Option<String> {
    environment::in_file(name).or_else(|| std::env::var(name).ok())
}

pub(crate) fn expand(text: &str, variables: Variables<'_>) -> Result<String, SecretError> {
    let mut expanded = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Variable { name, default } => match (variables(name), default) {
                (Some(value), None) => expanded.push_str(&value),
                (Some(value), Some(_)) if !value.is_empty() => expanded.push_str(&value),
                (_, Some(default)) => expanded.push_str(default),
                (None, None) => {
                    return Err(SecretError::VariableMissing { name: name.to_owned() });
                }
            },
            Piece::PasswordOf(name) => match variables(name).map(|url| url_password(&url)) {
                Some(Some(password)) => expanded.push_str(&password),
                Some(None) => return Err(SecretError::NoPassword { name: name.to_owned() }),
                None => return Err(SecretError::VariableMissing { name: name.to_owned() }),
            },
            Piece::File(path) => expanded.push_str(&read(Path::new(path))?),
        }
    }
    Ok(expanded)
}

/// Whether every reference in the text has a known form; nothing is resolved.
pub(crate) fn check(text: &str) -> Result<(), SecretError> {
    pieces(text).map(|_pieces| ())
}

/// Whether some of the text would be kept as it stands: words beside a reference, or a default.
pub(crate) fn has_literal_part(text: &str) -> bool {
    pieces(text).is_ok_and(|pieces| {
        pieces.iter().any(|piece| match piece {
            Piece::Text(text) => !text.is_empty(),
            Piece::Variable { default, .. } => default.is_some_and(|default| !default.is_empty()),
            Piece::PasswordOf(_) | Piece::File(_) => false,
        })
    })
}

enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
    PasswordOf(&'a str),
    File(&'a str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, SecretError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, after) = after.split_once('}').ok_or(SecretError::Form)?;
        pieces.push(Piece::Text(before));
        pieces.push(parse_reference(reference)?);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn parse_reference(reference: &str) -> Result<Piece<'_>, SecretError> {
    match reference.split_once(':') {
        Some(("env", rest)) => {
            let (name, default) =
                rest.split_once(":-").map_or((rest, None), |(name, default)| (name, Some(default)));
            if is_variable_name(name) {
                Ok(Piece::Variable { name, default })
            } else {
                Err(SecretError::Form)
            }
        }
        Some(("password-of", name)) if is_variable_name(name) => Ok(Piece::PasswordOf(name)),
        Some(("file", path)) if path.starts_with('/') => Ok(Piece::File(path)),
        _ => Err(SecretError::Form),
    }
}

/// The password in `scheme://user:password@host/…`.
pub(crate) fn url_password(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (login, _) = rest.rsplit_once('@')?;
    let (_, password) = login.split_once(':')?;
    percent_decode(password)
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The file's text without the line end that editors add.
fn read(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::FileUnreadable { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if is_world_readable(&metadata) {
        return Err(SecretError::FileExposed { path: path.to_owned() });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(SecretError::FileContent { path: path.to_owned() });
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let text =
        String::from_utf8(bytes).map_err(|_bytes| SecretError::FileContent { path: path.to_owned() })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(unix)]
fn is_world_readable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_metadata: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "PW" => Some("hunter2".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &variables).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_are_put_in() {
        assert_eq!(expanded("${env:PW}"), Ok("hunter2".to_owned()));
        assert_eq!(expanded("a-${env:PW}-${env:NONE:-b}"), Ok("a-hunter2-b".to_owned()));
        assert_eq!(expanded("${env:EMPTY:-x}${env:EMPTY}"), Ok("x".to_owned()));
        assert_eq!(expanded("plain $ text"), Ok("plain $ text".to_owned()));
        assert_eq!(expanded("${env:NONE}"), Err("variable NONE is not set".to_owned()));
    }

    #[test]
    fn a_value_that_looks_like_a_reference_is_not_expanded_again() {
        let sly = |_: &str| Some("${env:PW}".to_owned());
        assert_eq!(expand("${env:A}", &sly).expect("resolves"), "${env:PW}");
    }

    #[test]
    fn the_password_of_a_url_is_found_and_nothing_else_of_it() {
        let urls = |name: &str| match name {
            "URI" => Some("mongodb://app:p%40ss@a:1,b:2/shop?authSource=admin".to_owned()),
            "BARE" => Some("mongodb://a/".to_owned()),
            _ => None,
        };
        assert_eq!(expand("${password-of:URI}", &urls).expect("resolves"), "p@ss");
        assert!(matches!(expand("${password-of:BARE}", &urls), Err(SecretError::NoPassword { .. })));
        assert!(matches!(expand("${password-of:NONE}", &urls), Err(SecretError::VariableMissing { .. })));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in
            ["${", "${}", "${PW}", "${env:}", "${env:A B}", "${vault:x}", "${file:relative}", "${env:1A}"]
        {
            assert!(matches!(expand(text, &variables), Err(SecretError::Form)), "{text}");
        }
    }

    #[test]
    fn files_must_be_private_and_present() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pw");
        let reference = format!("${{file:{}}}", path.display());
        assert!(matches!(resolve(&reference), Err(SecretError::FileUnreadable { .. })));

        fs::write(&path, "hunter2\r\n").expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets the mode");
        let exposed = resolve(&reference).expect_err("world-readable");
        assert!(matches!(exposed, SecretError::FileExposed { .. }));
        assert!(!format!("{exposed} {exposed:?}").contains("hunter2"));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("sets the mode");
        let secret = resolve(&reference).expect("resolves");
        assert_eq!(secret.expose_secret(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn what_stands_in_the_spec_is_told_from_what_is_referred_to() {
        assert!(!has_literal_part("${env:PW}") && !has_literal_part("${env:PW:-}"));
        assert!(
            has_literal_part("hunter2") && has_literal_part("x${env:PW}") && has_literal_part("${env:PW:-x}")
        );
    }
}
