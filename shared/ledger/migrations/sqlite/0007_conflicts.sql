-- 0007: conflicts: rows that were changed on both sides, with both values, and which side won.

INSERT OR IGNORE INTO syncline_meta (name, n) VALUES ('conflict', 0);

CREATE TABLE IF NOT EXISTS syncline_conflict (
    seq BIGINT NOT NULL PRIMARY KEY,
    run VARCHAR(40) NOT NULL,
    tbl BIGINT NOT NULL,
    chunk VARCHAR(40) NOT NULL,
    body BLOB NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS syncline_conflict_run ON syncline_conflict (run, seq);
CREATE INDEX IF NOT EXISTS syncline_conflict_chunk ON syncline_conflict (chunk);

ALTER TABLE syncline_chunk ADD COLUMN c_conflicts BIGINT NOT NULL DEFAULT 0;
