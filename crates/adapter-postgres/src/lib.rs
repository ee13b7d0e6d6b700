//! StateStore and SignalLedger on PostgreSQL: the lease row, fencing, members, history, recovery.
