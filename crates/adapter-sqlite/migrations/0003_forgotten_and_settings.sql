-- Version 3: what the group knows after its store has forgotten, and the settings its instances must share.
-- The settings that all instances must agree on: name=value;name=value. Never a secret: values that can hold credentials
-- are hashes.
ALTER TABLE coordinator_member ADD COLUMN settings TEXT NOT NULL DEFAULT '';

-- When the store was last known to have forgotten: an older backup was put in its place. What waits and is older may
-- have been executed before, unless it was asked about since.
ALTER TABLE coordinator_lease ADD COLUMN forgot_ms INTEGER;
ALTER TABLE coordinator_signal ADD COLUMN asked_ms INTEGER;
-- The highest epoch that an instance has reported then: the next claim is above it.
ALTER TABLE coordinator_lease ADD COLUMN epoch_floor INTEGER NOT NULL DEFAULT 0;

-- Why an instance cannot lead, if it cannot: its epochs cannot be kept.
ALTER TABLE coordinator_member ADD COLUMN cannot_lead TEXT;

-- A term that was not released ends with its lease, or with the next claim if that is earlier: the time to the next term
-- had no leader.
DROP TRIGGER coordinator_lease_claimed;
CREATE TRIGGER coordinator_lease_claimed AFTER UPDATE OF claim ON coordinator_lease
WHEN NEW.claim <> OLD.claim
BEGIN
    UPDATE coordinator_term
       SET to_ms = max(from_ms, min(CAST(round(unixepoch('subsec') * 1000) AS INTEGER),
                                    coalesce(CAST(round(unixepoch(OLD.renewed_at, 'subsec') * 1000) AS INTEGER) + OLD.ttl_ms,
                                             9223372036854775807))),
           reason = 'expired'
     WHERE group_id = NEW.group_id AND to_ms IS NULL;
    INSERT INTO coordinator_term (group_id, tl, epoch, claim, holder, host, from_ms)
    VALUES (NEW.group_id, NEW.tl, NEW.epoch, NEW.claim, NEW.holder, NEW.host,
            CAST(round(unixepoch('subsec') * 1000) AS INTEGER));
    DELETE FROM coordinator_term
     WHERE group_id = NEW.group_id
       AND id <= (SELECT id FROM coordinator_term WHERE group_id = NEW.group_id
                   ORDER BY id DESC LIMIT 1 OFFSET 10000);
END;

UPDATE coordinator_schema SET version = 3;
