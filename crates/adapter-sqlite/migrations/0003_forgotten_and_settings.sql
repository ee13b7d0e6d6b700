-- Version 3: what the group knows after its store has forgotten, and the settings its instances must share.
-- The settings that all instances must agree on: name=value;name=value. Never a secret: values that can hold credentials
-- are hashes.
ALTER TABLE coordinator_member ADD COLUMN settings TEXT NOT NULL DEFAULT '';

UPDATE coordinator_schema SET version = 3;
