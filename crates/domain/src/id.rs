//! Identifiers of instances, groups and claims. They are parsed once at the edge and trusted afterwards.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;

/// Longest id in bytes.
pub const ID_LEN_MAX: usize = 128;

/// An id was empty, too long, or had a character outside `[A-Za-z0-9._:-]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: 1 to 128 of the characters A-Z a-z 0-9 . _ : -")]
pub struct InvalidId(pub String);

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')
}

fn parse(text: &str) -> Result<String, InvalidId> {
    if !text.is_empty() && text.len() <= ID_LEN_MAX && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        // The error is printed: it shows only the start of the text.
        Err(InvalidId(text.chars().take(ID_LEN_MAX).collect()))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses an id of 1 to 128 characters out of `[A-Za-z0-9._:-]`.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One running process of a group: by default `UUID-PID`.
    InstanceId
}
id! {
    /// A set of instances of which at most one leads.
    GroupId
}

impl InstanceId {
    /// An id read from a store, which any client may have written. Characters that an id cannot have become `?`, an
    /// overlong text is cut, an empty one becomes `?`. For display only; never compared.
    pub fn from_stored(text: &str) -> Self {
        let shown: String = text.chars().take(ID_LEN_MAX).map(|c| if allowed(c) { c } else { '?' }).collect();
        Self(if shown.is_empty() { "?".to_owned() } else { shown })
    }
}

/// Identifies one start of a process: 96 random bits drawn at the start.
///
/// A restarted process, even under the same [`InstanceId`], has another nonce, so it can never take
/// its former claim for its own (protocol rule M15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(u128);

impl Nonce {
    /// Keeps the low 96 bits of `random`.
    pub fn new(random: u128) -> Self {
        Self(random & (u128::MAX >> 32))
    }

    /// The `n`th claim of this process.
    pub fn claim(self, n: u32) -> ClaimId {
        ClaimId((self.0 << 32) | u128::from(n))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:024x}", self.0)
    }
}

/// Length of a claim as text: a uuid.
const CLAIM_TEXT_LEN: usize = 36;

/// One attempt to lead, never used twice: the process's [`Nonce`] and a counter. Stores keep it as a uuid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(u128);

impl ClaimId {
    /// The claim of a lease that no instance has claimed yet.
    pub const NIL: Self = Self(0);

    /// From the 128 bits of the stored uuid.
    pub fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// A claim as its `Display` writes it, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != CLAIM_TEXT_LEN {
            return None;
        }
        let claim = Self(u128::from_str_radix(&text.replace('-', ""), 16).ok()?);
        (claim.to_string() == text).then_some(claim)
    }

    /// The 128 bits of the uuid.
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// The process that made the claim.
    pub fn nonce(self) -> Nonce {
        Nonce(self.0 >> 32)
    }

    /// True if this process made the claim.
    pub fn is_from(self, nonce: Nonce) -> bool {
        self.0 >> 32 == nonce.0
    }
}

/// The form of a uuid: 8-4-4-4-12 hexadecimal digits.
impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            b >> 96,
            (b >> 80) & 0xffff,
            (b >> 64) & 0xffff,
            (b >> 48) & 0xffff,
            b & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_as_it_is_written_and_not_otherwise() {
        let claim = Nonce::new(u128::MAX).claim(7);
        assert_eq!(ClaimId::parse(&claim.to_string()), Some(claim));
        let (upper, sign) = ("01234567-89ab-cdef-0123-456789ABCDEF", "+1234567-89ab-cdef-0123-456789abcdef");
        for other in ["", "7", upper, sign, "0123456789ab-cdef-0123-4567-89abcdef"] {
            assert_eq!(ClaimId::parse(other), None, "{other:?}");
        }
    }
}
