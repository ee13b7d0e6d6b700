//! Texts about actors, cut to the length that the audit stores.

use crate::config::SqliteConfig;
use domain::ledger::{Actor, NOTE_LEN_MAX};

/// Longest name and longest origin that are stored, in characters.
pub(crate) const ACTOR_LEN_MAX: usize = 128;

/// The actor with texts of at most the stored length.
pub(crate) fn kept(actor: &Actor) -> Actor {
    Actor { who: cut(&actor.who, ACTOR_LEN_MAX), origin: cut(&actor.origin, ACTOR_LEN_MAX) }
}

/// This process, as the actor of what a leader does.
pub(crate) fn own(config: &SqliteConfig) -> Actor {
    Actor { who: config.identity.id.as_str().to_owned(), origin: cut(&config.identity.host, ACTOR_LEN_MAX) }
}

/// A note of at most the stored length.
pub(crate) fn note(text: &str) -> String {
    cut(text, NOTE_LEN_MAX)
}

/// Cuts a text here and not in the SQL, whose `substr` ends at a NUL character.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
