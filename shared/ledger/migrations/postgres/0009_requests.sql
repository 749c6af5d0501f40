-- 0009: requests that name themselves, and what they were answered.

CREATE TABLE IF NOT EXISTS syncline_request (
    id VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY,
    content VARCHAR(64) COLLATE "C" NOT NULL,
    doer VARCHAR(40) COLLATE "C" NOT NULL,
    began_ms BIGINT NOT NULL,
    status BIGINT,
    location VARCHAR(255) COLLATE "C",
    body BYTEA
);
CREATE INDEX IF NOT EXISTS syncline_request_began ON syncline_request (began_ms);
