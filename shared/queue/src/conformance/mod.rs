//! What every store promises, driven over both; beside it, what only Redis can suffer.
//!
//! Redis is taken from `SYNCLINE_TEST_REDIS_URL`, or started for the one test. Every test has an install of its own.

mod bed;
mod consumer;
mod faults;
mod server;
mod store;

/// Makes one test per case and store. A case without a test does not compile without a warning.
macro_rules! over_both_stores {
    ($($case:ident)*) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&mut crate::conformance::bed::Bed::in_process()).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let mut bed = crate::conformance::bed::Bed::redis().await;
                super::$case(&mut bed).await;
                bed.clean().await;
            })*
        }
    };
}
use over_both_stores;
