-- 0003: pipelines: specs that run again and again, when, and whether a person wants them to rest.

CREATE TABLE IF NOT EXISTS syncline_pipeline (
    name VARCHAR(255) NOT NULL PRIMARY KEY,
    spec MEDIUMBLOB NOT NULL,
    -- As the file has it; absent: only when asked for.
    schedule MEDIUMBLOB,
    -- What a person has set instead of the file's interval, in seconds.
    every_s BIGINT,
    -- Meant where no pipeline is named.
    is_default BIGINT NOT NULL DEFAULT 0,
    paused_ms BIGINT,
    -- Why it was paused, if nobody asked for it.
    cause MEDIUMBLOB,
    -- The failed run that paused it last: a person has heeded it.
    heeded VARCHAR(40),
    -- When it is due; absent while it has no schedule or is paused.
    next_ms BIGINT,
    last_run VARCHAR(40),
    last_start_ms BIGINT,
    registered_ms BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
