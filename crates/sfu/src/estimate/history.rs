//! What left of late, until it is reported: a ring indexed by the packet's number.
//!
//! In: packets sent, numbers a peer reports. Out: when it left, how large it was, of which probe.

/// Microseconds since an estimator began.
pub(super) type Micros = u64;

/// A second of [`Micros`].
pub(super) const SECOND: Micros = 1_000_000;

/// The ring begins so small: 4 kB for a connection that sends little. A power of two.
const PACKETS_MIN: usize = 256;
/// And grows to so many: 5 s at 8 Mbit/s. More is 16 bytes per packet; fewer loses reports on long, fast paths. A power of two.
const PACKETS_MAX: usize = 4_096;
/// A packet nobody reported for so long is forgotten. Longer believes reports that say nothing about the path as it is now.
pub(super) const REPORTED_WITHIN: Micros = 5 * SECOND;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody said.
    Unknown,
    /// Reported as not there. It may come yet.
    Lost,
    /// Reported as there, or never sent: not to be counted any more.
    Done,
}

/// A packet that left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub at: Micros,
    /// 0: of no probe.
    pub probe: u32,
    pub bytes: u16,
    pub fate: Fate,
}

const NOTHING: Sent = Sent { at: 0, probe: 0, bytes: 0, fate: Fate::Done };

/// The ring.
#[derive(Debug)]
pub(super) struct History {
    ring: Vec<Sent>,
    /// The oldest number that is kept.
    first: u64,
    /// The number after the newest.
    next: u64,
}

impl History {
    /// Allocates nothing before the first packet.
    pub fn new() -> History {
        History { ring: Vec::new(), first: 0, next: 0 }
    }

    /// The number the next packet has at least.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// A packet left. Numbers that were passed over count as never sent; one that goes back is not taken.
    pub fn push(&mut self, number: u64, sent: Sent) {
        if number != self.next || self.ring.is_empty() {
            if number < self.next {
                return;
            }
            self.pass_over(number);
        }
        if (self.next - self.first) as usize == self.ring.len() {
            self.make_room(sent.at);
        }
        let slot = self.slot(number);
        self.ring[slot] = sent;
        self.next = number + 1;
    }

    /// The number a peer means by its low 16 bits: the newest such number that was sent.
    pub fn extend(&self, low: u16) -> Option<u64> {
        let newest = self.next.checked_sub(1)?;
        newest.checked_sub(u64::from((newest as u16).wrapping_sub(low)))
    }

    /// A packet that may be reported now.
    pub fn get_mut(&mut self, number: u64, now: Micros) -> Option<&mut Sent> {
        if number < self.first || number >= self.next {
            return None;
        }
        let slot = self.slot(number);
        let sent = &mut self.ring[slot];
        (now.saturating_sub(sent.at) < REPORTED_WITHIN).then_some(sent)
    }

    fn slot(&self, number: u64) -> usize {
        number as usize & (self.ring.len() - 1)
    }

    fn pass_over(&mut self, number: u64) {
        if self.ring.is_empty() {
            self.ring = vec![NOTHING; PACKETS_MIN];
            (self.first, self.next) = (number, number);
        }
        if number - self.next >= self.ring.len() as u64 {
            (self.first, self.next) = (number, number);
        }
        while self.next < number {
            if (self.next - self.first) as usize == self.ring.len() {
                self.first += 1;
            }
            let slot = self.slot(self.next);
            self.ring[slot] = NOTHING;
            self.next += 1;
        }
    }

    /// Forgets the oldest, or grows when its report may still come.
    fn make_room(&mut self, now: Micros) {
        let oldest = self.ring[self.slot(self.first)];
        let is_awaited = oldest.fate == Fate::Unknown && now.saturating_sub(oldest.at) < REPORTED_WITHIN;
        if !is_awaited || self.ring.len() >= PACKETS_MAX {
            self.first += 1;
            return;
        }
        let mut larger = vec![NOTHING; self.ring.len() * 2];
        let mask = larger.len() - 1;
        for number in self.first..self.next {
            larger[number as usize & mask] = self.ring[self.slot(number)];
        }
        self.ring = larger;
    }
}

/// How many slices of time the loss is counted in, and how long each is: the last second, and the slice that is not over.
const SLICES: usize = 21;
const SLICE: Micros = 50_000;

/// What was lost of what was sent in the last second and reported.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    slices: [Slice; SLICES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    reported: u32,
    lost: u32,
}

impl Losses {
    /// A packet was reported for the first time.
    pub fn report(&mut self, sent_at: Micros, is_lost: bool) {
        let number = sent_at / SLICE;
        let slice = &mut self.slices[number as usize % SLICES];
        if slice.number < number {
            *slice = Slice { number, reported: 0, lost: 0 };
        }
        if slice.number == number {
            slice.reported += 1;
            slice.lost += u32::from(is_lost);
        }
    }

    /// A packet that was reported as lost came after all.
    pub fn amend(&mut self, sent_at: Micros) {
        let number = sent_at / SLICE;
        let slice = &mut self.slices[number as usize % SLICES];
        if slice.number == number {
            slice.lost = slice.lost.saturating_sub(1);
        }
    }

    /// The share that was lost. None: nothing was reported.
    pub fn share(&self, now: Micros) -> Option<f32> {
        let since = (now / SLICE).saturating_sub(SLICES as u64 - 1);
        let recent = self.slices.iter().filter(|slice| slice.number >= since);
        let (reported, lost) = recent.fold((0, 0), |(all, lost), slice| (all + slice.reported, lost + slice.lost));
        (reported > 0).then(|| lost as f32 / reported as f32)
    }
}

#[cfg(test)]
mod tests;
