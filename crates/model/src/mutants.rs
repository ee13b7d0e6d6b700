//! All mutants: those of the handover to one instance, and those of every other rule.

use crate::mutant::{MUTANTS, Mutant, READING, elector, instead};

/// Every mutant.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    MUTANTS.iter().chain(&HANDOVER)
}

const HANDOVER: [Mutant; 2] = [
    elector(
        "a-released-lease-is-open-to-all",
        "M25",
        "every follower claims a lease at once that was released for one instance",
        &[instead(READING, "*successor != config.id", "false")],
        ("handover", 1),
    ),
    elector(
        "a-lease-is-left-to-a-dead-successor",
        "M25",
        "a lease that was released for an instance is left to it for good",
        &[instead(READING, "self.since + reserved", "Time::FAR")],
        ("handover", 2),
    ),
];
