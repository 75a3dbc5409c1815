-- +goose Up

-- How long each chain of the audit log is.
CREATE TABLE audit_end (
    chain    TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
);

INSERT INTO audit_end (chain, sequence) SELECT chain, max(sequence) FROM audit GROUP BY chain;

-- How much of each chain a sink has taken.
CREATE TABLE audit_cursor (
    sink     TEXT NOT NULL,
    chain    TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (sink, chain)
);
