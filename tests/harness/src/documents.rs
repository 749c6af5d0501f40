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
