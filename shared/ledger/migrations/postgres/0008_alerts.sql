-- 0008: alerts: messages to people about runs, until they are sent.

CREATE TABLE IF NOT EXISTS syncline_alert (
    id VARCHAR(191) COLLATE "C" NOT NULL PRIMARY KEY,
    run VARCHAR(40) COLLATE "C" NOT NULL,
    rule BIGINT NOT NULL,
    body BYTEA NOT NULL,
    tries BIGINT NOT NULL,
    raised_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    sent_ms BIGINT,
    given_up_ms BIGINT,
    error VARCHAR(255) COLLATE "C"
);
CREATE INDEX IF NOT EXISTS syncline_alert_due ON syncline_alert (sent_ms, given_up_ms, due_ms);
