//! What a run will do, from what the catalogs say. Writes nothing.

mod checks;
mod compare;
#[cfg(test)]
mod compatibility;
pub mod cut;
mod error;
mod fields;
mod nests;
mod range;
pub mod sizing;
mod tables;
mod waves;
mod window;

pub use compare::loss;
pub use error::PlanError;
pub use tables::{Known, PlannedRun, PlannedTable, plan_known, plan_run};
