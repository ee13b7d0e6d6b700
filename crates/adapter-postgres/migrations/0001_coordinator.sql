-- The lease, the instance table, the history and the ledger. Run once, behind an advisory lock, in one
-- transaction with the version row. Times are for people: no rule reads them.

CREATE TABLE coordinator_schema (
    version integer NOT NULL CHECK (version >= 0),
    -- At most one row: the only value the key can have.
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row)
);

-- One row per group decides who leads.
CREATE TABLE coordinator_lease (
    group_id   text PRIMARY KEY CHECK (group_id <> '' AND octet_length(group_id) <= 128),
    tl         bigint NOT NULL CHECK (tl BETWEEN 0 AND 4294967295),
    epoch      bigint NOT NULL CHECK (epoch >= 0),
    claim      uuid NOT NULL,
    seq        bigint NOT NULL CHECK (seq >= 0),
    -- NULL before the first claim.
    holder     text CHECK (octet_length(holder) <= 128),
    released   boolean NOT NULL,
    ttl_ms     bigint NOT NULL CHECK (ttl_ms BETWEEN 1000 AND 300000),
    renewed_at timestamptz NOT NULL DEFAULT now(),
    -- Why the present holder was asked to hand over; NULL when it was not.
    resign     text CHECK (char_length(resign) <= 256)
);

-- One line per instance, written by its heartbeat.
CREATE TABLE coordinator_member (
    group_id   text NOT NULL,
    id         text NOT NULL CHECK (octet_length(id) <= 128),
    -- Which start of the process: 24 hexadecimal digits.
    nonce      text NOT NULL CHECK (nonce ~ '^[0-9a-f]{24}$'),
    host       text NOT NULL,
    address    text NOT NULL,
    status     text NOT NULL CHECK (status IN ('starting', 'recovering', 'active', 'standby', 'halted')),
    epoch      bigint NOT NULL CHECK (epoch >= 0),
    fallback   boolean NOT NULL,
    -- 0 ok, 1 warning, 2 critical.
    alerts     smallint NOT NULL CHECK (alerts BETWEEN 0 AND 2),
    version    text NOT NULL,
    -- Unix milliseconds by the instance's own clock.
    started_ms bigint NOT NULL,
    beat_at    timestamptz NOT NULL,
    PRIMARY KEY (group_id, id)
);

-- One row per leadership, opened by the claim, closed by the release or by the next claim.
-- The key is the claim and not the epoch: an epoch may come again on another timeline.
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
-- The number of changes in the last hour is part of every heartbeat.
CREATE INDEX coordinator_term_recent ON coordinator_term (group_id, from_at);

-- The ledger of effects.
CREATE TABLE coordinator_signal (
    group_id    text NOT NULL,
    id          text NOT NULL CHECK (id <> '' AND octet_length(id) <= 128),
    arrival     bigint GENERATED ALWAYS AS IDENTITY,
    -- A JSON document, kept as it came: jsonb would change numbers and the order of keys.
    body        text NOT NULL CHECK (octet_length(body) <= 65536),
    state       text NOT NULL DEFAULT 'received'
                CHECK (state IN ('received', 'claimed', 'done', 'rejected', 'in_doubt')),
    -- The token of the latest claim.
    tl          bigint,
    epoch       bigint,
    claim       uuid,
    received_at timestamptz NOT NULL DEFAULT now(),
    claimed_at  timestamptz,
    settled_at  timestamptz,
    PRIMARY KEY (group_id, id),
    CHECK (state <> 'claimed' OR (tl IS NOT NULL AND epoch IS NOT NULL AND claim IS NOT NULL))
);
-- What a leader looks for, in order of arrival; finished signals are not in it.
CREATE INDEX coordinator_signal_pending ON coordinator_signal (group_id, state, arrival)
    WHERE state IN ('received', 'claimed', 'in_doubt');
