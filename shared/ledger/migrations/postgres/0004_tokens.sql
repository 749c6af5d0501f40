-- 0004: tokens: who may use the HTTP API, and how. Of a secret only its hash is kept.

CREATE TABLE IF NOT EXISTS syncline_token (
    id VARCHAR(40) COLLATE "C" NOT NULL PRIMARY KEY,
    name VARCHAR(255) COLLATE "C" NOT NULL,
    hash VARCHAR(64) COLLATE "C" NOT NULL,
    role VARCHAR(40) COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    -- To the minute.
    used_ms BIGINT,
    revoked_ms BIGINT
);
