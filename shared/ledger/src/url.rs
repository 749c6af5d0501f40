//! Where the ledger is: a SQLite file, or a database on MySQL, MariaDB or PostgreSQL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::any::AnyConnectOptions;

use crate::error::{Cause, Error};

const PARSE: &str = "read its address";

/// The address of a ledger: `sqlite:PATH`, a plain path, or `mysql://user:password@host:port/database`
/// (`mariadb://` is the same), or `postgres://..` (`postgresql://` is the same). `Debug` and `Display` leave the
/// password out.
#[derive(Clone, PartialEq, Eq)]
pub enum LedgerUrl {
    Sqlite(PathBuf),
    Mysql(ServerUrl),
    Postgres(ServerUrl),
}

/// A server's address with a host and a database; made by parsing a [`LedgerUrl`].
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// With the password: for the driver only.
    pub(crate) secret: String,
    /// `mysql://user@host:port/database`.
    shown: String,
}

/// What addresses of one kind of server have in common.
struct Scheme {
    name: &'static str,
    port: u16,
    /// The driver's strictest TLS, and what asks for it.
    verified: (&'static str, &'static str),
    /// Parameters with which the driver would connect elsewhere than the address says.
    elsewhere: &'static [&'static str],
}

const MYSQL: Scheme =
    Scheme { name: "mysql", port: 3306, verified: ("ssl-mode", "VERIFY_IDENTITY"), elsewhere: &["socket"] };
const POSTGRES: Scheme = Scheme {
    name: "postgres",
    port: 5432,
    verified: ("sslmode", "verify-full"),
    elsewhere: &["host", "hostaddr", "port", "dbname", "user", "password"],
};

impl FromStr for LedgerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let address = |what| Cause::Address(what).during(PARSE);
        if text.starts_with("mysql://") || text.starts_with("mariadb://") {
            return ServerUrl::parse(text, &MYSQL).map(Self::Mysql).map_err(address);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return ServerUrl::parse(text, &POSTGRES).map(Self::Postgres).map_err(address);
        }
        let path = match text.strip_prefix("sqlite:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None if text.contains("://") => {
                return Err(address(
                    "must be `sqlite:PATH`, a path, or `mysql://` or `postgres://user:password@host:port/database`",
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

impl ServerUrl {
    fn parse(text: &str, scheme: &Scheme) -> Result<Self, &'static str> {
        let options: AnyConnectOptions = text.parse().map_err(|_| "is not a URL")?;
        let mut url = options.database_url;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?.to_owned();
        let database = url.path().trim_matches('/').to_owned();
        if database.is_empty() {
            return Err("names no database: it ends in `/database`");
        }
        let port = url.port().unwrap_or(scheme.port);
        let user = url.username().to_owned();
        let has_mode = url.query_pairs().any(|(name, _)| name == "ssl-mode" || name == "sslmode");
        if url.query_pairs().any(|(name, _)| scheme.elsewhere.contains(&&*name)) {
            return Err("says in a parameter where or as whom to connect: say it before the `?`");
        }
        if !is_loopback(&host) && !has_mode {
            // As for every connection of ours: encrypted and verified unless the address says otherwise. Both
            // drivers would else fall back to plain text without a word.
            let (name, value) = scheme.verified;
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(Self {
            shown: format!("{}://{user}@{host}:{port}/{database}", scheme.name),
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
            Self::Mysql(url) | Self::Postgres(url) => f.write_str(&url.shown),
        }
    }
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerUrl({self})")
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.shown)
    }
}

impl LedgerUrl {
    /// Whether several machines can share this ledger.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Mysql(_) | Self::Postgres(_))
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
            ("postgres://u:hunter2@127.0.0.1:5433/led", "postgres://u@127.0.0.1:5433/led"),
            ("postgresql://u:hunter2@localhost/led?sslmode=disable", "postgres://u@localhost:5432/led"),
        ] {
            let url: LedgerUrl = text.parse().expect("an address");
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        for text in [
            "",
            "sqlite:",
            "sqlite::memory:",
            "mssql://h/d",
            "mysql://u:p@h",
            "mysql:///d",
            "mysql://u:p@localhost/d?socket=/run/other.sock",
            "postgres://u:p@h",
            "postgres:///d?host=db.example",
            "postgres://u:p@localhost/d?host=db.example",
            "postgres://u:p@localhost/d?hostaddr=192.0.2.1",
        ] {
            let error = text.parse::<LedgerUrl>().expect_err(text);
            assert_eq!(error.kind, ErrorKind::Unsupported, "{text}");
        }
    }

    #[test]
    fn other_hosts_are_verified_unless_told_otherwise() {
        let secret = |text: &str| match text.parse().expect("an address") {
            LedgerUrl::Mysql(url) | LedgerUrl::Postgres(url) => url.secret,
            LedgerUrl::Sqlite(_) => unreachable!("a server's address"),
        };
        assert!(secret("mysql://u:p@db.example/led").contains("ssl-mode=VERIFY_IDENTITY"));
        assert!(!secret("mysql://u:p@db.example/led?ssl-mode=PREFERRED").contains("VERIFY_IDENTITY"));
        assert!(!secret("mysql://u:p@[::1]/led").contains("VERIFY_IDENTITY"));
        assert!(secret("postgres://u:p@db.example/led").contains("sslmode=verify-full"));
        assert!(secret("postgres://u:p@db.example/led?application_name=x").contains("sslmode=verify-full"));
        assert!(!secret("postgres://u:p@db.example/led?sslmode=prefer").contains("verify-full"));
        assert!(!secret("postgres://u:p@127.0.0.1/led").contains("verify-full"));
    }
}
