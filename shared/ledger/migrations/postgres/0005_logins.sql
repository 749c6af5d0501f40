-- 0005: log-ins: browsers in which somebody gave a token. Of the cookie only its hash is kept.

CREATE TABLE IF NOT EXISTS syncline_login (
    id VARCHAR(40) COLLATE "C" NOT NULL PRIMARY KEY,
    token VARCHAR(40) COLLATE "C" NOT NULL,
    hash VARCHAR(64) COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    -- To the minute.
    seen_ms BIGINT NOT NULL
);
