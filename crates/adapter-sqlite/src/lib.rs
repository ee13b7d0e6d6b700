//! StateStore and SignalLedger on embedded SQLite: the default store of one machine.
