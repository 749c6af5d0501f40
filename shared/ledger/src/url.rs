//! Where the ledger is: a SQLite file or a MySQL/MariaDB database.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::any::AnyConnectOptions;

use crate::error::{Cause, Error};

const PARSE: &str = "read its address";

/// The address of a ledger: `sqlite:PATH`, a plain path, or `mysql://user:password@host:port/database`
/// (`mariadb://` is the same). `Debug` and `Display` leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub enum LedgerUrl {
    Sqlite(PathBuf),
    Mysql(MysqlUrl),
}

/// A MySQL or MariaDB address with a host and a database; made by parsing a [`LedgerUrl`].
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlUrl {
    /// With the password: for the driver only.
    pub(crate) secret: String,
    /// `mysql://user@host:port/database`.
    shown: String,
}

impl FromStr for LedgerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let address = |what| Cause::Address(what).during(PARSE);
        if text.starts_with("mysql://") || text.starts_with("mariadb://") {
            return MysqlUrl::parse(text).map(Self::Mysql).map_err(address);
        }
        let path = match text.strip_prefix("sqlite:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None if text.contains("://") => {
                return Err(address(
                    "must be `sqlite:PATH`, a path, or `mysql://user:password@host:port/database`",
                ));
            }
            None => text,
        };
        if path.is_empty() || path == ":memory:" {
            return Err(address("must name a file: several connections and processes share it"));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl MysqlUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let options: AnyConnectOptions = text.parse().map_err(|_| "is not a URL")?;
        let mut url = options.database_url;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?.to_owned();
        let database = url.path().trim_matches('/').to_owned();
        if database.is_empty() {
            return Err("names no database: it ends in `/database`");
        }
        let port = url.port().unwrap_or(3306);
        let user = url.username().to_owned();
        let has_mode = url.query_pairs().any(|(name, _)| name == "ssl-mode" || name == "sslmode");
        if !is_loopback(&host) && !has_mode {
            // As for every connection of ours: encrypted and verified unless the address says otherwise.
            url.query_pairs_mut().append_pair("ssl-mode", "VERIFY_IDENTITY");
        }
        Ok(Self {
            shown: format!("mysql://{user}@{host}:{port}/{database}"),
            secret: url.as_str().to_owned(),
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Mysql(url) => f.write_str(&url.shown),
        }
    }
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerUrl({self})")
    }
}

impl fmt::Debug for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MysqlUrl({})", self.shown)
    }
}

impl LedgerUrl {
    /// Whether several machines can share this ledger.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Mysql(_))
    }
}

#[cfg(test)]
mod tests {
    use model::ErrorKind;

    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_the_password() {
        for (text, shown) in [
            ("sqlite:a/b.db", "sqlite:a/b.db"),
            ("sqlite:///a/b.db", "sqlite:/a/b.db"),
            ("/a/b.db", "sqlite:/a/b.db"),
            ("mysql://u:hunter2@127.0.0.1:3307/led", "mysql://u@127.0.0.1:3307/led"),
            ("mariadb://u:hunter2@localhost/led", "mysql://u@localhost:3306/led"),
        ] {
            let url: LedgerUrl = text.parse().expect("an address");
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        for text in ["", "sqlite:", "sqlite::memory:", "postgres://h/d", "mysql://u:p@h", "mysql:///d"] {
            let error = text.parse::<LedgerUrl>().expect_err(text);
            assert_eq!(error.kind, ErrorKind::Unsupported, "{text}");
        }
    }

    #[test]
    fn other_hosts_are_verified_unless_told_otherwise() {
        let secret = |text: &str| match text.parse().expect("an address") {
            LedgerUrl::Mysql(url) => url.secret,
            LedgerUrl::Sqlite(_) => unreachable!("a MySQL address"),
        };
        assert!(secret("mysql://u:p@db.example/led").contains("ssl-mode=VERIFY_IDENTITY"));
        assert!(!secret("mysql://u:p@db.example/led?ssl-mode=PREFERRED").contains("VERIFY_IDENTITY"));
        assert!(!secret("mysql://u:p@[::1]/led").contains("VERIFY_IDENTITY"));
    }
}
