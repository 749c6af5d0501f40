//! Specs that are right, and what becomes of them.

use model::merge::MergePolicy;
use model::plan::DeleteGuard;
use model::spec::Tls;
use model::{Engine, Mode};

use super::*;

#[test]
fn the_whole_form_is_understood() {
    let loaded = load(
        r#"
version: 1
name: shop
source: { engine: mysql, host: db1, port: 3306, user: syncline_r, password: "${env:SRC_PW}", database: shop, tls: verify }
target: { engine: sqlite, path: ./shop.db }
defaults: { mode: merge, policy: source-wins, on_bad_row: quarantine, verify: digest, chunk: { rows_max: 5000, target_size: 8MiB, target_time: 500ms }, guard: { max_delete: 10%, max_quarantined: 7 } }
tables:
  - from: "*"
    except: [tmp]
  - from: customers
    to: clients
    key: [id]
    mode: mirror
    exclude: [internal_note]
    guard: { max_delete: { rows: 50, percent: 5% } }
  - from: orders
    policy: { newest: updated_at }
    guard: { max_delete: 20, max_quarantined: 0 }
"#,
    );
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let spec = loaded.spec;
    assert_eq!(
        (spec.source.engine, spec.source.port, spec.source.tls),
        (Engine::Mysql, Some(3306), Tls::Verify)
    );
    assert_eq!(spec.source.password.as_deref(), Some("${env:SRC_PW}"));
    assert_eq!((spec.chunk.rows_max, spec.chunk.target_bytes, spec.chunk.target_ms), (5_000, 8 << 20, 500));
    let [all, customers, orders] = spec.tables.as_slice() else { panic!("three tables") };
    assert_eq!(all.except, ["tmp", "customers", "orders"]);
    assert_eq!(all.delete_guard, DeleteGuard { rows: u64::MAX, percent: 10.0 });
    assert_eq!(all.quarantined_max, 7);
    assert_eq!((customers.mode, &customers.policy), (Mode::Mirror, &MergePolicy::Mirror));
    assert_eq!(customers.delete_guard, DeleteGuard { rows: 50, percent: 5.0 });
    assert_eq!(customers.quarantined_max, 7);
    assert_eq!(orders.policy, MergePolicy::NewestWins { column: "updated_at".to_owned(), or_source: false });
    assert_eq!(orders.delete_guard, DeleteGuard { rows: 20, percent: 100.0 });
    assert_eq!(orders.quarantined_max, 0);
}

#[test]
fn the_short_form_has_the_usual_values() {
    let loaded = load(&format!("{HEAD}tables:\n  - from: t\n"));
    let [table] = loaded.spec.tables.as_slice() else { panic!("one table") };
    assert_eq!((table.mode, &table.policy), (Mode::Merge, &MergePolicy::SourceWins));
    assert_eq!((table.delete_guard, table.quarantined_max), (DeleteGuard::default(), 1_000));
    assert_eq!(loaded.spec.chunk, model::spec::ChunkLimits::default());
}

#[test]
fn the_narrower_entry_has_the_table() {
    let spec = load(&format!(
        "{HEAD}tables:\n  - from: log_old\n  - from: \"*\"\n  - from: log_*\n    mode: insert-only\n"
    ))
    .spec;
    let owner = |name: &str| {
        let owners: Vec<&str> =
            spec.tables.iter().filter(|t| t.matches(name)).map(|t| t.from.as_str()).collect();
        owners.join(" ")
    };
    assert_eq!(owner("log_old"), "log_old");
    assert_eq!(owner("log_new"), "log_*");
    assert_eq!(owner("orders"), "*");
}

#[test]
fn urls_say_the_same_as_mappings() {
    let source = |url: &str| connection(url).unwrap_or_else(|e| panic!("{}", e.render(false))).spec.source;
    let mysql = source("mysql://app@db:3307/shop");
    assert_eq!(mysql.address(), "mysql db:3307/shop");
    assert_eq!((mysql.user.as_deref(), mysql.password, mysql.tls), (Some("app"), None, Tls::Verify));
    let secret = source("\"mysql://app:${file:/run/pw}@[::1]/shop\"");
    assert_eq!((secret.host.as_deref(), secret.tls), (Some("::1"), Tls::Off));
    assert_eq!(secret.password.as_deref(), Some("${file:/run/pw}"));
    let postgres = source("postgres://app@db/shop");
    assert_eq!(postgres.address(), "postgres db/shop");
    assert_eq!(source("postgresql://app@db/shop"), postgres);
    assert_eq!(source("mongodb://db:27018/shop").address(), "mongodb db:27018/shop");
    assert_eq!(source("mongodb://a:27017,b:27018/shop").host.as_deref(), Some("a:27017,b:27018"));
    let named = source("\"mysql://${env:DB_HOST}:${env:DB_PORT}/shop\"");
    assert_eq!(named.address(), "mysql db7:3310/shop");
    assert_eq!(source("mysql://a%40b:p%3Aw@localhost/s").password.as_deref(), Some("p:w"));
    for (url, path) in
        [("sqlite:a.db", "a.db"), ("sqlite:///var/a.db", "/var/a.db"), ("sqlite://a.db", "a.db")]
    {
        assert_eq!(source(url).path.as_deref(), Some(path));
    }
}

#[test]
fn tls_is_off_at_home_and_verified_abroad() {
    let tls = |rest: &str| {
        connection(&format!("{{ engine: mysql, database: d{rest} }}"))
            .map(|loaded| (loaded.spec.source.tls, loaded.warnings.len()))
    };
    for home in ["", ", host: localhost", ", host: 127.0.0.1", ", host: \"::1\"", ", host: /run/mysqld.sock"]
    {
        assert_eq!(tls(home).expect(home), (Tls::Off, 0), "{home}");
    }
    assert_eq!(tls(", host: db1").expect("valid"), (Tls::Verify, 0));
    assert_eq!(tls(", host: db1, tls: off").expect("valid"), (Tls::Off, 1));
    assert_eq!(
        tls(", host: db1, tls: insecure, insecure_tls: accept-unverified").expect("valid"),
        (Tls::Insecure, 1)
    );
    assert!(tls(", tls: insecure").is_err() && tls(", tls: insecure, insecure_tls: yes").is_err());
    assert!(tls(", insecure_tls: accept-unverified").is_err());
}

#[test]
fn a_password_in_the_spec_is_warned_about() {
    for password in ["hunter2", "\"${env:NONE:-hunter2}\""] {
        let loaded =
            connection(&format!("{{ engine: mysql, database: d, password: {password} }}")).expect("valid");
        insta::allow_duplicates! {
            insta::assert_snapshot!(loaded.warnings.join("\n"), @r#"the password of the source stands in the spec; write "${env:NAME}" or "${file:/path}" instead"#);
        }
        assert!(!format!("{loaded:?}").contains("hunter2"));
    }
    // What is referred to is not looked at before someone connects.
    let loaded = connection("{ engine: mysql, database: d, password: \"${env:NONE}\" }").expect("valid");
    assert!(loaded.warnings.is_empty());
}
