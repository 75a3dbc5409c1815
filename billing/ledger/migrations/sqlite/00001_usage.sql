-- +goose Up

-- An account that was ever metered. It stays when the account is deleted.
CREATE TABLE account (
    id       INTEGER PRIMARY KEY,
    key      TEXT    NOT NULL UNIQUE,          -- the account's public key
    reported INTEGER NOT NULL                  -- when a broker last reported, Unix milliseconds
) STRICT;

-- One start of one broker process.
CREATE TABLE incarnation (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- The largest value ever reported for each key. Rows are only added or raised.
CREATE TABLE usage_raw (
    account     INTEGER NOT NULL REFERENCES account (id),
    hour        INTEGER NOT NULL,              -- UTC, Unix seconds of its beginning
    class       TEXT    NOT NULL,
    meter       TEXT    NOT NULL,
    incarnation INTEGER NOT NULL REFERENCES incarnation (id),
    value       INTEGER NOT NULL CHECK (value > 0),
    PRIMARY KEY (account, hour, class, meter, incarnation)
) STRICT, WITHOUT ROWID;

-- For receipts.
CREATE INDEX usage_raw_by_incarnation ON usage_raw (incarnation, hour);

-- Samples that nobody is charged for yet, by account key since the account may be unknown.
CREATE TABLE quarantine (
    account     TEXT    NOT NULL,
    hour        INTEGER NOT NULL,
    class       TEXT    NOT NULL,
    meter       TEXT    NOT NULL,
    incarnation INTEGER NOT NULL REFERENCES incarnation (id),
    value       INTEGER NOT NULL CHECK (value > 0),
    reason      TEXT    NOT NULL,
    PRIMARY KEY (account, hour, class, meter, incarnation)
) STRICT, WITHOUT ROWID;

CREATE INDEX quarantine_by_incarnation ON quarantine (incarnation, hour);
