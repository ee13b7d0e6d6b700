//! Random numbers for walks, the same on every machine.

/// Marsaglia's xorshift: sufficient for random walks.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Spread, so that neighbouring seeds diverge at once; never zero, because zero is a fixed point.
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        dice.below(2);
        dice
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper bits are of better quality; the bias of the remainder does not matter here.
        (self.0 >> 16) % limit
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}
