-- +goose Up

-- Who this ledger is: one row, made once, copied with the ledger.
CREATE TABLE identity (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    id  TEXT NOT NULL
);

-- The audit log. A chain is an organization's, or '' for the installation's own.
-- Rows are only added.
CREATE TABLE audit (
    chain    TEXT   NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    time     BIGINT NOT NULL,                  -- Unix milliseconds
    hash     TEXT   NOT NULL,
    entry    TEXT   NOT NULL,                  -- JSON
    PRIMARY KEY (chain, sequence)
);

CREATE INDEX audit_by_time ON audit (chain, time);
