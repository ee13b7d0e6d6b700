-- Version 3: what the group knows after its store has forgotten, and the settings its instances must share.

-- The settings that all instances must agree on: name=value;name=value. Never a secret: values that can hold credentials
-- are hashes.
ALTER TABLE coordinator_member ADD COLUMN settings text NOT NULL DEFAULT '';

-- What only the owner of the tables may do, whatever was granted: lower the number that services fence with, move a lease
-- to another group, and delete a signal that is not finished. The service does none of it.
CREATE OR REPLACE FUNCTION coordinator_owner_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0]
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
ALTER FUNCTION coordinator_owner_only() SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION coordinator_owner_only() FROM PUBLIC;

CREATE TRIGGER coordinator_lease_kept BEFORE UPDATE ON coordinator_lease FOR EACH ROW
    WHEN (NEW.epoch < OLD.epoch OR NEW.group_id IS DISTINCT FROM OLD.group_id)
    EXECUTE FUNCTION coordinator_owner_only('the number that services fence with never decreases');
CREATE TRIGGER coordinator_signal_kept BEFORE DELETE ON coordinator_signal FOR EACH ROW
    WHEN (OLD.settled_at IS NULL)
    EXECUTE FUNCTION coordinator_owner_only('the signal is not finished');

-- When the store was last known to have forgotten: a lagging standby was promoted, or an older backup restored. Unix
-- milliseconds. What waits and is older may have been executed before, unless it was asked about since.
ALTER TABLE coordinator_lease ADD COLUMN forgot_ms bigint;
ALTER TABLE coordinator_signal ADD COLUMN asked_ms bigint;
-- The highest epoch that an instance has reported then: the next claim is above it.
ALTER TABLE coordinator_lease ADD COLUMN epoch_floor bigint NOT NULL DEFAULT 0;

-- Why an instance cannot lead, if it cannot: its epochs cannot be kept.
ALTER TABLE coordinator_member ADD COLUMN cannot_lead text;
