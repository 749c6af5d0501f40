-- 0007: conflicts: rows that were changed on both sides, with both values, and which side won.

INSERT INTO syncline_meta (name, n) VALUES ('conflict', 0) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS syncline_conflict (
    seq BIGINT NOT NULL PRIMARY KEY,
    run VARCHAR(40) COLLATE "C" NOT NULL,
    tbl BIGINT NOT NULL,
    chunk VARCHAR(40) COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS syncline_conflict_run ON syncline_conflict (run, seq);
CREATE INDEX IF NOT EXISTS syncline_conflict_chunk ON syncline_conflict (chunk);

ALTER TABLE syncline_chunk ADD COLUMN c_conflicts BIGINT NOT NULL DEFAULT 0;
