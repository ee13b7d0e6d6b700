-- Version 2: a signal is an instruction with a fingerprint, each claim of it an attempt; the kill switch; the
-- audit. Runs once, inside the transaction of the migration.
--
-- Times are milliseconds since 1970 by SQLite's clock. The payload is the last column: what it needs beyond a
-- page is not read for the sake of the others.

CREATE TABLE coordinator_signal_2 (
    arrival      INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id     TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    fingerprint  TEXT    NOT NULL CHECK (length(fingerprint) = 64),
    instrument   TEXT    NOT NULL,
    signal_type  TEXT    NOT NULL,
    position     TEXT    NOT NULL,
    timestamp_s  INTEGER NOT NULL,
    expires_ms   INTEGER,
    state        TEXT    NOT NULL
        CHECK (state IN ('received', 'claimed', 'sent', 'done', 'rejected', 'expired', 'in_doubt')),
    attempt      INTEGER NOT NULL DEFAULT 0 CHECK (attempt BETWEEN 0 AND 4294967295),
    -- The token it was claimed or sent under; kept for the record once it is settled.
    tl           INTEGER,
    epoch        INTEGER,
    claim        TEXT,
    received_ms  INTEGER NOT NULL,
    claimed_ms   INTEGER,
    settled_ms   INTEGER,
    note         TEXT,
    -- Who wrote the row last, and from where: for the audit, which the triggers below write.
    changed_by   TEXT    NOT NULL,
    changed_from TEXT    NOT NULL,
    -- How often it was asked for what stands already. Counted so that the answer waits for the disk as the first
    -- one did: SQLite writes nothing when a row stays as it is.
    confirmed    INTEGER NOT NULL DEFAULT 0,
    -- 1 takes the row away, with changed_by as who did it: a DELETE cannot say who.
    swept        INTEGER NOT NULL DEFAULT 0 CHECK (swept IN (0, 1)),
    payload      TEXT    NOT NULL,
    UNIQUE (group_id, id),
    UNIQUE (group_id, fingerprint),
    CHECK (state NOT IN ('claimed', 'sent') OR (tl IS NOT NULL AND epoch IS NOT NULL AND claim IS NOT NULL)),
    CHECK (state NOT IN ('claimed', 'sent', 'in_doubt') OR (attempt > 0 AND claimed_ms IS NOT NULL)),
    CHECK (state <> 'received' OR claimed_ms IS NULL),
    CHECK ((state IN ('done', 'rejected', 'expired')) = (settled_ms IS NOT NULL))
) STRICT;

-- Arrivals go on where they were, whatever was deleted.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'coordinator_signal_2', seq FROM sqlite_sequence WHERE name = 'coordinator_signal';

-- Version 1 knew neither instruments nor fingerprints. Its fingerprints only have to be unlike every other: what
-- was accepted then is recognised by its id. It kept times as text.
WITH old AS (
    SELECT *, claim IS NOT NULL OR state = 'in_doubt' AS was_claimed, unixepoch('subsec') AS now_s,
           unixepoch(received_at, 'subsec') AS received_s, unixepoch(claimed_at, 'subsec') AS claimed_s,
           unixepoch(settled_at, 'subsec') AS settled_s
      FROM coordinator_signal)
INSERT INTO coordinator_signal_2 (arrival, group_id, id, fingerprint, instrument, signal_type, position,
                                  timestamp_s, state, attempt, tl, epoch, claim, received_ms, claimed_ms,
                                  settled_ms, changed_by, changed_from, payload)
SELECT arrival, group_id, id, lower(hex(randomblob(32))), 'legacy', 'legacy', substr(id, 1, 64),
       CAST(coalesce(received_s, now_s) AS INTEGER), state, was_claimed, tl, epoch, claim,
       CAST(round(coalesce(received_s, now_s) * 1000) AS INTEGER),
       CASE WHEN was_claimed AND state <> 'received'
            THEN CAST(round(coalesce(claimed_s, received_s, now_s) * 1000) AS INTEGER) END,
       CASE WHEN state IN ('done', 'rejected')
            THEN CAST(round(coalesce(settled_s, claimed_s, received_s, now_s) * 1000) AS INTEGER) END,
       'coordinator migrate', '', body
  FROM old ORDER BY arrival;

DROP TABLE coordinator_signal;
-- Otherwise SQLite would refuse the new name when any view of the file, also one of the team's, is broken.
PRAGMA legacy_alter_table = ON;
ALTER TABLE coordinator_signal_2 RENAME TO coordinator_signal;
PRAGMA legacy_alter_table = OFF;

-- For lists and counts: the latest of a group, and those in one state. An instrument is looked for in the index.
CREATE INDEX coordinator_signal_arrival ON coordinator_signal (group_id, arrival, instrument);
CREATE INDEX coordinator_signal_state ON coordinator_signal (group_id, state, arrival, instrument);
-- For a claim, which looks at one waiting signal of each instrument, however many wait or are finished: the
-- oldest that waits, what has expired, what is in the way, and what the limits count.
CREATE INDEX coordinator_signal_waiting ON coordinator_signal (group_id, instrument, arrival, expires_ms)
 WHERE state = 'received';
CREATE INDEX coordinator_signal_expiring ON coordinator_signal (group_id, expires_ms)
 WHERE state = 'received' AND expires_ms IS NOT NULL;
CREATE INDEX coordinator_signal_busy ON coordinator_signal (group_id, instrument)
 WHERE state IN ('claimed', 'in_doubt');
CREATE INDEX coordinator_signal_claimed ON coordinator_signal (group_id, claimed_ms)
 WHERE claimed_ms IS NOT NULL;
-- For the sweep.
CREATE INDEX coordinator_signal_settled ON coordinator_signal (group_id, settled_ms, timestamp_s)
 WHERE settled_ms IS NOT NULL;
-- For what was missed of late, which is little among all that is settled.
CREATE INDEX coordinator_signal_expired ON coordinator_signal (group_id, settled_ms) WHERE state = 'expired';

-- The kill switch: one row per group. Without it nothing is claimed.
CREATE TABLE coordinator_dispatch (
    group_id      TEXT    NOT NULL PRIMARY KEY,
    paused_reason TEXT,
    paused_by     TEXT,
    paused_ms     INTEGER,
    -- Who turned it last, from where, and why: for the audit.
    changed_by    TEXT    NOT NULL,
    changed_from  TEXT    NOT NULL,
    changed_why   TEXT,
    -- As that of a signal; 0 when it was turned just now.
    confirmed     INTEGER NOT NULL DEFAULT 0,
    CHECK ((paused_ms IS NULL) = (paused_reason IS NULL) AND (paused_ms IS NULL) = (paused_by IS NULL))
) STRICT;

INSERT INTO coordinator_dispatch (group_id, changed_by, changed_from)
SELECT group_id, 'coordinator migrate', '' FROM coordinator_lease;

-- The audit: a line for every change of a signal and of the kill switch, written in the change's own statement.
CREATE TABLE coordinator_audit (
    number    INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number > 0),
    group_id  TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL,
    who       TEXT    NOT NULL,
    origin    TEXT    NOT NULL,
    -- The lease row's at that moment.
    epoch     INTEGER,
    what      TEXT    NOT NULL,
    -- NULL: it is about the kill switch.
    signal_id TEXT,
    attempt   INTEGER NOT NULL,
    note      TEXT
) STRICT;

CREATE INDEX coordinator_audit_group ON coordinator_audit (group_id, number);
CREATE INDEX coordinator_audit_signal ON coordinator_audit (group_id, signal_id, number);

CREATE TRIGGER coordinator_audit_no_update BEFORE UPDATE ON coordinator_audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;

CREATE TRIGGER coordinator_audit_no_delete BEFORE DELETE ON coordinator_audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER coordinator_audit_no_replace BEFORE INSERT ON coordinator_audit
WHEN EXISTS (SELECT 1 FROM coordinator_audit WHERE number = NEW.number)
BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;

CREATE TRIGGER coordinator_signal_accepted AFTER INSERT ON coordinator_signal
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, signal_id, attempt, note)
    VALUES (NEW.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER), NEW.changed_by, NEW.changed_from,
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            NEW.state, NEW.id, NEW.attempt, NEW.note);
END;

CREATE TRIGGER coordinator_signal_moved AFTER UPDATE OF state ON coordinator_signal
WHEN NEW.state <> OLD.state
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, signal_id, attempt, note)
    VALUES (NEW.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER), NEW.changed_by, NEW.changed_from,
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            NEW.state, NEW.id, NEW.attempt, NEW.note);
END;

CREATE TRIGGER coordinator_signal_swept AFTER UPDATE OF swept ON coordinator_signal
WHEN NEW.swept = 1
BEGIN
    DELETE FROM coordinator_signal WHERE arrival = NEW.arrival;
END;

CREATE TRIGGER coordinator_signal_deleted AFTER DELETE ON coordinator_signal
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, signal_id, attempt, note)
    VALUES (OLD.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER),
            CASE OLD.swept WHEN 1 THEN OLD.changed_by ELSE 'unknown' END,
            CASE OLD.swept WHEN 1 THEN OLD.changed_from ELSE 'a shell on the database' END,
            (SELECT epoch FROM coordinator_lease WHERE group_id = OLD.group_id),
            'deleted', OLD.id, OLD.attempt, OLD.note);
END;

CREATE TRIGGER coordinator_dispatch_turned AFTER UPDATE ON coordinator_dispatch
WHEN (NEW.paused_ms IS NULL) <> (OLD.paused_ms IS NULL)
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, attempt, note)
    VALUES (NEW.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER), NEW.changed_by, NEW.changed_from,
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            CASE WHEN NEW.paused_ms IS NULL THEN 'resumed' ELSE 'paused' END, 0, NEW.changed_why);
END;

-- A row that is put back stands as the audit says it stood. One that stands otherwise has been turned.
CREATE TRIGGER coordinator_dispatch_created AFTER INSERT ON coordinator_dispatch
WHEN (NEW.paused_ms IS NOT NULL) IS NOT
     coalesce((SELECT what = 'paused' FROM coordinator_audit
                WHERE group_id = NEW.group_id AND signal_id IS NULL AND what IN ('paused', 'resumed')
                ORDER BY number DESC LIMIT 1), 0)
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, attempt, note)
    VALUES (NEW.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER), NEW.changed_by, NEW.changed_from,
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            CASE WHEN NEW.paused_ms IS NULL THEN 'resumed' ELSE 'paused' END, 0, NEW.changed_why);
END;

CREATE TRIGGER coordinator_dispatch_deleted AFTER DELETE ON coordinator_dispatch
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, attempt)
    VALUES (OLD.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER),
            'unknown', 'a shell on the database',
            (SELECT epoch FROM coordinator_lease WHERE group_id = OLD.group_id), 'deleted', 0);
END;

-- Lines of yesterday are removed by the leader's sweep from now on.
DROP TRIGGER coordinator_member_joined;

UPDATE coordinator_schema SET version = 2;
