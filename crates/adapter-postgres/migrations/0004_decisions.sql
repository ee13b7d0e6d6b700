-- Version 4: the decisions of operators that concern no signal. Also run when the table was dropped: the decisions are
-- lost then, and nothing but what operators read depends on them.

-- Rows are only ever appended.
CREATE TABLE coordinator_decision (
    number        bigint GENERATED ALWAYS AS IDENTITY,
    group_id      text NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The operator: a name, and a network address or a host.
    who           text NOT NULL CHECK (char_length(who) <= 128),
    origin        text NOT NULL CHECK (char_length(origin) <= 128),
    what          text NOT NULL CHECK (what IN ('instance_removed', 'recovery_acknowledged')),
    -- Of a removed instance: its id, the start of its process (unix milliseconds by its own clock), and its last
    -- heartbeat. A later heartbeat brings it back, whatever the server's clock does.
    instance      text CHECK (octet_length(instance) <= 128),
    started_ms    bigint,
    beat_at       timestamptz,
    -- Of an acknowledgement: why the recovery failed at that moment; NULL if it passed.
    recovery_code smallint CHECK (recovery_code BETWEEN 1 AND 3),
    reason        text NOT NULL CHECK (char_length(reason) <= 256),
    -- What the database itself knows of the writer.
    db_role       text NOT NULL DEFAULT session_user,
    PRIMARY KEY (group_id, number),
    CHECK ((what = 'instance_removed') = (instance IS NOT NULL AND started_ms IS NOT NULL AND beat_at IS NOT NULL))
);
CREATE INDEX coordinator_decision_removed ON coordinator_decision (group_id, instance) WHERE instance IS NOT NULL;

CREATE TRIGGER coordinator_decision_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON coordinator_decision
    FOR EACH STATEMENT EXECUTE FUNCTION coordinator_refuse();
