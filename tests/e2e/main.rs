//! End to end: the real binary, real servers, and an oracle that shares no code with the product.

#![allow(clippy::unwrap_used, reason = "tests")]

mod alerts;
mod api;
mod audit;
mod chinook;
mod crash;
mod environment;
mod fields;
mod incremental;
mod keys;
mod metrics;
mod modes;
mod mongodb;
mod nests;
mod postgres;
mod quarantine;
mod scaled;
mod sqlserver;
mod tls;
mod traps;
mod values;
mod verify;

use harness::Syncline;

fn syncline() -> Syncline {
    Syncline::new(env!("CARGO_BIN_EXE_syncline"))
}
