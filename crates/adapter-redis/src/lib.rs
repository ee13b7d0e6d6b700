//! LeaderStore on Redis: the ticket, its hints and its faults.
