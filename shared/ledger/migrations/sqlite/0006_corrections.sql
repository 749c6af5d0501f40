-- 0006: corrections: what a person says that a quarantined row's column is to be. Gone when the row has arrived.

CREATE TABLE IF NOT EXISTS syncline_correction (
    chunk VARCHAR(40) NOT NULL PRIMARY KEY,
    body BLOB NOT NULL,
    at_ms BIGINT NOT NULL
);
