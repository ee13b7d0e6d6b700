-- The instance table of version 6. What was in it comes back with the next heartbeats.
CREATE TABLE coordinator_member (
    group_id    text NOT NULL,
    id          text NOT NULL CHECK (octet_length(id) <= 128),
    nonce       text NOT NULL CHECK (nonce ~ '^[0-9a-f]{24}$'),
    host        text NOT NULL,
    address     text NOT NULL,
    status      text NOT NULL CHECK (status IN ('starting', 'recovering', 'active', 'standby', 'halted')),
    epoch       bigint NOT NULL CHECK (epoch >= 0),
    fallback    boolean NOT NULL,
    alerts      smallint NOT NULL CHECK (alerts BETWEEN 0 AND 2),
    version     text NOT NULL,
    started_ms  bigint NOT NULL,
    beat_at     timestamptz NOT NULL,
    settings    text NOT NULL DEFAULT '',
    cannot_lead text,
    sync_p95_us bigint,
    PRIMARY KEY (group_id, id)
);
