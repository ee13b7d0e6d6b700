-- Created when recovery reads the default relation and it does not exist. TEXT keeps decimals exact.
-- No constraints on purpose: the service that fills it is not ours, and recovery names a bad row instead
-- of making the service's own write fail.
CREATE TABLE portfolio_positions (
    position_id  TEXT,
    instrument   TEXT,
    status       TEXT,
    quantity     TEXT,
    entry_price  TEXT,
    risk_amount  TEXT,
    margin_used  TEXT
);
