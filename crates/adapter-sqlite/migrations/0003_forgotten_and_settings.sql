-- Version 3: what the group knows after its store has forgotten, and the settings its instances must share.
UPDATE coordinator_schema SET version = 3;
