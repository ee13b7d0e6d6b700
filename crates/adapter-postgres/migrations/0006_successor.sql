-- Version 6: the instance to which the leader was requested to hand over.

-- NULL without such a request; the next claim clears it.
ALTER TABLE coordinator_lease ADD COLUMN successor text CHECK (octet_length(successor) <= 128);
