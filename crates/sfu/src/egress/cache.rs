//! What was sent of one stream, so that it can be sent again (RFC 4588).
//!
//! In: packets as they leave, and the numbers that a receiver lacks. Out: the packets, as seldom as a receiver that asks
//! too often deserves. Payloads are shared with everybody else who gets them; only the numbers around them are kept here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::rewrite::Patches;

/// How many packets of a stream are kept: 3 s of 2.5 Mbit/s. Higher answers later requests on fast streams, and costs 48
/// bytes each and, as long as nobody else holds it, a payload. A power of two, so that a number's place is its low bits.
const PACKETS_MAX: usize = 1_024;
/// Places of a ring that begins: 0.3 s of a video's lowest layer. Lower copies it more often while it grows.
const PACKETS_FIRST: usize = 16;
/// How long a packet is kept. A receiver's picture has frozen for good long before; longer keeps memory for nothing.
const KEPT_FOR: Duration = Duration::from_secs(3);
/// How often one packet is sent again. As often as libwebrtc's receivers ask for it (`kMaxNackRetries`); higher lets a
/// receiver that lies have more of the path, which is its own.
const RESENDS_MAX: u8 = 10;
/// Until a round trip is known, it is taken for this one, as libwebrtc's receivers do (`kDefaultRttMs`). Lower answers the
/// same request twice on long paths, higher answers a second loss late.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(100);
/// Packets that are forgotten with each one that is pushed, if they are too old. Two, so that memory falls as it rose;
/// more make one packet slow after a pause.
const FORGOTTEN_PER_PUSH: usize = 2;
/// A large packet serves as padding until so many smaller ones followed. Higher finds larger ones, lower sends what the
/// receiver may still miss.
const PADDING_BEHIND_MAX: u64 = 64;

const _: () = assert!(PACKETS_MAX.is_power_of_two() && PACKETS_FIRST.is_power_of_two() && PACKETS_FIRST <= PACKETS_MAX);
const _: () = assert!(PACKETS_MAX < 1 << 15, "16 bits of a number tell which packet is meant");
const _: () = assert!(KEPT_FOR.as_millis() < u16::MAX as u128, "the time of a resend fits");

/// A packet that was sent.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number in the stream, extended.
    pub sequence: u64,
    /// RTP timestamp.
    pub time: u32,
    /// Of its header.
    pub marker: bool,
    /// Of its header, as it was sent first.
    pub payload_type: u8,
    /// Shared by all subscribers.
    pub payload: Arc<[u8]>,
    /// What changes in it.
    pub patches: Patches,
    /// Of its header.
    pub orientation: Option<u8>,
    /// Its number among all packets of the connection, as it was sent first.
    pub transport: u16,
}

/// A place of the ring that is taken.
#[derive(Debug)]
struct Entry {
    kept: Kept,
    /// When it was sent, in milliseconds since the cache's first packet, modulo 2³² (49 days).
    sent_ms: u32,
    /// How long after that it was sent again last, if it was.
    resent_ms: u16,
    resends: u8,
}

/// What was sent of one stream.
#[derive(Debug, Default)]
pub struct Cache {
    /// A packet's place is the low bits of its number.
    ring: Vec<Option<Entry>>,
    begin: Option<Instant>,
    /// The highest number that was pushed.
    newest: u64,
    /// No number below it is kept.
    oldest: u64,
    /// The number and length of the packet that serves as padding.
    large: (u64, usize),
}

impl Cache {
    /// Keeps nothing, and costs nothing until something is pushed.
    pub fn new() -> Cache {
        Cache::default()
    }

    /// A packet was sent. One that is older than all that may be kept is passed over.
    pub fn push(&mut self, now: Instant, kept: Kept) {
        let sequence = kept.sequence;
        if self.ring.is_empty() {
            self.begin.get_or_insert(now);
            self.ring.resize_with(PACKETS_FIRST, || None);
            (self.newest, self.oldest) = (sequence, sequence);
        }
        let sent_ms = self.millis(now);
        self.forget(sent_ms);
        if sequence > self.newest {
            self.newest = sequence;
            self.oldest = self.oldest.max((sequence + 1).saturating_sub(PACKETS_MAX as u64));
        } else if sequence + PACKETS_MAX as u64 <= self.newest {
            return;
        } else {
            // It comes late, maybe before the first one.
            self.oldest = self.oldest.min(sequence);
        }
        while self.ring.len() < PACKETS_MAX && self.is_taken(sequence, sent_ms) {
            self.grow();
        }
        let length = kept.payload.len();
        if length >= self.large.1 || sequence > self.large.0 + PADDING_BEHIND_MAX {
            self.large = (sequence, length);
        }
        let place = self.place(sequence);
        self.ring[place] = Some(Entry { kept, sent_ms, resent_ms: 0, resends: 0 });
    }

    /// A packet to be sent again, because a receiver lacks it. `None` if it is not kept, was sent again within this round
    /// trip (the request crossed it on its way), too often, or before at all where that counts (`first_only`).
    pub fn take(
        &mut self,
        now: Instant,
        sequence: u16,
        round_trip: Option<Duration>,
        first_only: bool,
    ) -> Option<&Kept> {
        if self.ring.is_empty() {
            return None;
        }
        // The newest packet of that number.
        let behind = (self.newest as u16).wrapping_sub(sequence);
        let sequence = self.newest.checked_sub(u64::from(behind))?;
        let (place, now_ms) = (self.place(sequence), self.millis(now));
        let entry = self.ring[place].as_mut().filter(|entry| entry.kept.sequence == sequence)?;
        let age = now_ms.wrapping_sub(entry.sent_ms);
        let resends_max = if first_only { 1 } else { RESENDS_MAX };
        if age > KEPT_FOR.as_millis() as u32 || entry.resends >= resends_max {
            return None;
        }
        let round_trip = round_trip.unwrap_or(ROUND_TRIP_UNKNOWN);
        if entry.resends > 0 && u128::from(age.saturating_sub(u32::from(entry.resent_ms))) < round_trip.as_millis() {
            return None;
        }
        // Cannot be cut off: no longer than packets are kept.
        entry.resent_ms = age as u16;
        entry.resends += 1;
        Some(&entry.kept)
    }

    /// A large one of the newest packets, which can be sent again as padding.
    pub fn padding(&self) -> Option<&Kept> {
        if self.ring.is_empty() {
            return None;
        }
        let kept = |sequence| {
            let entry = self.ring[self.place(sequence)].as_ref();
            entry.map(|entry| &entry.kept).filter(|kept| kept.sequence == sequence && !kept.payload.is_empty())
        };
        kept(self.large.0).or_else(|| kept(self.newest))
    }

    /// What was sent is not sent again. Gives its memory back.
    pub fn clear(&mut self) {
        *self = Cache { begin: self.begin, ..Cache::default() };
    }

    fn place(&self, sequence: u64) -> usize {
        // The length is a power of two.
        sequence as usize & (self.ring.len() - 1)
    }

    fn millis(&self, now: Instant) -> u32 {
        self.begin.map_or(0, |begin| now.saturating_duration_since(begin).as_millis() as u32)
    }

    /// Gives back the payloads of the oldest packets, a few at a time.
    fn forget(&mut self, now_ms: u32) {
        for _ in 0..FORGOTTEN_PER_PUSH {
            if self.oldest >= self.newest {
                return;
            }
            let (place, oldest) = (self.place(self.oldest), self.oldest);
            if let Some(entry) = self.ring[place].as_ref().filter(|entry| entry.kept.sequence == oldest) {
                if now_ms.wrapping_sub(entry.sent_ms) <= KEPT_FOR.as_millis() as u32 {
                    return;
                }
                self.ring[place] = None;
            }
            self.oldest += 1;
        }
    }

    /// Whether the place of a number holds another one that may still be asked for.
    fn is_taken(&self, sequence: u64, now_ms: u32) -> bool {
        self.ring[self.place(sequence)].as_ref().is_some_and(|entry| {
            let age = now_ms.wrapping_sub(entry.sent_ms);
            let is_near = entry.kept.sequence + PACKETS_MAX as u64 > self.newest;
            entry.kept.sequence != sequence && is_near && age <= KEPT_FOR.as_millis() as u32
        })
    }

    /// Twice as many places. Numbers that had different places still have.
    fn grow(&mut self) {
        let length = self.ring.len() * 2;
        let before = std::mem::take(&mut self.ring);
        self.ring.resize_with(length, || None);
        for entry in before.into_iter().flatten() {
            let place = self.place(entry.kept.sequence);
            self.ring[place] = Some(entry);
        }
    }
}

#[cfg(test)]
mod tests;
