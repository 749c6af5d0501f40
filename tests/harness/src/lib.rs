//! Real servers, fresh databases, seeded data and the real binary, for tests and benches.
//!
//! Nothing here uses the product's code: what it says about a database is an independent opinion.

pub mod browser;
pub mod data;
pub mod database;
pub mod documents;
pub mod http;
pub mod measure;
pub mod netns;
pub mod oracle;
pub mod private;
pub mod private_mongodb;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod session;
pub mod sqlserver;
pub mod syncline;
pub mod wait;

pub use database::{Database, Server};
pub use proxy::Proxy;
pub use session::Session;
pub use syncline::{Finished, Syncline};
pub use wait::wait_until;
