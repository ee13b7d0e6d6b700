-- The history of version 3. The lease has the epoch, so that only what operators read is lost.
CREATE TABLE coordinator_term (
    ordinal  bigint GENERATED ALWAYS AS IDENTITY,
    group_id text NOT NULL,
    tl       bigint NOT NULL CHECK (tl BETWEEN 0 AND 4294967295),
    epoch    bigint NOT NULL CHECK (epoch >= 0),
    claim    uuid NOT NULL,
    holder   text NOT NULL,
    host     text NOT NULL,
    from_at  timestamptz NOT NULL,
    to_at    timestamptz,
    reason   text,
    PRIMARY KEY (group_id, claim)
);
CREATE INDEX coordinator_term_latest ON coordinator_term (group_id, ordinal DESC);
CREATE INDEX coordinator_term_open ON coordinator_term (group_id) WHERE to_at IS NULL;
CREATE INDEX coordinator_term_recent ON coordinator_term (group_id, from_at);
