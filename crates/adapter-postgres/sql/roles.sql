-- A role with the rights that the service needs, and no more. Run as the owner of the tables after every
-- migration; running it again is harmless. The tables are in schema public, or where the setting postgres.schema says:
--
--     psql -d DATABASE -f roles.sql
--     psql -d DATABASE -c "SET coordinator.schema = 'desk'" -f roles.sql
--     CREATE ROLE desk_1 LOGIN PASSWORD '...' IN ROLE coordinator_app;
--
-- What the role can do to the ledger is what the service does. It cannot change what a signal says (instrument,
-- payload, expiry, fingerprint), and it can neither write, change nor delete a line of the audit: those come from
-- triggers that run with the owner's rights. It can neither lower the number that services fence with nor delete a
-- signal that is not finished. So the owner's password belongs to `coordinator migrate` alone.
--
-- The owner needs CREATEROLE for the first statement, or somebody who has it creates the role before.

BEGIN;

-- Whatever search_path the role, the database or the session has.
SELECT set_config('search_path',
    quote_ident(coalesce(nullif(current_setting('coordinator.schema', true), ''), 'public')) || ', pg_temp', true);

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'coordinator_app') THEN
        CREATE ROLE coordinator_app NOLOGIN;
    END IF;
END $$;

-- Whatever an earlier version granted. Nobody notices: it is one transaction.
REVOKE ALL ON coordinator_schema, coordinator_lease, coordinator_member, coordinator_term, coordinator_signal,
    coordinator_dispatch, coordinator_audit, coordinator_decision FROM coordinator_app;

DO $$ BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO coordinator_app', (
        SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'coordinator_lease'::regclass));
END $$;

GRANT SELECT ON coordinator_schema, coordinator_lease, coordinator_member, coordinator_term, coordinator_signal,
    coordinator_dispatch, coordinator_audit, coordinator_decision TO coordinator_app;

-- Leadership: rows of new groups, claims and renewals, the history.
GRANT INSERT, UPDATE (tl, epoch, claim, seq, holder, released, ttl_ms, renewed_at, resign, forgot_ms,
    epoch_floor, successor)
    ON coordinator_lease
    TO coordinator_app;
GRANT INSERT, UPDATE (to_at, reason) ON coordinator_term TO coordinator_app;
GRANT INSERT, UPDATE, DELETE ON coordinator_member TO coordinator_app;

-- The ledger: new signals in order of arrival, their way through the states, and the sweep.
GRANT INSERT, DELETE, UPDATE (state, asked_ms, tl, epoch, claim, attempt, claimed_at, settled_at, note, folded,
    folded_note, changed_by, changed_from) ON coordinator_signal TO coordinator_app;
GRANT USAGE ON SEQUENCE coordinator_signal_arrival_seq TO coordinator_app;

-- The kill switch, and the count of claims beside it.
GRANT INSERT, UPDATE (claims, paused_at, reason, changed_by, changed_from) ON coordinator_dispatch
    TO coordinator_app;

-- The decisions of operators: rows are only appended. The database sets their number, their time and the role.
GRANT INSERT (group_id, who, origin, what, instance, started_ms, beat_at, recovery_code, reason)
    ON coordinator_decision TO coordinator_app;

-- The relations of the recovery, where they are the default ones. Grant SELECT on your own ones yourself.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['portfolio_positions', 'portfolio_state'] LOOP
        IF to_regclass(name) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON %I TO coordinator_app', name);
        END IF;
    END LOOP;
END $$;

COMMIT;
