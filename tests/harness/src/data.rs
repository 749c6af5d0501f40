//! Seeded data: the same seed gives the same rows, on every machine and in every version.

use std::fmt::Write as _;

use crate::Database;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and stable for ever, which library generators do not promise.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        items[at]
    }
}

/// Fourteen columns, about 360 bytes a row: Unicode, exact decimals, JSON, NULLs, an index on the change column.
pub const CUSTOMERS_MYSQL: &str = "CREATE TABLE customers (
    id BIGINT NOT NULL PRIMARY KEY, email VARCHAR(120) NOT NULL, first_name VARCHAR(60) NOT NULL,
    last_name VARCHAR(60) NOT NULL, country CHAR(2) NOT NULL, city VARCHAR(80), birth DATE,
    balance DECIMAL(12,2) NOT NULL, credit DECIMAL(18,6), active TINYINT NOT NULL, score DOUBLE,
    profile JSON, notes TEXT, updated_at DATETIME(6) NOT NULL, KEY customers_updated_at (updated_at))";

/// The same for SQLite.
pub const CUSTOMERS_SQLITE: &str = "CREATE TABLE customers (
    id INTEGER NOT NULL PRIMARY KEY, email VARCHAR(120) NOT NULL, first_name VARCHAR(60) NOT NULL,
    last_name VARCHAR(60) NOT NULL, country CHAR(2) NOT NULL, city VARCHAR(80), birth DATE,
    balance DECIMAL(12,2) NOT NULL, credit DECIMAL_TEXT(18,6), active TINYINT NOT NULL, score DOUBLE,
    profile JSON_TEXT, notes TEXT, updated_at DATETIME(6) NOT NULL);
    CREATE INDEX customers_updated_at ON customers (updated_at)";

/// The same for SQL Server.
pub const CUSTOMERS_SQLSERVER: &str = "CREATE TABLE customers (
    id bigint NOT NULL PRIMARY KEY, email nvarchar(120) NOT NULL, first_name nvarchar(60) NOT NULL,
    last_name nvarchar(60) NOT NULL, country nchar(2) NOT NULL, city nvarchar(80), birth date,
    balance decimal(12,2) NOT NULL, credit decimal(18,6), active tinyint NOT NULL, score float,
    profile nvarchar(max), notes nvarchar(max), updated_at datetime2(6) NOT NULL);
    CREATE INDEX customers_updated_at ON customers (updated_at)";

/// A composite key whose first column is skewed: tenant 1 owns nine rows in ten.
pub const ORDERS_MYSQL: &str = "CREATE TABLE orders (
    tenant_id INT NOT NULL, region CHAR(2) NOT NULL, order_no BIGINT NOT NULL, customer_id BIGINT NOT NULL,
    status VARCHAR(20) NOT NULL, total DECIMAL(14,2) NOT NULL, placed_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, region, order_no))";

const FIRST: [&str; 8] = ["Zoë", "José", "Žofia", "李", "Ольга", "O'Brien", "Søren", "Mary Ann"];
const LAST: [&str; 8] =
    ["Müller", "García", "Nguyễn", "王小明", "Иванов", "D\\'Arcy", "de la \"Cruz\"", "😀 Smith"];
const CITY: [&str; 6] = ["Zürich", "São Paulo", "東京", "Kraków", "New York", "Αθήνα"];
const COUNTRY: [&str; 6] = ["CH", "BR", "JP", "PL", "US", "GR"];

/// Appends one customer as a tuple of SQL literals that MySQL and SQLite read alike, but for backslashes, which the
/// caller doubles for MySQL.
fn customer(sql: &mut String, id: u64, dice: &mut Dice, backslash: &str) {
    let quoted = |text: &str| text.replace('\\', backslash).replace('\'', "''");
    let (first, last) = (dice.pick(&FIRST), dice.pick(&LAST));
    let (city, country) = (dice.pick(&CITY), dice.pick(&COUNTRY));
    let (cents, micro) = (dice.below(100_000_000), dice.below(1_000_000_000_000));
    let birth = if dice.below(10) == 0 {
        "NULL".to_owned()
    } else {
        format!("'{}-{:02}-{:02}'", 1930 + dice.below(80), 1 + dice.below(12), 1 + dice.below(28))
    };
    let notes = match dice.below(4) {
        0 => "NULL".to_owned(),
        1 => "''".to_owned(),
        _ => format!("'{} prefers letters; called {} times.  '", quoted(first), dice.below(100)),
    };
    let sign = if dice.below(5) == 0 { "-" } else { "" };
    // Writing to a String cannot fail.
    let _ = write!(
        sql,
        "({id}, 'user{id}@example.com', '{}', '{}', '{country}', '{}', {birth}, {sign}{}.{:02}, {}.{:06}, {}, {}, \
         '{{\"tier\": {}, \"tags\": [\"a\", \"é\"], \"rate\": {}.5}}', {notes}, '2024-{:02}-{:02} {:02}:{:02}:{:02}.{:06}')",
        quoted(first),
        quoted(last),
        quoted(city),
        cents / 100,
        cents % 100,
        micro / 1_000_000,
        micro % 1_000_000,
        dice.below(2),
        f64::from(u32::try_from(dice.below(1 << 30)).unwrap_or(0)) / 1024.0,
        dice.below(5),
        dice.below(9),
        1 + dice.below(12),
        1 + dice.below(28),
        dice.below(24),
        dice.below(60),
        dice.below(60),
        dice.below(1_000_000),
    );
}

/// INSERT statements of 1,000 rows each; ids have gaps. `mysql` says whose escapes are used.
pub fn customers(rows: u64, seed: u64, mysql: bool) -> impl Iterator<Item = String> {
    let mut dice = Dice::new(seed);
    let (mut id, mut made) = (0, 0);
    std::iter::from_fn(move || {
        if made == rows {
            return None;
        }
        let mut sql = String::from("INSERT INTO customers VALUES ");
        let batch = (rows - made).min(1_000);
        for n in 0..batch {
            id += 1 + if dice.below(50) == 0 { dice.below(100_000) } else { 0 };
            sql.push_str(if n > 0 { ", " } else { "" });
            customer(&mut sql, id, &mut dice, if mysql { "\\\\" } else { "\\" });
        }
        made += batch;
        Some(sql)
    })
}

/// INSERT statements for `orders`, 1,000 rows each.
pub fn orders(rows: u64, seed: u64) -> impl Iterator<Item = String> {
    let mut dice = Dice::new(seed);
    let mut made = 0;
    std::iter::from_fn(move || {
        if made == rows {
            return None;
        }
        let mut sql = String::from("INSERT INTO orders VALUES ");
        let batch = (rows - made).min(1_000);
        for n in 0..batch {
            let tenant = if dice.below(10) < 9 { 1 } else { 2 + dice.below(50) };
            let separator = if n > 0 { ", " } else { "" };
            let _ = write!(
                sql,
                "{separator}({tenant}, '{}', {}, {}, '{}', {}.{:02}, '2024-05-{:02} 10:00:00.{:06}')",
                dice.pick(&COUNTRY),
                (made + n) * 3 + dice.below(3),
                dice.below(1_000_000),
                dice.pick(&["open", "paid", "sent", "void"]),
                dice.below(10_000),
                dice.below(100),
                1 + dice.below(28),
                dice.below(1_000_000),
            );
        }
        made += batch;
        Some(sql)
    })
}

/// Fills a new table of customers in MySQL or MariaDB, some megabytes a round trip.
///
/// # Panics
/// The table is there, or the server does not answer.
pub async fn load_customers(source: &Database, rows: u64) {
    // A collation that both products know, or the dump could not be loaded.
    let table = format!("{} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", CUSTOMERS_MYSQL);
    source.exec(&table).await;
    let mut statements = customers(rows, 42, true).peekable();
    while statements.peek().is_some() {
        let joined: Vec<String> = statements.by_ref().take(16).collect();
        source.exec(&joined.join(";")).await;
    }
}
