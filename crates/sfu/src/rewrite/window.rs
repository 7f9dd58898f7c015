//! Numbers of one source that become contiguous numbers.
//!
//! A ring of bits remembers which of the last numbers were left out and which are done. A late number's place follows
//! from how many after it were left out, so that nothing is stored per number but two bits.

use super::Refused;

/// The last `WORDS` x 64 numbers of one source.
#[derive(Clone, Debug)]
pub(super) struct Window<const WORDS: usize> {
    /// The first number; nothing before it belongs to the stream.
    first_in: u64,
    /// The number after the highest that was seen, and what it would become.
    next_in: u64,
    next_out: u64,
    skipped: [u64; WORDS],
    /// Forwarded, or left out.
    done: [u64; WORDS],
}

impl<const WORDS: usize> Default for Window<WORDS> {
    fn default() -> Self {
        Window { first_in: 0, next_in: 0, next_out: 0, skipped: [0; WORDS], done: [0; WORDS] }
    }
}

impl<const WORDS: usize> Window<WORDS> {
    const LEN: u64 = WORDS as u64 * 64;

    /// Begins anew: number `first_in` becomes `first_out`.
    pub(super) fn begin(&mut self, first_in: u64, first_out: u64) {
        *self = Window { first_in, next_in: first_in, next_out: first_out, ..Window::default() };
    }

    /// The number that would come next.
    pub(super) fn next(&self) -> u64 {
        self.next_out
    }

    /// Whether [`Window::take`] would take it.
    pub(super) fn check(&self, number: u64) -> Result<(), Refused> {
        if number >= self.next_in {
            return Ok(());
        }
        if number < self.first_in || self.next_in - number > Self::LEN {
            return Err(Refused::TooOld);
        }
        match (get(&self.skipped, number), get(&self.done, number)) {
            (true, _) => Err(Refused::Dropped { hole: None }),
            (false, true) => Err(Refused::Duplicate),
            (false, false) => Ok(()),
        }
    }

    /// Takes a number that was not taken before.
    pub(super) fn take(&mut self, number: u64) -> Result<u64, Refused> {
        self.check(number)?;
        self.reach(number);
        if number == self.next_in {
            self.next_in += 1;
            self.next_out += 1;
        }
        set(&mut self.done, number);
        Ok(self.out(number))
    }

    /// What a number becomes, as often as asked; `None` when it was left out or is too old.
    pub(super) fn map(&mut self, number: u64) -> Option<u64> {
        match self.check(number) {
            Ok(()) => self.take(number).ok(),
            Err(Refused::Duplicate) => Some(self.out(number)),
            Err(Refused::TooOld | Refused::Dropped { .. }) => None,
        }
    }

    /// Leaves a number out. Returns what it would have become if that is known to the receiver as a gap by now.
    pub(super) fn skip(&mut self, number: u64) -> Option<u64> {
        self.check(number).ok()?;
        self.reach(number);
        let hole = if number == self.next_in {
            self.next_in += 1;
            set(&mut self.skipped, number);
            None
        } else {
            Some(self.out(number))
        };
        set(&mut self.done, number);
        hole
    }

    /// Keeps numbers free for all between the highest that was seen and `number`, which itself is not counted yet.
    fn reach(&mut self, number: u64) {
        let Some(gap) = number.checked_sub(self.next_in) else { return };
        if gap >= Self::LEN {
            // A source that jumps so far has begun anew, or lost more than anybody resends. One number is kept free, so
            // that the receiver sees a loss.
            return self.begin(number, self.next_out + 1);
        }
        for passed in self.next_in..=number {
            clear(&mut self.skipped, passed);
            clear(&mut self.done, passed);
        }
        self.next_in = number;
        self.next_out += gap;
    }

    /// What a number within the window became.
    fn out(&self, number: u64) -> u64 {
        let after = self.next_in - number;
        self.next_out + self.count_skipped(number) - after
    }

    /// How many from `number` on were left out.
    fn count_skipped(&self, number: u64) -> u64 {
        let mut count = 0;
        let mut at = number;
        while at < self.next_in {
            let word = self.skipped[(at / 64) as usize % WORDS] >> (at % 64);
            let len = (64 - at % 64).min(self.next_in - at);
            let within = if len == 64 { word } else { word & ((1 << len) - 1) };
            count += u64::from(within.count_ones());
            at += len;
        }
        count
    }
}

fn get<const WORDS: usize>(bits: &[u64; WORDS], number: u64) -> bool {
    bits[(number / 64) as usize % WORDS] >> (number % 64) & 1 == 1
}

fn set<const WORDS: usize>(bits: &mut [u64; WORDS], number: u64) {
    bits[(number / 64) as usize % WORDS] |= 1 << (number % 64);
}

fn clear<const WORDS: usize>(bits: &mut [u64; WORDS], number: u64) {
    bits[(number / 64) as usize % WORDS] &= !(1 << (number % 64));
}
