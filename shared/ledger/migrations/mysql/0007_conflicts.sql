-- 0007: conflicts: rows that were changed on both sides, with both values, and which side won.

INSERT IGNORE INTO syncline_meta (name, n) VALUES ('conflict', 0);

CREATE TABLE IF NOT EXISTS syncline_conflict (
    seq BIGINT NOT NULL PRIMARY KEY,
    run VARCHAR(40) NOT NULL,
    tbl BIGINT NOT NULL,
    chunk VARCHAR(40) NOT NULL,
    body MEDIUMBLOB NOT NULL,
    at_ms BIGINT NOT NULL,
    KEY syncline_conflict_run (run, seq),
    KEY syncline_conflict_chunk (chunk)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE syncline_chunk ADD COLUMN c_conflicts BIGINT NOT NULL DEFAULT 0;
