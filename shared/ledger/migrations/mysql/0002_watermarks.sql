-- 0002: how far the changes of each table have been read, and what was seen under way at its source.

CREATE TABLE IF NOT EXISTS syncline_watermark (
    name VARCHAR(255) NOT NULL,
    tbl VARCHAR(500) NOT NULL,
    -- Of the run that set the mark.
    turn BIGINT NOT NULL,
    mark MEDIUMBLOB,
    watch MEDIUMBLOB,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (name, tbl)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
