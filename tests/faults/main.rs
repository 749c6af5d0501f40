//! The fault catalogue on real servers with the real binary. A test's name begins with the fault's id.
//!
//! Every test ends with [`bed::Fleet::assert_sound`]: the target equals the source by the independent oracle, the
//! counters agree everywhere, no row was written twice, nothing is left open, and the fault was really met.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bed;
mod coordinator;
mod dashboard;
mod disk;
mod ledger;
mod limits;
mod lines;
mod network;
mod partition;
mod pipelines;
mod queue;
mod queue_full;
mod queue_time;
mod queue_trust;
mod signals;
mod watermarks;
mod worker;
