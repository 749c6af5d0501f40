//! Chinook, all eleven tables with their foreign keys, between engines.

use harness::database::Database;
use harness::{Server, oracle};

use crate::syncline;

const TABLES: [&str; 11] = [
    "Album",
    "Artist",
    "Customer",
    "Employee",
    "Genre",
    "Invoice",
    "InvoiceLine",
    "MediaType",
    "Playlist",
    "PlaylistTrack",
    "Track",
];

/// The same, as PostgreSQL's script calls them.
const TABLES_IN_LOWER_CASE: [&str; 11] = [
    "album",
    "artist",
    "customer",
    "employee",
    "genre",
    "invoice",
    "invoice_line",
    "media_type",
    "playlist",
    "playlist_track",
    "track",
];

const SPEC: &str = "tables:\n  - from: \"*\"";

fn script(name: &str) -> String {
    let text = std::fs::read_to_string(oracle::root().join("tests/data/chinook").join(name)).unwrap();
    let text = text.trim_start_matches('\u{feff}');
    // Before its tables SQL Server's script does nothing else, in statements of many lines.
    let text = match text.split_once("   Create Tables\n") {
        Some((before, rest)) if before.contains("\nGO\n") => {
            rest.split_once('\n').map_or(rest, |(_, tables)| tables)
        }
        _ => text,
    };
    // The script makes and selects a database of its own; every test has another.
    text.lines()
        .filter(|line| {
            !["DROP DATABASE", "CREATE DATABASE", "USE ", "\\c "].iter().any(|start| line.starts_with(start))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Foreign keys of the database.
async fn foreign_keys(database: &Database) -> i64 {
    let sql = match database.server {
        Server::Sqlite => {
            "SELECT count(DISTINCT m.name || f.id) FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
        }
        Server::Mysql | Server::Mariadb => {
            "SELECT count(*) FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()"
        }
        Server::Postgres => "SELECT count(*) FROM pg_constraint WHERE contype = 'f'",
        Server::Sqlserver => "SELECT COUNT(*) FROM sys.foreign_keys",
        // It keeps none; what the plan says of them stands in the validators.
        Server::Mongodb => return declared_foreign_keys(&database.documents().await).await,
    };
    database.number(sql).await
}

async fn declared_foreign_keys(database: &mongodb::Database) -> i64 {
    let mut found = 0;
    for name in database.list_collection_names().await.unwrap() {
        let filter = mongodb::bson::doc! { "name": name };
        let command = mongodb::bson::doc! { "listCollections": 1, "filter": filter };
        let text = database.run_command(command).await.unwrap().to_string();
        found += text.matches("parent_columns").count();
    }
    i64::try_from(found).unwrap()
}

/// Copies there, and from what that made to a database of the first kind: what comes back is what went in.
async fn copies_there_and_back(source: Server, file: &str, by_way_of: Server) {
    let Some((from, way)) = copies_whole(source, file, by_way_of).await else { return };
    let to = Database::fresh(source).await;
    let syncline = syncline();
    let back = syncline.spec(&way, &to, SPEC);
    let _ = syncline.run(&["run", &back]).expect(0);
    oracle::assert_equal(&from, &to, tables_of(source));
    assert_eq!(foreign_keys(&to).await, 11);
    let _ = syncline.run(&["verify", &back]).expect(0);
}

/// The tables of the script that a server loads.
fn tables_of(source: Server) -> &'static [&'static str] {
    if source == Server::Postgres { &TABLES_IN_LOWER_CASE } else { &TABLES }
}

/// Gives both databases; `None` on a machine that lacks one of the servers.
async fn copies_whole(source: Server, file: &str, target: Server) -> Option<(Database, Database)> {
    if source.is_absent() || target.is_absent() {
        return None;
    }
    let (from, to) = (Database::fresh(source).await, Database::fresh(target).await);
    from.exec(&script(file)).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);

    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, tables_of(source));
    assert_eq!(foreign_keys(&to).await, 11);

    let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    let counts = &again["record"]["counts"];
    assert_eq!(counts["inserted"], 0, "{again:#}");
    assert_eq!(counts["updated"], 0, "{again:#}");
    assert_eq!(counts["unchanged"], counts["read"], "{again:#}");
    let _ = syncline.run(&["verify", &spec]).expect(0);
    Some((from, to))
}

#[tokio::test]
async fn sqlite_to_mysql() {
    let _ = copies_whole(Server::Sqlite, "Chinook_Sqlite.sql", Server::Mysql).await;
}

#[tokio::test]
async fn sqlite_to_mariadb() {
    let _ = copies_whole(Server::Sqlite, "Chinook_Sqlite.sql", Server::Mariadb).await;
}

#[tokio::test]
async fn mysql_to_sqlite() {
    let _ = copies_whole(Server::Mysql, "Chinook_MySql.sql", Server::Sqlite).await;
}

#[tokio::test]
async fn mariadb_to_sqlite() {
    let _ = copies_whole(Server::Mariadb, "Chinook_MySql.sql", Server::Sqlite).await;
}

#[tokio::test]
async fn sqlite_to_postgres() {
    let _ = copies_whole(Server::Sqlite, "Chinook_Sqlite.sql", Server::Postgres).await;
}

#[tokio::test]
async fn mysql_to_postgres() {
    let _ = copies_whole(Server::Mysql, "Chinook_MySql.sql", Server::Postgres).await;
}

#[tokio::test]
async fn mariadb_to_postgres() {
    let _ = copies_whole(Server::Mariadb, "Chinook_MySql.sql", Server::Postgres).await;
}

#[tokio::test]
async fn postgres_to_sqlite() {
    let _ = copies_whole(Server::Postgres, "Chinook_PostgreSql.sql", Server::Sqlite).await;
}

#[tokio::test]
async fn postgres_to_mysql() {
    let _ = copies_whole(Server::Postgres, "Chinook_PostgreSql.sql", Server::Mysql).await;
}

#[tokio::test]
async fn postgres_to_mariadb() {
    let _ = copies_whole(Server::Postgres, "Chinook_PostgreSql.sql", Server::Mariadb).await;
}

#[tokio::test]
async fn postgres_to_postgres() {
    let _ = copies_whole(Server::Postgres, "Chinook_PostgreSql.sql", Server::Postgres).await;
}

#[tokio::test]
async fn mysql_to_mongodb_and_back() {
    copies_there_and_back(Server::Mysql, "Chinook_MySql.sql", Server::Mongodb).await;
}

#[tokio::test]
async fn mariadb_to_mongodb_and_back() {
    copies_there_and_back(Server::Mariadb, "Chinook_MySql.sql", Server::Mongodb).await;
}

#[tokio::test]
async fn postgres_to_mongodb_and_back() {
    copies_there_and_back(Server::Postgres, "Chinook_PostgreSql.sql", Server::Mongodb).await;
}

#[tokio::test]
async fn sqlite_to_sqlserver_and_back() {
    copies_there_and_back(Server::Sqlite, "Chinook_Sqlite.sql", Server::Sqlserver).await;
}

#[tokio::test]
async fn mysql_to_sqlserver_and_back() {
    copies_there_and_back(Server::Mysql, "Chinook_MySql.sql", Server::Sqlserver).await;
}

#[tokio::test]
async fn mariadb_to_sqlserver_and_back() {
    copies_there_and_back(Server::Mariadb, "Chinook_MySql.sql", Server::Sqlserver).await;
}

#[tokio::test]
async fn postgres_to_sqlserver_and_back() {
    copies_there_and_back(Server::Postgres, "Chinook_PostgreSql.sql", Server::Sqlserver).await;
}

#[tokio::test]
async fn sqlserver_to_sqlite() {
    let _ = copies_whole(Server::Sqlserver, "Chinook_SqlServer.sql", Server::Sqlite).await;
}

#[tokio::test]
async fn sqlserver_to_mysql() {
    let _ = copies_whole(Server::Sqlserver, "Chinook_SqlServer.sql", Server::Mysql).await;
}

#[tokio::test]
async fn sqlserver_to_mariadb() {
    let _ = copies_whole(Server::Sqlserver, "Chinook_SqlServer.sql", Server::Mariadb).await;
}

#[tokio::test]
async fn sqlserver_to_postgres() {
    let _ = copies_whole(Server::Sqlserver, "Chinook_SqlServer.sql", Server::Postgres).await;
}

#[tokio::test]
async fn sqlserver_to_sqlserver() {
    let _ = copies_whole(Server::Sqlserver, "Chinook_SqlServer.sql", Server::Sqlserver).await;
}

#[tokio::test]
async fn sqlserver_to_mongodb_and_back() {
    copies_there_and_back(Server::Sqlserver, "Chinook_SqlServer.sql", Server::Mongodb).await;
}

#[tokio::test]
async fn sqlite_to_mongodb_to_mongodb_and_back() {
    let there = copies_whole(Server::Sqlite, "Chinook_Sqlite.sql", Server::Mongodb).await;
    let (from, way) = there.expect("both servers are always there");
    let syncline = syncline();
    for target in [Server::Mongodb, Server::Sqlserver, Server::Sqlite] {
        let to = Database::fresh(target).await;
        let _ = syncline.run(&["run", &syncline.spec(&way, &to, SPEC)]).expect(0);
        oracle::assert_equal(&way, &to, &TABLES);
        oracle::assert_equal(&from, &to, &TABLES);
        assert_eq!(foreign_keys(&to).await, 11);
    }
}

#[tokio::test]
async fn mysql_to_mariadb_keeps_foreign_keys_and_indexes() {
    if Server::Mysql.is_absent() {
        return;
    }
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Mariadb).await);
    from.exec(&script("Chinook_MySql.sql")).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &TABLES);
    for catalog in [
        "SELECT count(*) FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()",
        "SELECT count(DISTINCT table_name, index_name) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name NOT LIKE '\\_syncline%'",
    ] {
        assert_eq!(from.number(catalog).await, to.number(catalog).await, "{catalog}");
    }
}
