-- The ledger of effects, version 2: instructions with fingerprints and attempts, the kill switch, the audit.
-- Rows of version 1 are kept. Run in the migration's transaction, as 0001. Functions outlive tables that were dropped.

-- Version 1 never removed a signal, so there may be years of them: some 10,000 are brought over in a second.
SET LOCAL statement_timeout = '15min';

-- The kill switch, and what makes the claims of a group one after the other. One row per group, created with
-- the lease row; a claim that does not find it is refused.
CREATE TABLE coordinator_dispatch (
    group_id     text PRIMARY KEY CHECK (group_id <> '' AND octet_length(group_id) <= 128),
    -- Counts claims. A claim writes what it read plus one, so of two at the same time one writes nothing.
    claims       bigint NOT NULL DEFAULT 0 CHECK (claims >= 0),
    -- Since when nothing is claimed; NULL when the switch is off.
    paused_at    timestamptz,
    -- Of the last turn, on or off: why, by whom, from where.
    reason       text CHECK (char_length(reason) <= 256),
    changed_by   text CHECK (char_length(changed_by) <= 128),
    changed_from text CHECK (char_length(changed_from) <= 128)
);
INSERT INTO coordinator_dispatch (group_id) SELECT group_id FROM coordinator_lease;

-- Who did what. Written by the triggers below and by nothing else; never changed.
CREATE TABLE coordinator_audit (
    number    bigint GENERATED ALWAYS AS IDENTITY,
    group_id  text NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    who       text NOT NULL,
    origin    text NOT NULL,
    -- Of the lease row at that moment.
    epoch     bigint,
    -- The state that a signal reached, 'deleted', or 'paused' and 'resumed'.
    what      text NOT NULL,
    -- NULL for the kill switch.
    signal_id text,
    attempt   integer NOT NULL DEFAULT 0,
    note      text,
    -- What the database itself knows of the writer. A change by hand carries the name of whoever came before.
    db_role   text NOT NULL DEFAULT session_user,
    PRIMARY KEY (group_id, number)
);
CREATE INDEX coordinator_audit_signal ON coordinator_audit (group_id, signal_id, number)
    WHERE signal_id IS NOT NULL;
CREATE INDEX coordinator_audit_switch ON coordinator_audit (group_id, number) WHERE signal_id IS NULL;

-- Columns. Texts that are compared or sorted are compared byte by byte: a new version of the operating system's
-- collations must not break the index that tells a repetition.
ALTER TABLE coordinator_signal RENAME COLUMN body TO payload;
ALTER TABLE coordinator_signal RENAME CONSTRAINT coordinator_signal_body_check TO coordinator_signal_payload_check;
ALTER TABLE coordinator_signal
    ADD COLUMN instrument   text COLLATE "C",
    ADD COLUMN signal_type  text COLLATE "C",
    ADD COLUMN position     text COLLATE "C",
    -- When it arose, by whoever made it: unix seconds.
    ADD COLUMN timestamp_s  bigint,
    -- Unix milliseconds by this server's clock.
    ADD COLUMN expires_ms   bigint,
    -- SHA-256 over the four columns before, each with a line break behind it.
    ADD COLUMN fingerprint  text COLLATE "C",
    -- How often it was claimed.
    ADD COLUMN attempt      integer,
    -- What was said of it last.
    ADD COLUMN note         text,
    -- Who wrote the row last, and from where: the audit's trigger reads them.
    ADD COLUMN changed_by   text,
    ADD COLUMN changed_from text,
    DROP CONSTRAINT coordinator_signal_state_check,
    DROP CONSTRAINT coordinator_signal_check;
DROP INDEX coordinator_signal_pending;

-- The instrument that a version 1 body names, if it is a plain one: version 1 did not know what it was about.
-- Signals of no known instrument are sent one after the other.
CREATE OR REPLACE FUNCTION coordinator_v1_instrument(body text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    named text;
BEGIN
    named := body::json ->> 'instrument';
    RETURN CASE WHEN named ~ '^[!-~]([ -~]{0,62}[!-~])?$' THEN named ELSE 'legacy' END;
-- Whatever is wrong with it (no JSON, nested too deeply): nobody is served by a migration that fails.
EXCEPTION WHEN OTHERS THEN
    RETURN 'legacy';
END $$;

-- The position makes the fingerprint unique: an id is unique in its group, and has no space.
UPDATE coordinator_signal AS signal SET
    instrument = told.instrument,
    signal_type = 'legacy',
    position = told.position,
    timestamp_s = told.timestamp_s,
    fingerprint = encode(sha256(convert_to(
        concat(told.instrument, E'\nlegacy\n', told.position, E'\n', told.timestamp_s, E'\n'), 'UTF8')), 'hex'),
    attempt = CASE WHEN claim IS NOT NULL OR state <> 'received' THEN 1 ELSE 0 END,
    claimed_at = CASE WHEN state <> 'received' THEN coalesce(claimed_at, received_at) END,
    settled_at = CASE WHEN state IN ('done', 'rejected') THEN coalesce(settled_at, claimed_at, received_at) END,
    changed_by = 'coordinator migrate',
    changed_from = 'version 1'
FROM (
    SELECT group_id, id, coordinator_v1_instrument(payload) AS instrument,
           CASE WHEN id ~ '^[A-Za-z0-9._:-]{1,64}$' THEN id ELSE 'arrival ' || arrival END AS position,
           floor(extract(epoch FROM received_at))::bigint AS timestamp_s
    FROM coordinator_signal) AS told
WHERE signal.group_id = told.group_id AND signal.id = told.id;
DROP FUNCTION coordinator_v1_instrument(text);

ALTER TABLE coordinator_signal
    ALTER COLUMN instrument SET NOT NULL,
    ALTER COLUMN signal_type SET NOT NULL,
    ALTER COLUMN position SET NOT NULL,
    ALTER COLUMN timestamp_s SET NOT NULL,
    ALTER COLUMN fingerprint SET NOT NULL,
    ALTER COLUMN attempt SET NOT NULL,
    ALTER COLUMN attempt SET DEFAULT 0,
    ALTER COLUMN changed_by SET NOT NULL,
    ALTER COLUMN changed_from SET NOT NULL,
    ADD CHECK (instrument <> '' AND char_length(instrument) <= 64),
    ADD CHECK (signal_type <> '' AND char_length(signal_type) <= 64),
    ADD CHECK (position <> '' AND char_length(position) <= 64),
    ADD CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    ADD CHECK (attempt >= 0),
    ADD CHECK (char_length(note) <= 256),
    ADD CHECK (char_length(changed_by) <= 128),
    ADD CHECK (char_length(changed_from) <= 128),
    ADD CHECK (state IN ('received', 'claimed', 'sent', 'done', 'rejected', 'expired', 'in_doubt')),
    ADD CHECK (state NOT IN ('claimed', 'sent') OR (tl IS NOT NULL AND epoch IS NOT NULL AND claim IS NOT NULL)),
    -- What waits counts against no limit; what is final can be swept.
    ADD CHECK (state <> 'received' OR claimed_at IS NULL),
    ADD CHECK ((state IN ('done', 'rejected', 'expired')) = (settled_at IS NOT NULL));

-- What tells a repetition.
CREATE UNIQUE INDEX coordinator_signal_fingerprint ON coordinator_signal (group_id, fingerprint);
-- Pages of the list.
CREATE INDEX coordinator_signal_arrival ON coordinator_signal (group_id, arrival);
-- Of the rest, finished signals are only in those that the limits and the sweep look through.
-- What is open, by state.
CREATE INDEX coordinator_signal_open ON coordinator_signal (group_id, state, arrival)
    WHERE state IN ('received', 'claimed', 'sent', 'in_doubt');
-- The oldest of each instrument, from one instrument to the next without a look at those behind it.
CREATE INDEX coordinator_signal_waiting ON coordinator_signal (group_id, instrument, arrival)
    WHERE state = 'received';
CREATE INDEX coordinator_signal_expiry ON coordinator_signal (group_id, expires_ms)
    WHERE state = 'received' AND expires_ms IS NOT NULL;
-- What counts against a limit.
CREATE INDEX coordinator_signal_claimed ON coordinator_signal (group_id, claimed_at)
    WHERE claimed_at IS NOT NULL;
-- What the sweep removes, the oldest first.
CREATE INDEX coordinator_signal_settled ON coordinator_signal (group_id, settled_at)
    WHERE settled_at IS NOT NULL;
-- Trades that were missed are counted by everybody who watches.
CREATE INDEX coordinator_signal_expired ON coordinator_signal (group_id, settled_at)
    WHERE state = 'expired';

-- Version 1 kept no audit: the history of what it left begins with where it stands.
INSERT INTO coordinator_audit (group_id, who, origin, epoch, what, signal_id, attempt)
SELECT group_id, changed_by, changed_from, lease.epoch, state, id, attempt
FROM coordinator_signal AS signal LEFT JOIN coordinator_lease AS lease USING (group_id)
ORDER BY signal.arrival;

-- The audit's triggers. They run with the rights of their owner: whoever writes a signal needs no right on the
-- audit, and has none. AFTER, by row: no change is without its line, whatever statement makes it.
CREATE OR REPLACE FUNCTION coordinator_audit_signal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- A row that is gone cannot say who removed it: the sweep tells it by settings of its transaction.
        INSERT INTO coordinator_audit (group_id, who, origin, epoch, what, signal_id, attempt, note)
        VALUES (OLD.group_id,
                left(coalesce(nullif(current_setting('coordinator.changed_by', true), ''), session_user), 128),
                left(coalesce(nullif(current_setting('coordinator.changed_from', true), ''), 'SQL'), 128),
                (SELECT epoch FROM coordinator_lease WHERE group_id = OLD.group_id),
                'deleted', OLD.id, OLD.attempt, OLD.note);
    ELSE
        INSERT INTO coordinator_audit (group_id, who, origin, epoch, what, signal_id, attempt, note)
        VALUES (NEW.group_id, NEW.changed_by, NEW.changed_from,
                (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
                NEW.state, NEW.id, NEW.attempt, NEW.note);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION coordinator_audit_switch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO coordinator_audit (group_id, who, origin, epoch, what, note)
    VALUES (NEW.group_id, coalesce(NEW.changed_by, session_user), coalesce(NEW.changed_from, 'SQL'),
            (SELECT epoch FROM coordinator_lease WHERE group_id = NEW.group_id),
            CASE WHEN NEW.paused_at IS NULL THEN 'resumed' ELSE 'paused' END, NEW.reason);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION coordinator_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: it would leave a gap in the audit', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

-- Where the functions look for tables does not depend on who fires them, and a temporary table comes last.
-- Nobody may put them behind a table of his own: that would forge lines.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['coordinator_audit_signal()', 'coordinator_audit_switch()', 'coordinator_refuse()']
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %s, pg_temp', name,
            (SELECT string_agg(DISTINCT relnamespace::regnamespace::text, ', ') FROM pg_class
             WHERE oid IN ('coordinator_lease'::regclass, 'coordinator_audit'::regclass)));
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;

CREATE TRIGGER coordinator_audit_inserted AFTER INSERT ON coordinator_signal
    FOR EACH ROW EXECUTE FUNCTION coordinator_audit_signal();
CREATE TRIGGER coordinator_audit_updated AFTER UPDATE ON coordinator_signal
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION coordinator_audit_signal();
CREATE TRIGGER coordinator_audit_deleted AFTER DELETE ON coordinator_signal
    FOR EACH ROW EXECUTE FUNCTION coordinator_audit_signal();
CREATE TRIGGER coordinator_audit_switched AFTER UPDATE ON coordinator_dispatch
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION coordinator_audit_switch();

-- No trigger by row sees a TRUNCATE, and the audit itself only grows, for its owner too.
CREATE TRIGGER coordinator_audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON coordinator_audit
    FOR EACH STATEMENT EXECUTE FUNCTION coordinator_refuse();
CREATE TRIGGER coordinator_audit_kept BEFORE TRUNCATE ON coordinator_signal
    FOR EACH STATEMENT EXECUTE FUNCTION coordinator_refuse();
