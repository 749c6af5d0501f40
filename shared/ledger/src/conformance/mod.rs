//! The conformance suite: every case runs on SQLite, MySQL, MariaDB and PostgreSQL.
//!
//! A server whose address is missing fails its cases; MySQL alone may be left out by
//! `SYNCLINE_TEST_ALLOW_NO_MYSQL=1`, where it cannot be installed. Each case has a database of its own.

mod alerts;
mod audit;
mod claims;
mod conflicts;
mod control;
mod opening;
mod past;
mod pipelines;
mod planning;
mod quarantine;
mod requests;
mod runs;
mod security;
mod sums;
mod tokens;
mod watermarks;
mod world;

use world::{Server, World};

/// Declares one test per server for each case.
macro_rules! cases {
    ($server:ident, $variant:ident: $($module:ident::$case:ident),+ $(,)?) => {
        mod $server {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    super::World::run(super::Server::$variant, super::$module::$case).await;
                }
            )+
        }
    };
}

macro_rules! conformance {
    ($($case:tt)+) => {
        cases!(sqlite, Sqlite: $($case)+);
        cases!(mysql, Mysql: $($case)+);
        cases!(mariadb, Mariadb: $($case)+);
        cases!(postgres, Postgres: $($case)+);
    };
}

conformance!(
    audit::an_audit_log_is_kept_in_order,
    audit::tampering_with_the_audit_log_is_found,
    audit::an_audit_log_with_a_key_takes_no_forged_entry,
    runs::a_run_lives_and_ends,
    runs::turns_are_unique_and_ordered,
    runs::runs_are_found_by_latest_id_and_prefix,
    runs::a_run_that_cannot_be_read_hides_no_other,
    runs::a_run_that_cannot_be_read_can_be_ended,
    runs::a_halted_run_resumes_where_it_stood,
    runs::a_cancelled_run_resumes_with_all_its_chunks,
    runs::a_run_with_open_work_cannot_be_done,
    runs::tables_are_added_once,
    runs::tables_move_only_from_where_they_stand,
    runs::held_tables_wait_for_a_person,
    runs::notes_are_kept_once,
    runs::events_are_numbered_in_the_order_they_appear,
    runs::workers_come_and_go,
    planning::adding_chunks_again_is_harmless,
    planning::two_planners_make_one_chain,
    planning::chunks_are_added_to_their_pass_only,
    planning::due_chunks_are_handed_out_once_in_a_while,
    planning::two_dispatchers_get_different_chunks,
    planning::chunk_lists_page_in_order,
    claims::one_of_eight_claimers_wins,
    claims::a_claim_whose_answer_was_lost_is_found_again,
    claims::eight_workers_finish_every_chunk_once,
    claims::a_stale_settle_changes_nothing,
    claims::a_repeated_settle_answers_as_the_first,
    claims::an_expired_lease_is_taken_back,
    claims::a_claim_takes_over_an_expired_lease,
    claims::three_deaths_quarantine_a_chunk,
    claims::failures_are_retried_until_the_cap,
    claims::refusals_are_not_retried,
    claims::a_yield_costs_no_try,
    claims::a_halt_costs_no_try_and_ends_the_run,
    claims::a_beat_keeps_the_lease_and_brings_the_cancel,
    claims::a_worker_seen_dead_is_buried,
    claims::nothing_is_claimed_of_what_does_not_run,
    control::a_paused_run_rests_until_it_goes_on,
    control::nothing_is_claimed_while_a_brake_holds,
    control::pause_and_cancel_come_in_any_order,
    control::a_worker_asked_to_drain_is_told,
    control::a_chunk_that_proved_too_big_leaves_a_rest,
    control::a_stale_cut_changes_nothing,
    control::shares_never_sum_to_more_than_the_limit,
    alerts::a_message_is_kept_until_it_is_taken,
    conflicts::conflicts_are_those_of_the_last_attempt,
    quarantine::rows_replace_those_of_the_attempt_before,
    quarantine::quarantined_chunks_are_retried,
    quarantine::rows_page_in_order,
    sums::the_record_is_the_sum_of_its_chunks,
    sums::digests_are_summed_modulo_2_128,
    sums::a_long_run_is_summed_and_served,
    security::security_events_are_counted_and_kept,
    security::a_flood_of_security_events_fills_no_ledger,
    security::what_a_run_waits_for_is_said_once,
    pipelines::a_due_time_starts_one_run,
    pipelines::a_run_under_way_is_not_doubled,
    pipelines::a_pause_holds_until_it_is_taken_back,
    pipelines::an_interval_that_was_set_wins_over_the_file,
    pipelines::a_pipeline_without_a_schedule_waits_to_be_asked,
    pipelines::the_end_of_another_starts_one_run,
    requests::a_request_is_done_once_and_answered_alike,
    tokens::a_token_is_good_until_it_expires_or_is_revoked,
    watermarks::a_watermark_goes_forward_with_the_turns,
    watermarks::a_watch_is_kept_beside_the_mark,
    watermarks::watermarks_are_made_once,
    past::attempts_that_were_not_given_out_are_noticed,
    past::turns_are_raised_above_what_was_found,
    opening::concurrent_openers_migrate_once,
    opening::a_newer_ledger_is_refused,
    opening::odd_bytes_survive,
    opening::specs_keep_no_password,
    opening::a_busy_database_is_waited_for,
    opening::dropped_connections_are_replaced,
    opening::a_role_without_the_right_to_make_tables_opens,
);
