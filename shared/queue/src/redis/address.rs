//! Where the server is: an address, or sentinels that know it; and what proves who is who.
//!
//! Asked again whenever a connection is made, so that a rotated password, a new certificate or a new primary is found
//! without a restart. Refuses TLS without verification, and certificates where there is no TLS.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, TlsCertificates,
};
use secrecy::ExposeSecret;

use super::classify::classify;
use crate::error::{Error, ErrorKind};
use crate::{RedisConfig, TlsFiles};

/// A sentinel that does not answer in this time is passed over for the next.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Address {
    config: RedisConfig,
    /// Which sentinel is asked first: after a failure another one, since the last may have been cut off.
    turn: AtomicUsize,
}

/// What the address says.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Server(String),
    Sentinels {
        /// The addresses of the sentinels, log-in included.
        sentinels: Vec<String>,
        master: String,
        scheme: &'static str,
        /// `user:password@`, or nothing.
        login: String,
        /// `/3`, or nothing.
        database: String,
    },
}

impl Address {
    /// # Errors
    /// [`ErrorKind::Config`] if the address can never be used; nothing is connected to.
    pub(super) fn new(config: RedisConfig) -> Result<Self, Error> {
        let address = Self { config, turn: AtomicUsize::new(0) };
        match address.place()? {
            Place::Server(url) => address.open(&url).map(drop)?,
            Place::Sentinels { sentinels, .. } => {
                for url in &sentinels {
                    address.open(url)?;
                }
            }
        }
        Ok(address)
    }

    /// A client for the server as it is now.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        match self.place()? {
            Place::Server(url) => self.open(&url),
            Place::Sentinels { sentinels, master, scheme, login, database } => {
                let (host, port) = self.find(&sentinels, &master).await?;
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                self.open(&format!("{scheme}://{login}{host}:{port}{database}"))
            }
        }
    }

    fn place(&self) -> Result<Place, Error> {
        // A secret that cannot be read just now is like one that is refused: worth another try.
        let url = (self.config.url)()
            .map_err(|text| Error::new(ErrorKind::Auth, "read the address of Redis").because(text))?;
        parse(url.expose_secret())
            .ok_or_else(|| Error::new(ErrorKind::Config, "read the Redis URL, which has another form"))
    }

    /// The driver's own errors could quote the address: none is kept.
    fn open(&self, url: &str) -> Result<Client, Error> {
        let refuse = |what| Error::new(ErrorKind::Config, what);
        let info = url.into_connection_info().map_err(|_| refuse("read the Redis URL"))?;
        let TlsFiles { ca, certificate } = &self.config.tls;
        let has_files = ca.is_some() || certificate.is_some();
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(refuse("use TLS without verification"));
        }
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if has_files && !is_tls {
            return Err(refuse("use certificates without TLS: write rediss://"));
        }
        // Not to be told the driver's name is no loss, and the command need not be allowed.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(settings);
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        if !is_tls {
            return Client::open(info).map_err(|_| refuse("use the Redis URL"));
        }
        // Without a provider the driver panics. If one is installed already, it stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client_tls = match certificate {
            None => None,
            Some((certificate, key)) => {
                Some(ClientTlsConfig { client_cert: file(certificate)?, client_key: file(key)? })
            }
        };
        let root_cert = ca.as_deref().map(file).transpose()?;
        let built = Client::build_with_tls(info, TlsCertificates { client_tls, root_cert });
        built.map_err(|_| refuse("use the certificates for Redis"))
    }

    /// The primary, as the first sentinel says that knows it.
    async fn find(&self, sentinels: &[String], master: &str) -> Result<(String, u16), Error> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = None;
        for at in 0..sentinels.len() {
            match self.ask(&sentinels[(first + at) % sentinels.len()], master).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::new(ErrorKind::Unreachable, "find the primary: no sentinel knows one of this name")
        }))
    }

    async fn ask(&self, sentinel: &str, master: &str) -> Result<Option<(String, u16)>, Error> {
        let client = self.open(sentinel)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SENTINEL_TIMEOUT))
            .set_response_timeout(Some(SENTINEL_TIMEOUT));
        let asked = async {
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut connection).await
        };
        asked.await.map_err(|error| Error::new(classify(&error), "ask a sentinel").because(error))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)") // It may hold passwords.
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        Error::new(ErrorKind::Config, "read a certificate for Redis")
            .because(format!("{}: {error}", path.display()))
    })
}

/// `redis://`, `rediss://`, `redis+unix://` as they stand, or
/// `redis+sentinel://user:password@host:port,host:port/master/0?sentinel_user=..&sentinel_password=..`, with
/// `rediss+sentinel` for TLS to all.
fn parse(url: &str) -> Option<Place> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "redis+sentinel" => "redis",
        "rediss+sentinel" => "rediss",
        _ => return Some(Place::Server(url.to_owned())),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (format!("{login}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, path) = rest.split_once('/')?;
    let (master, database) = match path.split_once('/') {
        Some((master, database)) => (master, format!("/{database}")),
        None => (path, String::new()),
    };
    let (mut user, mut password) = ("", "");
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("sentinel_user", value) => user = value,
            ("sentinel_password", value) => password = value,
            _ => return None,
        }
    }
    let own = if password.is_empty() { String::new() } else { format!("{user}:{password}@") };
    let each = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        (!host.is_empty())
            .then(|| format!("{scheme}://{own}{host}{}", if has_port { "/" } else { ":26379/" }))
    };
    let sentinels = hosts.split(',').map(each).collect::<Option<Vec<_>>>()?;
    let is_named = !master.is_empty() && master.bytes().all(|b| b.is_ascii_graphic());
    is_named.then(|| Place::Sentinels { sentinels, master: master.to_owned(), scheme, login, database })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sentinels_are_read() {
        let url = "rediss+sentinel://app:p%40ss@a:1,b,[::1]:3/mymaster/2?sentinel_user=s&sentinel_password=x";
        let expected = Place::Sentinels {
            sentinels: ["a:1", "b:26379", "[::1]:3"].map(|host| format!("rediss://s:x@{host}/")).into(),
            master: "mymaster".into(),
            scheme: "rediss",
            login: "app:p%40ss@".into(),
            database: "/2".into(),
        };
        assert_eq!(parse(url), Some(expected));
        let plain = parse("redis+sentinel://a/m").unwrap();
        assert!(
            matches!(plain, Place::Sentinels { ref sentinels, .. } if *sentinels == ["redis://a:26379/"])
        );
        for bad in [
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a,,b/m",
            "redis+sentinel://a/m?x=1",
            "x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("redis://h/"), Some(Place::Server("redis://h/".into())));
    }
}
