//! Certificates are verified, and all drivers share one process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Circuit, ConnectionConfig, Role, Target};
use harness::Server;
use harness::private_mongodb::{PrivateMongodb, USER};
use harness::redis::{Options, Redis};
use model::spec::Tls;
use model::{ConnectionSpec, Engine, ErrorKind};
use queue::{Queue, QueueConfig, RedisConfig, SigningKey, TlsFiles};
use secrecy::SecretString;

const PASSWORD: &str = "canary-p4ss:w/rd@";

/// A server of the tests, as its address tells it.
fn spec(server: Server, engine: Engine, database: &str) -> (ConnectionSpec, String) {
    let place = server.place();
    let (host, port) = place.split_once(':').unwrap();
    let login = server.url();
    let user = login.split_once("://").and_then(|(_, rest)| rest.split_once(':')).unwrap().0.to_owned();
    let spec = at(engine, host, port.parse().unwrap(), Some(user), database);
    (spec, server.password())
}

fn at(engine: Engine, host: &str, port: u16, user: Option<String>, database: &str) -> ConnectionSpec {
    ConnectionSpec {
        host: Some(host.to_owned()),
        port: Some(port),
        user,
        database: Some(database.to_owned()),
        tls: Tls::Verify,
        ..ConnectionSpec::new(engine)
    }
}

fn open(spec: &ConnectionSpec, password: &str, authority: &Path) -> Arc<dyn Target> {
    let spec = ConnectionSpec { tls_ca: Some(authority.display().to_string()), ..spec.clone() };
    let config = ConnectionConfig {
        password: Some(SecretString::from(password.to_owned())),
        role: Role::Source,
        connections_max: 2,
        deadline: Duration::from_secs(20),
        circuit: Circuit::new(spec.engine, "the test's server"),
        spec,
    };
    connectors::open(&config).unwrap()
}

async fn redis(port: u16, authority: &Path) -> Result<(), queue::Error> {
    let url = format!("rediss://127.0.0.1:{port}/");
    let config = RedisConfig {
        url: Arc::new(move || Ok(SecretString::from(url.clone()))),
        install: "tls".to_owned(),
        tls: TlsFiles { ca: Some(authority.to_owned()), certificate: None },
    };
    let key = SigningKey::ephemeral();
    let queue = Queue::open(QueueConfig::Redis(config), key, Duration::from_secs(5)).await;
    queue?.probe().await
}

/// Drivers may bring more than one provider of cryptography, and then the first to connect panics; an authority that is
/// not trusted is told as that, before a password is sent.
#[tokio::test]
async fn five_engines_and_redis_in_one_process() {
    let authority = std::env::var("SYNCLINE_TEST_TLS_CA").expect("run `make servers`");
    let authority = Path::new(&authority);
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("wrong.pem");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=another authority", "-keyout", "/dev/null", "-out"])
        .arg(&stranger)
        .output()
        .unwrap();
    assert!(made.status.success());

    let documents = PrivateMongodb::start_secured(PASSWORD).await;
    let mongodb = at(Engine::Mongodb, "127.0.0.1", documents.port, Some(USER.to_owned()), "shop");
    let mut servers = vec![
        spec(Server::Sqlserver, Engine::Sqlserver, "master"),
        spec(Server::Postgres, Engine::Postgres, "postgres"),
        spec(Server::Mariadb, Engine::Mysql, "mysql"),
        (mongodb, PASSWORD.to_owned()),
    ];
    if !Server::Mysql.is_absent() {
        servers.push(spec(Server::Mysql, Engine::Mysql, "mysql"));
    }
    for (spec, password) in &servers {
        let told = open(spec, password, authority).server().await;
        let told = told.unwrap_or_else(|failed| panic!("{}: {failed}", spec.engine));
        assert_eq!(told.encrypted, Some(true), "{}: {told:?}", spec.engine);
        let refused = open(spec, password, &stranger).server().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Tls, "{refused}");
        assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    }
    let file = folder.path().join("shop.db").display().to_string();
    let sqlite = ConnectionSpec { path: Some(file), tls: Tls::Off, ..at(Engine::Sqlite, "", 0, None, "") };
    let config = ConnectionConfig {
        spec: sqlite,
        password: None,
        role: Role::Target,
        connections_max: 1,
        deadline: Duration::from_secs(20),
        circuit: Circuit::new(Engine::Sqlite, "the test's file"),
    };
    assert_eq!(connectors::open(&config).unwrap().server().await.unwrap().encrypted, None);

    let server = Redis::start(&Options { tls: true, ..Options::default() });
    redis(server.tls_port, authority).await.unwrap();
    assert!(redis(server.tls_port, &stranger).await.is_err());
}
