-- +goose Up

-- How long each chain of the audit log is.
CREATE TABLE audit_end (
    chain    TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO audit_end (chain, sequence) SELECT chain, max(sequence) FROM audit GROUP BY chain;

-- How much of each chain a sink has taken.
CREATE TABLE audit_cursor (
    sink     TEXT NOT NULL,
    chain    TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (sink, chain)
) STRICT, WITHOUT ROWID;
