//! What tests ask of MongoDB past the product.

use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};

/// The server at `mongodb://host:port`, and no other member of its set.
///
/// # Panics
/// The address is of another form.
pub async fn client(base: &str) -> Client {
    Client::with_uri_str(format!("{base}/?directConnection=true")).await.expect("an address")
}

/// Runs a command, written in Extended JSON.
///
/// # Panics
/// It fails, as a whole or for one of its documents.
pub async fn command(database: &Database, json: &str) {
    let command: Document = serde_json::from_str(json).expect("a command in Extended JSON");
    let answer = database.run_command(command).await.expect("the command runs");
    assert!(!answer.contains_key("writeErrors"), "{answer}");
}

/// Documents of a collection.
///
/// # Panics
/// There is no such collection.
pub async fn count(database: &Database, collection: &str) -> i64 {
    let names = database.list_collection_names().await.expect("listed");
    assert!(names.iter().any(|name| name == collection), "no collection {collection}");
    let counted = database.collection::<Document>(collection).count_documents(doc! {}).await;
    counted.ok().and_then(|n| i64::try_from(n).ok()).expect("counted")
}

/// Collections of a database.
///
/// # Panics
/// The server does not answer.
pub async fn collections(database: &Database) -> i64 {
    let names = database.list_collection_names().await.expect("listed");
    i64::try_from(names.len()).expect("few")
}
