//! What every connector owes, as tests: a promise of [`Source`](crate::Source) or [`Target`] is a case here first
//! and code second. Every engine runs every case, each in a database of its own.
//!
//! A case makes its tables through the product (`prepare` with a plan) and judges by what can be read back. Keys
//! are never ordered here: what the order of an engine is, the engine says.

mod bench;
mod dice;
pub mod fence;
pub mod finish;
pub mod keyset;
pub mod reads;
mod samples;
pub mod schema;
pub mod values;
pub mod writes;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;

use crate::{Role, Target};

/// What an engine's test supplies: one empty database, nobody else's.
#[async_trait]
pub trait Lab: Send + Sync {
    /// Opens the database; each call is a process of its own.
    fn open(&self, role: Role) -> Arc<dyn Target>;

    /// Runs one statement of the engine's own SQL, past the product. `false` if the engine speaks none.
    async fn native_sql(&self, sql: &str) -> bool;

    /// Whether chunks of one table are written at the same time; else they take turns.
    fn writes_in_parallel(&self) -> bool;

    /// Takes the database away.
    async fn finish(&self);
}

/// Runs a case and takes its database away, whatever came of the case. Without a lab, where the caller allows
/// that, there is nothing to run.
pub async fn run(lab: Option<Box<dyn Lab>>, case: impl AsyncFnOnce(&dyn Lab)) {
    let Some(lab) = lab else { return };
    let outcome = AssertUnwindSafe(Box::pin(case(lab.as_ref()))).catch_unwind().await;
    lab.finish().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// One test per case: `conformance_suite!(sqlite, start)` makes the module `sqlite`, whose tests call
/// `start().await` for a boxed [`Lab`], or for `None` if the engine is excused.
#[macro_export]
macro_rules! conformance_suite {
    ($engine:ident, $start:path) => {
        $crate::conformance_suite! { @modules $engine, $start;
            schema:
                a_server_says_what_it_is created_tables_read_back preparing_twice_changes_nothing
                a_missing_table_is_none a_missing_table_is_not_made_unasked evil_names_round_trip
                tables_are_sorted_and_only_the_users a_generated_column_is_read_and_never_written
                a_unique_index_serves_as_key a_table_without_key_is_copied_whole;
            finish:
                indexes_are_built_once indexes_of_like_names_are_all_built an_index_that_rows_break_is_a_note missing_parents_are_a_note
                a_forgotten_run_leaves_no_receipt tables_that_follow_a_delete_are_named;
            values:
                integers_and_booleans decimals floats dates times date_times instants text fixed_text binary json
                uuids large_values random_rows;
            keyset:
                integer_keys unsigned_keys text_keys uuid_keys date_keys date_time_keys decimal_keys binary_keys
                pairs skewed_triples sixteen_columns an_empty_table one_row a_boundary_that_was_deleted
                keys_under_a_coarse_collation;
            fence:
                an_older_attempt_is_refused an_equal_attempt_goes_on a_later_attempt_finds_the_receipt
                an_older_run_is_refused an_older_run_cannot_prepare another_installation_is_refused
                a_target_remembers_who_wrote_it
                dropping_leaves_nothing two_attempts_at_one_chunk_have_one_effect
                chunks_side_by_side_all_end a_newer_run_waits_for_open_writers;
            writes:
                a_duplicate_refuses_the_whole_insert a_null_refuses_the_whole_insert
                a_long_text_is_refused_or_kept a_second_unique_index_guards_its_rows
                a_refused_update_changes_nothing update_touches_only_its_rows
                a_refused_row_refuses_many_updates an_update_of_a_missing_row_is_refused delete_says_how_many
                nothing_to_write_is_fine existing_finds_exactly_these_keys long_key_lists
                errors_carry_no_value a_full_batch_is_one_insert;
            reads:
                many_rows_come_in_batches wide_rows_come_in_small_batches key_lists_find_exactly_these_rows
                a_read_given_up_frees_its_connection uncommitted_rows_are_not_seen
                what_cannot_be_decoded_is_set_aside a_vanished_table_is_an_error;
        }
    };
    (@modules $engine:ident, $start:path; $($group:ident: $($case:ident)+;)+) => {
        mod $engine {
            $(mod $group {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::conformance::run($start().await, $crate::conformance::$group::$case).await;
                })+
            })+
        }
    };
}

#[cfg(test)]
mod tests {
    /// Cases that no engine runs would be promises nobody keeps.
    #[test]
    fn every_case_is_listed() {
        let listed = include_str!("mod.rs");
        let groups = [
            include_str!("fence.rs"),
            include_str!("finish.rs"),
            include_str!("keyset.rs"),
            include_str!("reads.rs"),
            include_str!("schema.rs"),
            include_str!("values.rs"),
            include_str!("writes.rs"),
        ];
        for case in
            groups.iter().flat_map(|text| text.lines()).filter_map(|l| l.strip_prefix("pub async fn "))
        {
            let name = case.split('(').next().unwrap_or_default();
            let is_listed = listed.split_whitespace().any(|word| word.trim_end_matches(';') == name);
            assert!(is_listed, "the case {name} is not in conformance_suite!");
        }
    }
}
