-- 0001: runs, their tables, chunks, attempts, rows set aside, events and workers.
--
-- Only BIGINT, VARCHAR and binary columns: sqlx's Any driver maps no others on all databases. Text is ordered byte by
-- byte, as on the others. JSON is stored as bytes. `_ms` columns are milliseconds since 1970 on the clock of this database. A digest sum (128 bits) is kept
-- as four limbs of 32 bits, lowest first, so that SUM() over any number of chunks is exact.

-- Counters (`n`) and the installation id (`txt`).
CREATE TABLE IF NOT EXISTS syncline_meta (
    name VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY,
    n BIGINT NOT NULL DEFAULT 0,
    txt VARCHAR(255) COLLATE "C"
);

INSERT INTO syncline_meta (name, n) VALUES ('turn', 0), ('quarantine', 0), ('event', 0), ('security', 0)
    ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS syncline_run (
    id VARCHAR(40) COLLATE "C" NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL UNIQUE,
    kind VARCHAR(24) COLLATE "C" NOT NULL,
    name VARCHAR(255) COLLATE "C" NOT NULL,
    spec BYTEA NOT NULL,
    state VARCHAR(24) COLLATE "C" NOT NULL,
    cause BYTEA,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    -- Since when a person has it paused.
    paused_ms BIGINT,
    -- What it may do in a second, over all workers.
    limits BYTEA,
    -- Why nothing of it is handed out at the moment.
    waiting BYTEA,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE INDEX IF NOT EXISTS syncline_run_state ON syncline_run (state);
CREATE INDEX IF NOT EXISTS syncline_run_name ON syncline_run (name, turn);

CREATE TABLE IF NOT EXISTS syncline_table (
    run VARCHAR(40) COLLATE "C" NOT NULL,
    ordinal BIGINT NOT NULL,
    source BYTEA NOT NULL,
    target BYTEA NOT NULL,
    mode VARCHAR(40) COLLATE "C" NOT NULL,
    state VARCHAR(24) COLLATE "C" NOT NULL,
    pass VARCHAR(16) COLLATE "C" NOT NULL,
    plan BYTEA,
    plan_version BIGINT NOT NULL DEFAULT 0,
    cause BYTEA,
    -- Where the table stood when it failed or was held; a resumed run goes on from there.
    prev_state VARCHAR(24) COLLATE "C",
    notes BYTEA NOT NULL,
    rows_estimate BIGINT,
    target_rows BIGINT,
    started_ms BIGINT,
    ended_ms BIGINT,
    PRIMARY KEY (run, ordinal),
    FOREIGN KEY (run) REFERENCES syncline_run (id)
);

CREATE TABLE IF NOT EXISTS syncline_chunk (
    id VARCHAR(40) COLLATE "C" NOT NULL PRIMARY KEY,
    run VARCHAR(40) COLLATE "C" NOT NULL,
    tbl BIGINT NOT NULL,
    pass VARCHAR(16) COLLATE "C" NOT NULL,
    ordinal BIGINT NOT NULL,
    lower_key BYTEA,
    upper_key BYTEA,
    state VARCHAR(24) COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    -- Attempts that count towards the cap: yields and halts are refunded here, never in `attempt`, the fence.
    tries BIGINT NOT NULL DEFAULT 0,
    deaths BIGINT NOT NULL DEFAULT 0,
    worker VARCHAR(320) COLLATE "C",
    -- Tells a claim whose answer was lost from somebody else's.
    claim_token VARCHAR(40) COLLATE "C",
    lease_until BIGINT,
    due_ms BIGINT NOT NULL,
    queued_ms BIGINT,
    started_ms BIGINT,
    ended_ms BIGINT,
    failure BYTEA,
    c_read BIGINT NOT NULL DEFAULT 0,
    c_inserted BIGINT NOT NULL DEFAULT 0,
    c_updated BIGINT NOT NULL DEFAULT 0,
    c_unchanged BIGINT NOT NULL DEFAULT 0,
    c_filtered BIGINT NOT NULL DEFAULT 0,
    c_quarantined BIGINT NOT NULL DEFAULT 0,
    c_deleted BIGINT NOT NULL DEFAULT 0,
    c_bytes BIGINT NOT NULL DEFAULT 0,
    c_matching BIGINT NOT NULL DEFAULT 0,
    c_different BIGINT NOT NULL DEFAULT 0,
    c_missing BIGINT NOT NULL DEFAULT 0,
    c_extra BIGINT NOT NULL DEFAULT 0,
    read_ms BIGINT NOT NULL DEFAULT 0,
    s_rows BIGINT,
    s_d0 BIGINT,
    s_d1 BIGINT,
    s_d2 BIGINT,
    s_d3 BIGINT,
    t_rows BIGINT,
    t_d0 BIGINT,
    t_d1 BIGINT,
    t_d2 BIGINT,
    t_d3 BIGINT,
    UNIQUE (run, tbl, pass, ordinal),
    FOREIGN KEY (run, tbl) REFERENCES syncline_table (run, ordinal)
);
CREATE INDEX IF NOT EXISTS syncline_chunk_due ON syncline_chunk (run, state, tbl, pass, ordinal);
CREATE INDEX IF NOT EXISTS syncline_chunk_lease ON syncline_chunk (state, lease_until);

CREATE TABLE IF NOT EXISTS syncline_attempt (
    chunk VARCHAR(40) COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    worker VARCHAR(320) COLLATE "C" NOT NULL,
    claimed_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    outcome VARCHAR(24) COLLATE "C",
    failure BYTEA,
    PRIMARY KEY (chunk, attempt),
    FOREIGN KEY (chunk) REFERENCES syncline_chunk (id)
);

CREATE TABLE IF NOT EXISTS syncline_quarantine (
    seq BIGINT NOT NULL PRIMARY KEY,
    run VARCHAR(40) COLLATE "C" NOT NULL,
    tbl BIGINT NOT NULL,
    chunk VARCHAR(40) COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    FOREIGN KEY (chunk) REFERENCES syncline_chunk (id)
);
CREATE INDEX IF NOT EXISTS syncline_quarantine_run ON syncline_quarantine (run, seq);
CREATE INDEX IF NOT EXISTS syncline_quarantine_chunk ON syncline_quarantine (chunk);

CREATE TABLE IF NOT EXISTS syncline_event (
    seq BIGINT NOT NULL PRIMARY KEY,
    run VARCHAR(40) COLLATE "C" NOT NULL,
    tbl BIGINT,
    chunk VARCHAR(40) COLLATE "C",
    kind VARCHAR(64) COLLATE "C" NOT NULL,
    detail BYTEA NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS syncline_event_run ON syncline_event (run, seq);

CREATE TABLE IF NOT EXISTS syncline_worker (
    id VARCHAR(320) COLLATE "C" NOT NULL PRIMARY KEY,
    host VARCHAR(255) COLLATE "C" NOT NULL,
    pid BIGINT NOT NULL,
    version VARCHAR(64) COLLATE "C" NOT NULL,
    -- Chunks it works on at once.
    slots BIGINT NOT NULL,
    -- Since when it is asked to drain.
    drain_ms BIGINT,
    started_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    retired_ms BIGINT
);

-- Who works on a run that has limits: its part of them is its own until the share ends.
CREATE TABLE IF NOT EXISTS syncline_share (
    run VARCHAR(40) COLLATE "C" NOT NULL,
    worker VARCHAR(320) COLLATE "C" NOT NULL,
    since_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (run, worker),
    FOREIGN KEY (run) REFERENCES syncline_run (id)
);

-- Payloads nobody believed, refused logins: what a person responsible for security reads.
CREATE TABLE IF NOT EXISTS syncline_security (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    worker VARCHAR(320) COLLATE "C" NOT NULL,
    kind VARCHAR(64) COLLATE "C" NOT NULL,
    detail BYTEA NOT NULL
);
