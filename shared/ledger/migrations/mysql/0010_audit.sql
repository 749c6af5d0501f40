-- 0010: the audit log: who asked for what, each entry chained to the one before.

INSERT IGNORE INTO syncline_meta (name, n) VALUES ('audit', 0);

CREATE TABLE IF NOT EXISTS syncline_audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    id VARCHAR(40) NOT NULL UNIQUE,
    is_keyed BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    hash VARCHAR(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
