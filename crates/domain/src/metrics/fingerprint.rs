//! Fingerprints: leaders as numbers, because Prometheus compares only numbers.

use crate::id::InstanceId;

/// Width of a fingerprint. An f64 holds 53 bits exactly; folding 64 bits gives 48.
const BITS: u32 = 48;

/// The 48-bit number of an instance: FNV-1a of 64 bits over the id's bytes, its upper 16 bits folded onto the lower
/// 48 by exclusive or. Exact in an f64 and never 0, because 0 means "no leader".
///
/// It distinguishes leaders on a dashboard. It does not protect against ids that were made to collide.
pub fn fingerprint(id: &InstanceId) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash =
        id.as_str().bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let folded = (hash >> BITS) ^ (hash & ((1 << BITS) - 1));
    folded.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::unit;

    #[test]
    fn equals_the_published_fnv_1a_after_the_fold() {
        // FNV-1a 64 of "a" is af63dc4c8601ec8c: dc4c8601ec8c xor 00000000af63.
        assert_eq!(fingerprint(&InstanceId::parse("a").unwrap()), 0xdc4c_8601_43ef);
    }

    #[test]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is a whole number of 48 bits"
    )]
    fn is_unchanged_by_a_conversion_to_float() {
        for id in ["a", "b", "7b0e8f4e-6f0f-4f5e-9a51-0f3f8a1c2d3e-4711", "x:5000"] {
            let print = fingerprint(&InstanceId::parse(id).unwrap());
            assert!(print > 0 && print < 1 << BITS);
            assert_eq!(unit::count(print) as u64, print);
        }
    }
}
