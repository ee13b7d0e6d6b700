//! The identity of a signal: two submissions with the same fingerprint are one signal, whatever their ids.

use super::Instruction;
use core::fmt;
use sha2::{Digest, Sha256};

/// SHA-256 over instrument, signal type, position and timestamp (unix seconds), each on a separate line. None of them
/// contains a line break, so no two instructions have the same text. The value can be computed in a shell:
///
/// ```sh
/// printf 'NIFTY\nBASE_ENTRY\nLong_1\n1764411330\n' | sha256sum
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of an instruction.
    pub fn of(instruction: &Instruction) -> Self {
        let Instruction { instrument, signal_type, position, timestamp_s, payload: _, expires_ms: _ } =
            instruction;
        let mut hash = Sha256::new();
        for label in [instrument, signal_type, position] {
            hash.update(label.as_str());
            hash.update("\n");
        }
        hash.update(alloc::format!("{timestamp_s}\n"));
        Self(hash.finalize().into())
    }
}

/// 64 hexadecimal digits in small letters.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Label;
    use alloc::string::ToString;

    fn instruction() -> Instruction {
        let label = |text| Label::parse(text).unwrap();
        Instruction {
            instrument: label("NIFTY"),
            signal_type: label("BASE_ENTRY"),
            position: label("Long_1"),
            timestamp_s: 1_764_411_330,
            payload: "{}".into(),
            expires_ms: None,
        }
    }

    #[test]
    fn equals_the_output_of_sha256sum() {
        let expected = "f3cf0ef24f784b2f0c9c2ffa478b5a13864e02ca72f3c846cfd41e1f9d0b64d2";
        assert_eq!(Fingerprint::of(&instruction()).to_string(), expected);
    }

    #[test]
    fn depends_on_every_part_and_on_nothing_else() {
        let label = |text| Label::parse(text).unwrap();
        let base = Fingerprint::of(&instruction());
        for other in [
            Instruction { instrument: label("NIFTY2"), ..instruction() },
            Instruction { signal_type: label("EXIT"), ..instruction() },
            Instruction { position: label("Long_2"), ..instruction() },
            Instruction { timestamp_s: 1_764_411_331, ..instruction() },
        ] {
            assert_ne!(Fingerprint::of(&other), base, "{other:?}");
        }
        let same = Instruction { payload: "{\"a\":1}".into(), expires_ms: Some(1), ..instruction() };
        assert_eq!(Fingerprint::of(&same), base);
    }
}
