-- +goose Up

-- An account that was ever metered. It stays when the account is deleted.
CREATE TABLE account (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      TEXT   NOT NULL UNIQUE,           -- the account's public key
    reported BIGINT NOT NULL                   -- when a broker last reported, Unix milliseconds
);

-- One start of one broker process.
CREATE TABLE incarnation (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The largest value ever reported for each key. Rows are only added or raised.
CREATE TABLE usage_raw (
    account     BIGINT NOT NULL REFERENCES account (id),
    hour        BIGINT NOT NULL,               -- UTC, Unix seconds of its beginning
    class       TEXT   NOT NULL,
    meter       TEXT   NOT NULL,
    incarnation BIGINT NOT NULL REFERENCES incarnation (id),
    value       BIGINT NOT NULL CHECK (value > 0),
    PRIMARY KEY (account, hour, class, meter, incarnation)
);

-- For receipts.
CREATE INDEX usage_raw_by_incarnation ON usage_raw (incarnation, hour);

-- Samples that nobody is charged for yet, by account key since the account may be unknown.
CREATE TABLE quarantine (
    account     TEXT   NOT NULL,
    hour        BIGINT NOT NULL,
    class       TEXT   NOT NULL,
    meter       TEXT   NOT NULL,
    incarnation BIGINT NOT NULL REFERENCES incarnation (id),
    value       BIGINT NOT NULL CHECK (value > 0),
    reason      TEXT   NOT NULL,
    PRIMARY KEY (account, hour, class, meter, incarnation)
);

CREATE INDEX quarantine_by_incarnation ON quarantine (incarnation, hour);
