//! Who does something, as the audit keeps it.

use crate::config::SqliteConfig;
use domain::ledger::{Actor, NOTE_LEN_MAX};

/// As many characters of a name and of an origin are kept.
pub(super) const ACTOR_LEN_MAX: usize = 128;

/// An actor whose texts are as long as they are kept.
pub(super) fn kept(actor: &Actor) -> Actor {
    Actor { who: cut(&actor.who, ACTOR_LEN_MAX), origin: cut(&actor.origin, ACTOR_LEN_MAX) }
}

/// This process: what a leader does.
pub(super) fn own(config: &SqliteConfig) -> Actor {
    Actor { who: config.identity.id.as_str().to_owned(), origin: cut(&config.identity.host, ACTOR_LEN_MAX) }
}

/// A note, likewise.
pub(super) fn note(text: &str) -> String {
    cut(text, NOTE_LEN_MAX)
}

/// Cut here and not by the SQL, whose `substr` ends at a NUL character.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
