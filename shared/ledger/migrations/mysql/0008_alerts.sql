-- 0008: alerts: messages to people about runs, until they are sent.

CREATE TABLE IF NOT EXISTS syncline_alert (
    id VARCHAR(191) NOT NULL PRIMARY KEY,
    run VARCHAR(40) NOT NULL,
    rule BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    tries BIGINT NOT NULL,
    raised_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    sent_ms BIGINT,
    given_up_ms BIGINT,
    error VARCHAR(255),
    KEY syncline_alert_due (sent_ms, given_up_ms, due_ms)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
