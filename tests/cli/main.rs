//! The command line as people and scripts meet it: the real binary, its output, its exit codes.
//!
//! Runs over SQLite need nothing; those over MariaDB need `SYNCLINE_TEST_MARIADB_URL` (`make test` sets it).

mod bad_input;
mod help;
mod kills;
mod runs;
mod sandbox;
