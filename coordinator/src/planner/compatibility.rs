//! Renders `docs/compatibility.md` from what the planner would do, and holds the page to it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Circuit, ConnectionConfig, Role, Target};
use model::{Column, ConnectionSpec, Engine, LogicalType};

use super::compare;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.md");
const ENGINES: [Engine; 5] =
    [Engine::Sqlite, Engine::Mysql, Engine::Postgres, Engine::Mongodb, Engine::Sqlserver];

const HEAD: &str = "# Compatibility, pair by pair

What a column of each type becomes in each engine, and what its values may lose there: generated from the program (`make docs`)
and held to it by a test. A loss means that such values are quarantined, or cut where it says so; `syncline plan` shows the
same for the columns you have, and `plan --scan` counts the rows. The reasons behind it are in [types](types.md).

MariaDB has MySQL's types. Numbers in brackets are the losses below each table.
";

fn opened(engine: Engine) -> Arc<dyn Target> {
    let is_file = engine == Engine::Sqlite;
    let spec = ConnectionSpec {
        host: (!is_file).then(|| "127.0.0.1".to_owned()),
        port: (!is_file).then_some(1),
        database: (!is_file).then(|| "none".to_owned()),
        path: is_file.then(|| "/nonexistent/none.db".to_owned()),
        ..ConnectionSpec::new(engine)
    };
    let config = ConnectionConfig {
        spec,
        password: None,
        role: Role::Source,
        connections_max: 1,
        deadline: Duration::from_secs(1),
        circuit: Circuit::new(engine, "nobody"),
    };
    connectors::open(&config).expect("nothing is connected to yet")
}

fn types() -> Vec<LogicalType> {
    let int = |bits, unsigned| LogicalType::Int { bits, unsigned };
    let decimal = |precision, scale| LogicalType::Decimal { precision, scale };
    let text = |max_chars, fixed| LogicalType::Text { max_chars, fixed, long: max_chars.is_none() };
    let bytes = |max_bytes, fixed| LogicalType::Bytes { max_bytes, fixed, long: max_bytes.is_none() };
    let mut all = vec![LogicalType::Bool];
    all.extend([8, 16, 32, 64].map(|bits| int(bits, false)));
    all.extend([8, 16, 32, 64].map(|bits| int(bits, true)));
    all.extend([decimal(12, 2), decimal(34, 4), decimal(65, 30), LogicalType::AnyDecimal]);
    all.extend([LogicalType::Float32, LogicalType::Float64, LogicalType::Date]);
    all.extend([LogicalType::Time { fraction: 0 }, LogicalType::Time { fraction: 6 }]);
    all.extend([0, 3, 6].map(|fraction| LogicalType::DateTime { fraction }));
    all.extend([3, 6].map(|fraction| LogicalType::Instant { fraction }));
    all.extend([text(Some(10), true), text(Some(200), false), text(None, false)]);
    all.extend([bytes(Some(16), true), bytes(Some(200), false), bytes(None, false)]);
    all.extend([LogicalType::Json, LogicalType::Uuid]);
    all
}

/// The types that an engine itself has, each once.
fn columns(source: &dyn Target) -> Vec<Column> {
    let mut found: Vec<Column> = Vec::new();
    for logical in types() {
        let column = source.column_for(&Column::new("c", logical, true));
        if !found.iter().any(|known| (&known.native, &known.logical) == (&column.native, &column.logical)) {
            found.push(column);
        }
    }
    found
}

fn section(page: &mut String, source: Engine, targets: &[(Engine, Arc<dyn Target>)]) {
    let mut losses: Vec<String> = Vec::new();
    let _ = write!(page, "\n## From {}\n\n| type |", title(source));
    for (engine, _) in targets {
        let _ = write!(page, " {} |", title(*engine));
    }
    let _ = writeln!(page, "\n|---|{}", "---|".repeat(targets.len()));
    for column in columns(opened(source).as_ref()) {
        let meaning = if column.native == column.logical.to_string() {
            String::new()
        } else {
            format!(", {}", column.logical)
        };
        let _ = write!(page, "| `{}`{meaning} |", column.native);
        for (engine, target) in targets {
            let pair = compare::pair(&column, target.column_for(&column), (source, *engine));
            let mark = pair.loss.map_or_else(String::new, |loss| format!(" [{}]", number(&mut losses, loss)));
            let _ = write!(page, " `{}`{mark} |", pair.target.native);
        }
        page.push('\n');
    }
    for (at, loss) in losses.iter().enumerate() {
        let _ = write!(page, "{}[{}] {loss}.", if at == 0 { "\n" } else { "\\\n" }, at + 1);
    }
    page.push('\n');
}

/// The place of a loss in the list, where it stands once.
fn number(losses: &mut Vec<String>, loss: String) -> usize {
    let place = losses.iter().position(|known| *known == loss).unwrap_or_else(|| {
        losses.push(loss);
        losses.len() - 1
    });
    place + 1
}

const fn title(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite",
        Engine::Mysql => "MySQL",
        Engine::Postgres => "PostgreSQL",
        Engine::Mongodb => "MongoDB",
        Engine::Sqlserver => "SQL Server",
        Engine::Memory => "memory",
    }
}

/// `SYNCLINE_WRITE_DOCS=1` writes the page instead.
#[tokio::test]
async fn the_page_says_what_the_program_does() {
    let targets: Vec<(Engine, Arc<dyn Target>)> = ENGINES.map(|engine| (engine, opened(engine))).into();
    let mut page = HEAD.to_owned();
    for source in ENGINES {
        section(&mut page, source, &targets);
    }
    if std::env::var("SYNCLINE_WRITE_DOCS").is_ok_and(|v| v == "1") {
        std::fs::write(PAGE, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/compatibility.md is not what the program does: run `make docs`");
}
