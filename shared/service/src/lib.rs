//! Start and stop: the spec file, secret references, logs, shutdown, and what people read when something fails.
//!
//! Refuses: databases, the ledger, the queue, and printing. Text is made here; the binary alone prints it.

pub mod config;
pub mod environment;
pub mod problem;
pub mod secret;
pub mod shutdown;
pub mod telemetry;

pub use config::{LoadedSpec, SpecError, load_spec, parse_spec, spec_schema};
pub use problem::{Problem, explain};
pub use secret::{SecretError, resolve, resolve_password};
pub use shutdown::{Drained, Shutdown, Signal};
pub use telemetry::{LogFormat, chain};
