-- Open and closed positions, when the team has no relation of its own. Amounts are exact.
CREATE TABLE portfolio_positions (
    position_id text PRIMARY KEY,
    instrument  text NOT NULL,
    status      text NOT NULL,
    quantity    numeric NOT NULL,
    entry_price numeric NOT NULL,
    risk_amount numeric NOT NULL,
    margin_used numeric NOT NULL
);
