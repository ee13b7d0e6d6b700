-- Version 5: alerts that came through a hook, and those that were folded into an earlier signal.

ALTER TABLE coordinator_signal
    -- The hook that it came through; NULL for a signal that its client submitted as one.
    ADD COLUMN hook          text COLLATE "C" CHECK (hook <> '' AND char_length(hook) <= 64),
    -- The window of the hook, in seconds; 0 is none.
    ADD COLUMN hook_window_s integer CHECK (hook_window_s >= 0),
    -- Only for the trigger below: whether the timestamp is the sender's own, and not the time of arrival.
    ADD COLUMN hook_own_time boolean,
    -- The number of later alerts that were folded into it, and the note of the last one, for the audit.
    ADD COLUMN folded        integer NOT NULL DEFAULT 0 CHECK (folded >= 0),
    ADD COLUMN folded_note   text CHECK (char_length(folded_note) <= 256);

-- The signals of a hook about the same thing, by their own time.
CREATE INDEX coordinator_signal_hook
    ON coordinator_signal (group_id, hook, instrument, signal_type, position, timestamp_s) WHERE hook IS NOT NULL;

-- Inserts nothing if a signal of the same hook, instrument, type and position is within the window. A signal that was
-- certainly never sent does not count: it expired, perhaps acknowledged later, or was never claimed. If the timestamps are the
-- sender's own, a signal of another type of the instrument between the two ends the window. The lock ends with the
-- transaction. At READ COMMITTED, which every session of coordinator sets, the query after it has its own snapshot: it sees
-- what the former holder of the lock committed. An equal instruction is inserted, and meets the unique index: it is a
-- repetition, as everywhere.
CREATE OR REPLACE FUNCTION coordinator_hook_window() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(E'\n', 'coordinator hook', TG_RELID, NEW.group_id,
        NEW.hook, NEW.instrument, NEW.signal_type, NEW.position), 0));
    IF NOT EXISTS (
        SELECT FROM coordinator_signal AS same
        WHERE same.group_id = NEW.group_id AND same.fingerprint = NEW.fingerprint AND same.payload = NEW.payload
          AND same.expires_ms IS NOT DISTINCT FROM NEW.expires_ms)
       AND EXISTS (
        SELECT FROM coordinator_signal AS near
        WHERE near.group_id = NEW.group_id AND near.hook = NEW.hook AND near.instrument = NEW.instrument
          AND near.signal_type = NEW.signal_type AND near.position = NEW.position
          AND near.timestamp_s BETWEEN NEW.timestamp_s - NEW.hook_window_s AND NEW.timestamp_s + NEW.hook_window_s
          AND near.state <> 'expired' AND NOT (near.state = 'rejected' AND near.claimed_at IS NULL)
          AND NOT (NEW.hook_own_time AND EXISTS (
            SELECT FROM coordinator_signal AS other
            WHERE other.group_id = NEW.group_id AND other.hook = NEW.hook AND other.instrument = NEW.instrument
              AND other.signal_type <> NEW.signal_type
              AND other.timestamp_s > least(near.timestamp_s, NEW.timestamp_s)
              AND other.timestamp_s < greatest(near.timestamp_s, NEW.timestamp_s))))
    THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

-- As the audit's other triggers: with the rights of its owner.
CREATE OR REPLACE FUNCTION coordinator_audit_folded() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO coordinator_audit (group_id, who, origin, epoch, what, signal_id, attempt, note)
    VALUES (NEW.group_id, NEW.changed_by, NEW.changed_from,
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            'folded', NEW.id, NEW.attempt, NEW.folded_note);
    RETURN NULL;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['coordinator_hook_window()', 'coordinator_audit_folded()']
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %s, pg_temp', name,
            (SELECT string_agg(DISTINCT relnamespace::regnamespace::text, ', ') FROM pg_class
             WHERE oid IN ('coordinator_lease'::regclass, 'coordinator_audit'::regclass)));
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;

CREATE TRIGGER coordinator_signal_window BEFORE INSERT ON coordinator_signal
    FOR EACH ROW WHEN (NEW.hook_window_s > 0) EXECUTE FUNCTION coordinator_hook_window();
CREATE TRIGGER coordinator_audit_folded AFTER UPDATE ON coordinator_signal
    FOR EACH ROW WHEN (OLD.folded IS DISTINCT FROM NEW.folded) EXECUTE FUNCTION coordinator_audit_folded();
