-- Version 1. Runs once, inside the transaction of the migration.
--
-- Tables are STRICT and their values checked: a slip of an operator's hand is refused where it is made.
-- The code judges every value again when it reads it, because whoever has the file can rebuild a table.
-- Times: *_ms are milliseconds since 1970 by SQLite's clock; *_at the same for people. No election rule
-- reads either.

PRAGMA application_id = 1129271122;

CREATE TABLE coordinator_schema (
    version INTEGER NOT NULL
) STRICT;

INSERT INTO coordinator_schema (version) VALUES (1);

-- The right to act: one row per group.
CREATE TABLE coordinator_lease (
    group_id       TEXT    NOT NULL PRIMARY KEY,
    tl             INTEGER NOT NULL CHECK (tl BETWEEN 0 AND 4294967295),
    epoch          INTEGER NOT NULL CHECK (epoch >= 0 AND epoch < 9223372036854775807),
    claim          TEXT    NOT NULL CHECK (length(claim) = 36),
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    holder         TEXT,
    released       INTEGER NOT NULL CHECK (released IN (0, 1)),
    ttl_ms         INTEGER NOT NULL CHECK (ttl_ms BETWEEN 1000 AND 300000),
    renewed_at     TEXT,
    resign         TEXT,
    -- For the history, which the triggers below write: on which host the holder runs, why it left.
    host           TEXT    NOT NULL DEFAULT '',
    release_reason TEXT
) STRICT;

-- The history: one row per leadership, only ever appended to and closed. No unique key on the epoch: a
-- lease row restored from a backup must not be kept from being claimed by what the history remembers.
CREATE TABLE coordinator_term (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id TEXT    NOT NULL,
    tl       INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    claim    TEXT    NOT NULL,
    holder   TEXT,
    host     TEXT    NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER,
    reason   TEXT
) STRICT;

CREATE INDEX coordinator_term_group ON coordinator_term (group_id, id);
CREATE INDEX coordinator_term_from ON coordinator_term (group_id, from_ms);
CREATE INDEX coordinator_term_open ON coordinator_term (group_id) WHERE to_ms IS NULL;

-- A claim closes the last term, if its release did not, and opens the next: in the claim's own statement,
-- so that nobody ever leads without a line in the history. It keeps a group's latest 10000 terms, which
-- is one an hour for more than a year.
CREATE TRIGGER coordinator_lease_claimed AFTER UPDATE OF claim ON coordinator_lease
WHEN NEW.claim <> OLD.claim
BEGIN
    UPDATE coordinator_term
       SET to_ms = CAST(round(unixepoch('subsec') * 1000) AS INTEGER), reason = 'expired'
     WHERE group_id = NEW.group_id AND to_ms IS NULL;
    INSERT INTO coordinator_term (group_id, tl, epoch, claim, holder, host, from_ms)
    VALUES (NEW.group_id, NEW.tl, NEW.epoch, NEW.claim, NEW.holder, NEW.host,
            CAST(round(unixepoch('subsec') * 1000) AS INTEGER));
    DELETE FROM coordinator_term
     WHERE group_id = NEW.group_id
       AND id <= (SELECT id FROM coordinator_term WHERE group_id = NEW.group_id
                   ORDER BY id DESC LIMIT 1 OFFSET 10000);
END;

CREATE TRIGGER coordinator_lease_released AFTER UPDATE OF released ON coordinator_lease
WHEN NEW.released = 1 AND OLD.released = 0
BEGIN
    UPDATE coordinator_term
       SET to_ms = CAST(round(unixepoch('subsec') * 1000) AS INTEGER), reason = NEW.release_reason
     WHERE group_id = NEW.group_id AND to_ms IS NULL;
END;

-- The instance table: one line per process, for operators.
CREATE TABLE coordinator_member (
    group_id            TEXT    NOT NULL,
    id                  TEXT    NOT NULL,
    nonce               TEXT    NOT NULL,
    host                TEXT    NOT NULL,
    address             TEXT    NOT NULL,
    status              TEXT    NOT NULL
        CHECK (status IN ('starting', 'recovering', 'active', 'standby', 'halted')),
    epoch               INTEGER NOT NULL CHECK (epoch >= 0),
    fallback            INTEGER NOT NULL CHECK (fallback IN (0, 1)),
    alerts              INTEGER NOT NULL CHECK (alerts BETWEEN 0 AND 2),
    version             TEXT    NOT NULL,
    started_ms          INTEGER NOT NULL,
    beat_ms             INTEGER NOT NULL,
    -- Who wrote the line before its last heartbeat: how two processes under one id find out.
    previous_nonce      TEXT,
    previous_started_ms INTEGER,
    PRIMARY KEY (group_id, id)
) STRICT, WITHOUT ROWID;

-- A process has a new id with every start, so lines would pile up: a new one takes away those that are
-- older than a day, which nobody is shown any more.
CREATE TRIGGER coordinator_member_joined AFTER INSERT ON coordinator_member
BEGIN
    DELETE FROM coordinator_member
     WHERE group_id = NEW.group_id AND beat_ms < NEW.beat_ms - 86400000;
END;

-- The ledger. A signal stays here for good; (group_id, id) is what makes a repetition one.
CREATE TABLE coordinator_signal (
    arrival     INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id    TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('received', 'claimed', 'done', 'rejected', 'in_doubt')),
    -- The token it was claimed under; kept for the record once it is settled.
    tl          INTEGER,
    epoch       INTEGER,
    claim       TEXT,
    received_at TEXT    NOT NULL,
    claimed_at  TEXT,
    settled_at  TEXT,
    UNIQUE (group_id, id),
    CHECK (state <> 'claimed' OR (tl IS NOT NULL AND epoch IS NOT NULL AND claim IS NOT NULL))
) STRICT;

CREATE INDEX coordinator_signal_state ON coordinator_signal (group_id, state, arrival);
