-- Version 3: what the group knows after its store has forgotten, and the settings its instances must share.

-- The settings that all instances must agree on: name=value;name=value. Never a secret: values that can hold credentials
-- are hashes.
ALTER TABLE coordinator_member ADD COLUMN settings text NOT NULL DEFAULT '';
