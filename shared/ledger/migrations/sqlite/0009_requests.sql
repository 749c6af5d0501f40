-- 0009: requests that name themselves, and what they were answered.

CREATE TABLE IF NOT EXISTS syncline_request (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    content VARCHAR(64) NOT NULL,
    doer VARCHAR(40) NOT NULL,
    began_ms BIGINT NOT NULL,
    status BIGINT,
    location VARCHAR(255),
    body BLOB
);
CREATE INDEX IF NOT EXISTS syncline_request_began ON syncline_request (began_ms);
