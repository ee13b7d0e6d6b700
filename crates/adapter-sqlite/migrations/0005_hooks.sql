-- Version 5: alerts that came through a hook, and those that were folded into an earlier signal.

-- The hook that it came through; NULL for a signal that its client submitted as one.
ALTER TABLE coordinator_signal ADD COLUMN hook TEXT;
-- The window of the hook, in seconds; 0 is none.
ALTER TABLE coordinator_signal ADD COLUMN hook_window_s INTEGER;
-- Only for the trigger below: 1 if the timestamp is the sender's own, 0 if it is the time of arrival.
ALTER TABLE coordinator_signal ADD COLUMN hook_own_time INTEGER;
-- The number of later alerts that were folded into it, and the note of the last one, for the audit.
ALTER TABLE coordinator_signal ADD COLUMN folded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE coordinator_signal ADD COLUMN folded_note TEXT;

-- The signals of a hook about the same thing, by their own time.
CREATE INDEX coordinator_signal_hook
 ON coordinator_signal (group_id, hook, instrument, signal_type, position, timestamp_s) WHERE hook IS NOT NULL;

-- Inserts nothing if a signal of the same hook, instrument, type and position is within the window. A signal that was
-- certainly never sent does not count: it expired, perhaps acknowledged later, or was never claimed. If the timestamps are the
-- sender's own, a signal of another type of the instrument between the two ends the window. SQLite has one writer,
-- so no other insert is between the query and the row. An equal instruction is inserted, and meets the unique index: it is
-- a repetition, as everywhere.
CREATE TRIGGER coordinator_signal_window BEFORE INSERT ON coordinator_signal
WHEN NEW.hook_window_s > 0
 AND NOT EXISTS (SELECT 1 FROM coordinator_signal
                  WHERE group_id = NEW.group_id AND fingerprint = NEW.fingerprint AND payload = NEW.payload
                    AND expires_ms IS NEW.expires_ms)
 AND EXISTS (SELECT 1 FROM coordinator_signal AS near
              WHERE near.group_id = NEW.group_id AND near.hook = NEW.hook AND near.instrument = NEW.instrument
                AND near.signal_type = NEW.signal_type AND near.position = NEW.position
                AND near.timestamp_s BETWEEN NEW.timestamp_s - NEW.hook_window_s
                                         AND NEW.timestamp_s + NEW.hook_window_s
                AND near.state <> 'expired' AND NOT (near.state = 'rejected' AND near.claimed_ms IS NULL)
                AND NOT (NEW.hook_own_time
                    AND EXISTS (SELECT 1 FROM coordinator_signal AS other
                                 WHERE other.group_id = NEW.group_id AND other.hook = NEW.hook
                                   AND other.instrument = NEW.instrument AND other.signal_type <> NEW.signal_type
                                   AND other.timestamp_s > min(near.timestamp_s, NEW.timestamp_s)
                                   AND other.timestamp_s < max(near.timestamp_s, NEW.timestamp_s))))
BEGIN
    SELECT RAISE(IGNORE);
END;

CREATE TRIGGER coordinator_signal_folded AFTER UPDATE OF folded ON coordinator_signal
WHEN NEW.folded <> OLD.folded
BEGIN
    INSERT INTO coordinator_audit (group_id, at_ms, who, origin, epoch, what, signal_id, attempt, note)
    VALUES (NEW.group_id, CAST(round(unixepoch('subsec') * 1000) AS INTEGER), NEW.changed_by, NEW.changed_from,
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            'folded', NEW.id, NEW.attempt, NEW.folded_note);
END;

UPDATE coordinator_schema SET version = 5;
