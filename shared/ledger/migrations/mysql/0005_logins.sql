-- 0005: log-ins: browsers in which somebody gave a token. Of the cookie only its hash is kept.

CREATE TABLE IF NOT EXISTS syncline_login (
    id VARCHAR(40) NOT NULL PRIMARY KEY,
    token VARCHAR(40) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    -- To the minute.
    seen_ms BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
