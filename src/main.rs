//! The binary `syncline`: parses, dispatches, and turns what came of it into an exit code.
//!
//! [`compose`] puts ledger, queue, coordinator and workers together, [`fleet`] what many machines share, [`incidents`] what is forged; `cli` has a file per subcommand and is the only
//! module that prints. Nothing else lives here.

mod cli;
mod compose;
mod deadline;
mod fleet;
mod incidents;

use std::process::ExitCode;

/// A copy makes and drops some values for every cell: the system's allocator took a sixth of its processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One TLS provider for every driver; only a second call could fail, and there is none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    ExitCode::from(cli::main())
}
