-- The portfolio's totals: one row, starting at nothing.
CREATE TABLE portfolio_state (
    total_risk_amount numeric NOT NULL,
    margin_used       numeric NOT NULL
);
INSERT INTO portfolio_state (total_risk_amount, margin_used) VALUES (0, 0);
