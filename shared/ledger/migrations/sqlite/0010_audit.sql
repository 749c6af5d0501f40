-- 0010: the audit log: who asked for what, each entry chained to the one before.

INSERT OR IGNORE INTO syncline_meta (name, n) VALUES ('audit', 0);

CREATE TABLE IF NOT EXISTS syncline_audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    id VARCHAR(40) NOT NULL UNIQUE,
    is_keyed BIGINT NOT NULL,
    body BLOB NOT NULL,
    hash VARCHAR(64) NOT NULL
);
