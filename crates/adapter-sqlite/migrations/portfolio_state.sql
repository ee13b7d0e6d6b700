-- As portfolio_positions; with the one row that recovery expects, so that an empty portfolio is valid.
CREATE TABLE portfolio_state (
    total_risk_amount TEXT,
    margin_used       TEXT
);
INSERT INTO portfolio_state (total_risk_amount, margin_used) VALUES ('0', '0');
