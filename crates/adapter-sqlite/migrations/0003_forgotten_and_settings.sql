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

UPDATE coordinator_schema SET version = 3;
