//! The codes, each with its exit code, its title and its page. A code never changes its meaning.
//!
//! 1xxx: spec and settings. 2xxx: databases, a code for each `ErrorKind`. 3xxx: runs and commands.

/// What a code means.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub code: &'static str,
    /// Exit code of a command that ends with it.
    pub exit: u8,
    pub title: &'static str,
    pub text: &'static str,
}

macro_rules! pages {
    ($($name:ident $code:literal $exit:literal $title:literal $text:literal)*) => {
        /// The pages by name.
        pub mod code {
            use super::Page;
            $(pub const $name: &Page = &Page { code: $code, exit: $exit, title: $title, text: $text };)*
        }
        /// Every page, by code.
        pub const ALL: &[&Page] = &[$(code::$name),*];
    };
}

pages! {
    SPEC_INVALID "SYN-1000" 4 "the spec is not valid"
        "The spec has a problem. Each one is printed with its own code, place and help."
    SPEC_UNREADABLE "SYN-1001" 4 "the spec cannot be read"
        "The file does not exist, may not be read, is not UTF-8 text, or is larger than 1 MiB. Check the path you gave."
    SYNTAX "SYN-1002" 4 "not valid YAML"
        "The file is not YAML that can be read. Usual causes: a tab as indentation, a missing space after a colon, or a \
         `${…}` reference inside { } without quotes around it."
    UNKNOWN_KEY "SYN-1003" 4 "unknown key"
        "A key is not one that a spec has at this place. The help line names the nearest one and all that are known. \
         The schema, schema/spec.v1.json, lets an editor say so while you type."
    MISSING_KEY "SYN-1004" 4 "missing key"
        "A key that must be there is not. Add it to the mapping that is underlined."
    WRONG_TYPE "SYN-1005" 4 "wrong type"
        "A value has another type than its key wants: text instead of a list, a list instead of a mapping, and so on."
    REPEATED_KEY "SYN-1006" 4 "repeated key"
        "A key stands twice in one mapping. Which of the two is meant cannot be known; remove one."
    VERSION "SYN-1007" 4 "unknown version"
        "The key `version` says which form of the spec this is. This program reads version 1."
    NOT_AVAILABLE "SYN-1008" 4 "not available in this version"
        "The key or value is part of the design but not of this version: stage-and-swap, fields, capture_user_edits, \
         schedule, alerts, and engines other than sqlite and mysql. Remove it, or wait for the version that has it."
    BAD_NAME "SYN-1009" 4 "not a name"
        "The name of a spec is made of a-z, 0-9 and -, and has 1 to 63 characters. It names the run in lists and logs."
    UNKNOWN_ENGINE "SYN-1010" 4 "unknown engine"
        "The key `engine` names the database product: sqlite, or mysql for both MySQL and MariaDB."
    INCOMPLETE "SYN-1011" 4 "incomplete connection"
        "A connection lacks what its engine needs: `path` for sqlite, `database` for mysql."
    MISFIT "SYN-1012" 4 "the engine has no such setting"
        "A connection has a key that means nothing to its engine, such as a host for sqlite or a path for mysql."
    BAD_URL "SYN-1013" 4 "not a connection URL"
        "A connection written as text is `mysql://user@host:3306/database` or `sqlite:path`. For anything else, write it \
         as a mapping: { engine: mysql, host: …, database: … }."
    BAD_PORT "SYN-1014" 4 "not a port"
        "A port is a whole number from 1 to 65535. Leave it out for the usual port of the engine."
    TLS "SYN-1015" 4 "TLS is not set as it must be"
        "The key `tls` is verify, insecure or off. `insecure` encrypts but does not check who answers, so it must be \
         confirmed by `insecure_tls: accept-unverified` beside it. Prefer `tls_ca` with the server's authority."
    SAME_ENDS "SYN-1016" 8 "source and target are the same"
        "A table would be copied onto itself, because source and target lead to the same database and the table keeps \
         its name. Change one of the connections, or give the table another name with `to`."
    NO_TABLES "SYN-1020" 4 "no tables"
        "The list `tables` is empty. Name the tables to copy; `- from: \"*\"` means all of them."
    BAD_TABLE "SYN-1021" 4 "not a table name"
        "A table name is empty, longer than 512 bytes, has a control character in it, or more than four *."
    TO_WITH_PATTERN "SYN-1022" 4 "a pattern cannot be renamed"
        "The key `to` names one target table, but `from` with a * may mean several, which keep their names. Give the \
         table that is to be renamed an entry of its own; it then no longer counts to the pattern."
    EXCEPT_WITHOUT_PATTERN "SYN-1023" 4 "nothing to leave out"
        "The key `except` takes tables out of a pattern, but `from` names one table."
    DUPLICATE_TARGET "SYN-1024" 4 "two tables for one target"
        "Two entries write to the same target table. Their rows would overwrite each other."
    OVERLAP "SYN-1025" 4 "patterns overlap"
        "Two patterns may mean the same table, and neither is narrower than the other. Say which one gives way, by an \
         `except` with the other's pattern."
    UNKNOWN_MODE "SYN-1026" 4 "unknown mode"
        "The key `mode` is merge (insert and update by key), mirror (as merge, and rows gone from the source go from the \
         target) or insert-only (never changes an existing row)."
    UNKNOWN_POLICY "SYN-1027" 4 "unknown policy"
        "The key `policy` says who wins where both sides have a row: source-wins, keep-target, or { newest: column }, \
         which keeps the row whose column is later."
    POLICY_WITHOUT_MERGE "SYN-1028" 4 "policy without merge"
        "A policy applies to mode merge. The modes mirror and insert-only are policies in themselves."
    BAD_COLUMNS "SYN-1029" 4 "not a list of columns"
        "A list of columns is empty, names a column twice, or excludes a column that the key or the policy needs."
    BAD_SIZE "SYN-1030" 4 "not a size"
        "A size is a number with a unit: 512KiB, 16MiB, 1GiB (powers of 1024) or 500kB, 20MB, 1GB (powers of 1000)."
    BAD_DURATION "SYN-1031" 4 "not a duration"
        "A duration is a number with a unit: 500ms, 2s, 5m, 1h."
    BAD_LIMIT "SYN-1032" 4 "not a limit"
        "A limit is outside what is possible. Percentages go from 0% to 100%, chunk.rows_max from 1 to 100000."
    UNKNOWN_CHOICE "SYN-1033" 4 "unknown choice"
        "The value is not one of those this key knows. The help line lists them."
    BAD_SCHEDULE "SYN-1034" 4 "not a schedule"
        "A schedule is a time from start to start, `every: 15m`, or a cron expression of five fields with a time zone: \
         cron: \"0 1 * * *\", timezone: Europe/Berlin."
    BAD_ALERT "SYN-1035" 4 "not an alert"
        "An alert names one address, `slack` or `webhook`, by a reference: \"${env:NAME}\" or \"${file:/path}\". A webhook may \
         have a `secret`, a reference too, with which messages are signed."
    BAD_FIELD "SYN-1036" 4 "not a rule for a field"
        "A rule names a column of the source, or adds one with `constant` or `join`; says with `to`, `apply` and `as` what \
         becomes of it, and with `required`, `min`, `max`, `max_length`, `matches` and `one_of` what it must be."
    BAD_REFERENCE "SYN-1040" 4 "not a reference"
        "A reference is ${env:NAME}, ${env:NAME:-default} or ${file:/absolute/path}. Anything else that begins with ${ \
         is refused, so that a typing error cannot become a password."
    VARIABLE_MISSING "SYN-1041" 4 "a variable is not set"
        "The spec refers to an environment variable that this process does not have. Set it for every process that \
         connects: coordinator and workers alike."
    SECRET_FILE "SYN-1042" 4 "a secret file cannot be used"
        "The spec refers to a file that does not exist, may not be read, is not text, or is larger than 64 KiB."
    SECRET_EXPOSED "SYN-1043" 4 "a secret file is open to everyone"
        "Every user of this machine may read the file the spec takes a secret from. Take that right away: chmod o-rwx."
    BAD_SETTING "SYN-1050" 4 "a setting is not valid"
        "An environment variable or flag of this process has a value that cannot be read."

    OPEN_LISTENER "SYN-1051" 8 "the API would be open to others"
        "The HTTP API may listen elsewhere than on this machine only if every request must bring a token, and if tokens do \
         not travel in the clear: make one with `syncline token create`, and put a proxy with TLS in front."

    ALERT_NOT_TAKEN "SYN-1052" 5 "a message was not taken"
        "Whoever listens at the address of an alert did not take the message, or nobody listens. Addresses begin with \
         https://, except on this machine."

    CONNECTION_LOST "SYN-2001" 5 "the connection was lost"
        "A database closed the connection or the network failed, and trying again did not help within the attempts. \
         Nothing is lost: a run that is started again goes on where it was."
    UNREACHABLE "SYN-2002" 5 "the database could not be reached"
        "Nothing answers at the address, or the name is unknown. Check host, port and firewall; `syncline doctor` tries \
         each connection and says how far it came."
    TIMEOUT "SYN-2003" 5 "the database did not answer in time"
        "A statement took longer than allowed. The server may be overloaded, or a table may lack the index its key needs."
    DEADLOCK "SYN-2004" 7 "deadlock"
        "The server broke a deadlock with another writer of the table, again and again. Run while fewer others write."
    LOCK_WAIT "SYN-2005" 7 "the table is busy"
        "Another transaction holds rows that were to be written, for longer than the server waits."
    TOO_MANY_CONNECTIONS "SYN-2006" 5 "the server has no connection left"
        "The server's limit on connections is reached. Each worker uses a few at source and target."
    TOO_LARGE "SYN-2007" 1 "a row is too large"
        "A single row is larger than the server takes in one message. For MySQL the limit is max_allowed_packet."
    DUPLICATE_KEY "SYN-2008" 1 "a unique index refuses rows"
        "The target has a unique index besides the key, and incoming rows meet other rows there."
    FOREIGN_KEY "SYN-2009" 1 "a foreign key refuses rows"
        "Rows refer to parents that the target does not have. Copy the parent table too, or first."
    CHECK "SYN-2010" 1 "a check refuses rows"
        "The target has a CHECK constraint that some rows do not meet."
    NOT_NULL "SYN-2011" 1 "a column refuses NULL"
        "The source has NULL where the target's column is NOT NULL."
    TOO_LONG "SYN-2012" 1 "values are too long"
        "Values are longer than the target's column. They are never cut off."
    OUT_OF_RANGE "SYN-2013" 1 "values are out of range"
        "Numbers or times lie outside what the target's column can hold. They are never bent."
    CONVERSION "SYN-2014" 1 "values cannot be converted"
        "Values have no exact form in the target's type. They are quarantined, never rounded."
    ENCODING "SYN-2015" 1 "text cannot be represented"
        "Text holds characters that the target's character set does not have, or bytes that are no text at all."
    KEY_EXISTS "SYN-2016" 1 "keys exist already"
        "The mode is insert-only, and the target has a different row at the key of an incoming one."
    DISK_FULL "SYN-2017" 1 "the disk is full"
        "The server, or the machine of a SQLite file, has no space left. Nothing is lost: free space, then `run --resume`."
    READ_ONLY "SYN-2018" 6 "the target is read-only"
        "The server is a replica, or was set read-only, or the file may not be written."
    AUTHENTICATION "SYN-2019" 6 "the database refuses the login"
        "User or password is wrong, or the user may not come from this host."
    PERMISSION "SYN-2020" 6 "a permission is missing"
        "The user lacks a grant. `syncline doctor` lists those that are needed, and those that are missing."
    TLS_FAILED "SYN-2021" 5 "TLS failed"
        "No encrypted connection came about, or the server's certificate is not trusted. Name its authority in `tls_ca`. \
         Servers with a certificate of their own making need that too."
    UNKNOWN_DATABASE "SYN-2022" 4 "unknown database"
        "The server has no database of the name in the spec, or the user may not see it."
    UNKNOWN_TABLE "SYN-2023" 4 "unknown table"
        "A table of the spec does not exist, or the user may not see it. Letter case matters."
    UNKNOWN_COLUMN "SYN-2024" 4 "unknown column"
        "A column named in the spec does not exist in the table."
    DRIFT "SYN-2025" 8 "a table has changed since the plan"
        "Columns, types or keys differ from what the run was planned for, so it stopped before it could do harm."
    FENCED "SYN-2026" 7 "someone newer does the work"
        "A newer attempt has taken over. This one wrote nothing more."
    DIVERGED "SYN-2027" 1 "source and target differ after the copy"
        "The rows were written, but the digests of both sides do not agree. Usual cause: someone else writes to the \
         table during the run. Running again repairs it."
    WORKER_DIED "SYN-2028" 1 "workers died on a chunk"
        "Three workers ended while they held this chunk, so it was set aside. Usual cause: out of memory."
    UNSUPPORTED "SYN-2029" 8 "not supported"
        "A type, a key or a server version is not supported, and guessing would risk data. `syncline plan` names it."
    INTERNAL "SYN-2030" 1 "internal error"
        "A promise of the program itself was broken. Nothing was marked done that is not. Please report it."
    REFUSED "SYN-2031" 8 "refused for safety"
        "Going on could do harm, so a person must decide: a mirror would delete more rows than the guard allows, a type \
         would lose values, clocks differ, or Redis would throw jobs away. What was refused was not begun."
    OVERTAKEN "SYN-2032" 7 "a newer run has the table"
        "A run that was started later, or another installation, writes this table. This run stopped and wrote nothing \
         more to it; resuming it would be refused again. What it wrote before is as good as the newer run leaves it."

    LEDGER_BEHIND "SYN-2033" 8 "the ledger is older than the target"
        "The target was written by runs or attempts that the ledger does not know: the ledger was restored from a copy, \
         and has forgotten what came later. Nothing more was written. `syncline ledger reconcile` makes it usable again; \
         then start a new run, which finds in the target what is there already."

    RUN_FAILED "SYN-3001" 1 "the run failed"
        "A table or the whole run could not be finished. What is done stays done; `run --resume` once the cause is gone."
    RUN_INCOMPLETE "SYN-3002" 3 "done, but not everything was copied"
        "The run is over, but rows were quarantined or chunks diverged. `syncline quarantine list` shows them by cause."
    RUN_UNKNOWN "SYN-3003" 4 "unknown run"
        "The ledger has no run of this name or id. `syncline runs` lists those it has."
    RUN_STATE "SYN-3004" 7 "the run is in another state"
        "The run's state does not allow this command, or changed in the meantime."
    MASS_DELETE "SYN-3005" 8 "too many rows would be deleted"
        "A mirror found more rows gone from the source than guard.max_delete allows. If that is right, allow it; an \
         emptied source table looks just the same."
    NOT_CONFIRMED "SYN-3006" 8 "not confirmed"
        "A command that destroys something asks for the name of what it destroys. In scripts, --yes answers."
    LEDGER "SYN-3007" 5 "the ledger cannot be used"
        "The database that records runs cannot be reached, read or written. Check SYNCLINE_LEDGER."
    QUEUE "SYN-3008" 5 "the queue cannot be reached"
        "Redis does not answer. No work is lost: the ledger has it all. Check SYNCLINE_REDIS."
    INTERRUPTED "SYN-3009" 1 "interrupted"
        "The command was stopped by a signal. Work in hand was given back; `run --resume` goes on where it was."
    OUTPUT "SYN-3010" 1 "output cannot be written"
        "Standard output or a file could not be written, for lack of space or rights."
    AUDIT_BROKEN "SYN-3011" 1 "the audit log is not what was written"
        "An entry was altered, put in or taken out by somebody who may write to the ledger's database, or the ledger was \
         restored from a copy. Entries before the one that is named are as they were written."
}
