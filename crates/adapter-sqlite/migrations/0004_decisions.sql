-- Version 4: the decisions of operators that concern no signal, and terms that do not outlast their lease.

-- Rows are only ever appended.
CREATE TABLE coordinator_decision (
    number        INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number > 0),
    group_id      TEXT    NOT NULL,
    at_ms         INTEGER NOT NULL,
    -- The operator: a name, and a network address or a host.
    who           TEXT    NOT NULL,
    origin        TEXT    NOT NULL,
    what          TEXT    NOT NULL CHECK (what IN ('instance_removed', 'recovery_acknowledged')),
    -- Of a removed instance: its id, the start of its process (unix milliseconds by its own clock), and its last
    -- heartbeat. A later heartbeat brings it back, whatever the clock does.
    instance      TEXT,
    started_ms    INTEGER,
    beat_ms       INTEGER,
    -- Of an acknowledgement: why the recovery failed at that moment; NULL if it passed.
    recovery_code INTEGER CHECK (recovery_code BETWEEN 1 AND 3),
    reason        TEXT    NOT NULL,
    CHECK ((what = 'instance_removed') = (instance IS NOT NULL AND started_ms IS NOT NULL AND beat_ms IS NOT NULL))
) STRICT;

CREATE INDEX coordinator_decision_group ON coordinator_decision (group_id, number);
CREATE INDEX coordinator_decision_removed ON coordinator_decision (group_id, instance) WHERE instance IS NOT NULL;

CREATE TRIGGER coordinator_decision_no_update BEFORE UPDATE ON coordinator_decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;

CREATE TRIGGER coordinator_decision_no_delete BEFORE DELETE ON coordinator_decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER coordinator_decision_no_replace BEFORE INSERT ON coordinator_decision
WHEN EXISTS (SELECT 1 FROM coordinator_decision WHERE number = NEW.number)
BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;

-- A leader that was cut off may release late. It had stopped acting before its lease ended.
DROP TRIGGER coordinator_lease_released;
CREATE TRIGGER coordinator_lease_released AFTER UPDATE OF released ON coordinator_lease
WHEN NEW.released = 1 AND OLD.released = 0
BEGIN
    UPDATE coordinator_term
       SET to_ms = max(from_ms, min(CAST(round(unixepoch('subsec') * 1000) AS INTEGER),
                                    coalesce(CAST(round(unixepoch(OLD.renewed_at, 'subsec') * 1000) AS INTEGER) + OLD.ttl_ms,
                                             9223372036854775807))),
           reason = NEW.release_reason
     WHERE group_id = NEW.group_id AND to_ms IS NULL;
END;

UPDATE coordinator_schema SET version = 4;
