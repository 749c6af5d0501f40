//! Decides; never copies a row.
//!
//! [`planner`] says what a run would do, before any write. [`reconcile`] makes the ledger's wish come true: cut,
//! dispatch, reap, finish. [`past`] holds a restored ledger against what targets remember. Both can be started anywhere, any number of times: every write they make is conditional.

pub mod past;
pub mod planner;
pub mod reconcile;

pub use past::Past;
pub use planner::{PlanError, PlannedRun, plan_run};
pub use reconcile::{Coordinator, submit};
