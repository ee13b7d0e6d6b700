-- The kill switches of version 3, as the audit's last words about them.
CREATE TABLE coordinator_dispatch (
    group_id     text PRIMARY KEY CHECK (group_id <> '' AND octet_length(group_id) <= 128),
    claims       bigint NOT NULL DEFAULT 0 CHECK (claims >= 0),
    paused_at    timestamptz,
    reason       text CHECK (char_length(reason) <= 256),
    changed_by   text CHECK (char_length(changed_by) <= 128),
    changed_from text CHECK (char_length(changed_from) <= 128)
);
INSERT INTO coordinator_dispatch (group_id, paused_at, reason, changed_by, changed_from)
SELECT lease.group_id, CASE last.what WHEN 'paused' THEN last.at END, left(last.note, 256), left(last.who, 128),
       left(last.origin, 128)
FROM coordinator_lease AS lease LEFT JOIN LATERAL (
    SELECT what, at, note, who, origin FROM coordinator_audit
    WHERE group_id = lease.group_id AND signal_id IS NULL ORDER BY number DESC LIMIT 1) AS last ON true;
CREATE TRIGGER coordinator_audit_switched AFTER UPDATE ON coordinator_dispatch
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION coordinator_audit_switch();
