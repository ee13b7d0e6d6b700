-- Version 6: the instance to which the leader was requested to hand over, and the latency of each instance.

-- NULL without such a request; the next claim clears it.
ALTER TABLE coordinator_lease ADD COLUMN successor text CHECK (octet_length(successor) <= 128);
-- The 95th percentile of the instance's latest syncs; NULL while it has too few.
ALTER TABLE coordinator_member ADD COLUMN sync_p95_us bigint;
