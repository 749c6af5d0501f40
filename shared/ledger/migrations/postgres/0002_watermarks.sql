-- 0002: how far the changes of each table have been read, and what was seen under way at its source.

CREATE TABLE IF NOT EXISTS syncline_watermark (
    name VARCHAR(255) COLLATE "C" NOT NULL,
    tbl VARCHAR(500) COLLATE "C" NOT NULL,
    -- Of the run that set the mark.
    turn BIGINT NOT NULL,
    mark BYTEA,
    watch BYTEA,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (name, tbl)
);
