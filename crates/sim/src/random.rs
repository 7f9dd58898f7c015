//! The randomness of a run: everything that is drawn comes from its seed.

use std::time::Duration;

/// A generator (xorshift64*, Vigna 2014, behind splitmix64): small, and the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Random {
        // splitmix64: neighbouring seeds give unlike streams, and none begins with zero.
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((state ^ (state >> 31)) | 1)
    }

    /// A generator of its own for a part of the run, so that one part's draws do not shift another's.
    pub fn fork(&mut self) -> Random {
        Random::new(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number of `low..=high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + (self.next() >> 16) % (high - low + 1)
    }

    /// A time of `low..=high` milliseconds, to the microsecond.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.range(low * 1_000, high * 1_000))
    }

    /// Whether something of so many in a thousand happens.
    pub fn permille(&mut self, permille: u32) -> bool {
        permille > 0 && self.range(0, 999) < u64::from(permille)
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.range(0, of.len() as u64 - 1) as usize]
    }
}
