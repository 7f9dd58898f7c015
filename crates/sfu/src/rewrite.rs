//! Makes one outgoing stream of whatever a subscriber's slot carries: layers of one track, then another track, with
//! pauses and dropped temporal layers in between. The receiver cannot tell.
//!
//! In: each packet's sequence number, time and descriptor, and whether it is forwarded or left out. Out: its number and
//! time in the slot's stream, and the bytes of the payload to overwrite. One [`Rewriter`] lives as long as its slot's
//! SSRC.
//!
//! Invariants: no outgoing sequence number is used twice; packets of one source keep their order; a new source begins
//! behind everything that was sent; a number whose packet may still come is kept free for it, one whose packet was left
//! out is not.
//!
//! Every SFU rewrites like this. mediasoup and LiveKit keep lists of dropped ranges to map late packets; a bitmap of
//! the last two thousand numbers says the same in constant time and memory. A late packet that then has to be left out
//! leaves its reserved number behind: the caller can fill it with a packet of padding only, else the receiver asks for
//! it in vain.

mod ids;
mod time;
mod window;

use std::num::NonZeroU8;
use std::time::Instant;

use crate::descriptor::Descriptor;

use ids::Ids;
use time::TimeLine;
pub use time::{SenderClock, Wall};
use window::Window;

/// 64-bit words of the window over sequence numbers: 2,048 packets, a second at 20 Mbit/s. More let a packet come later
/// after a burst, fewer cost less memory per slot (two bits each).
const SEQUENCE_WORDS: usize = 32;

/// A packet of the slot's current source.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Sequence number, extended over roll-overs by whoever received it.
    pub sequence: u64,
    /// RTP timestamp.
    pub time: u32,
    /// When its sender captured it, if a sender report said so.
    pub wall: Option<Wall>,
    /// What its payload says; `None` for sound.
    pub descriptor: Option<&'a Descriptor>,
}

/// The same packet in the slot's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Sequence number, extended.
    pub sequence: u64,
    /// RTP timestamp.
    pub time: u32,
    /// What changes in the payload.
    pub patches: Patches,
    /// The number for [`crate::dependency::set_frame_number`].
    pub frame_number: Option<u16>,
}

/// Bytes to overwrite in a payload. Its length never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patches {
    picture_id: Option<(u8, [u8; 2], bool)>,
    /// A descriptor begins with its flags, so that this is never its first byte: a byte less for each packet that is kept.
    tl0: Option<(NonZeroU8, u8)>,
}

impl Patches {
    /// The payload goes out as it came.
    pub fn is_empty(&self) -> bool {
        self.picture_id.is_none() && self.tl0.is_none()
    }

    /// VP8's or VP9's new picture id, without the bit for its width.
    pub fn picture_id(&self) -> Option<u16> {
        self.picture_id.map(|(_, bytes, wide)| u16::from_be_bytes(bytes) & if wide { 0x7fff } else { 0x7f })
    }

    /// The new TL0PICIDX.
    pub fn tl0(&self) -> Option<u8> {
        self.tl0.map(|(_, value)| value)
    }

    /// Overwrites the numbers in a copy of the payload that the descriptor was read from.
    pub fn apply(&self, payload: &mut [u8]) {
        if let Some((at, bytes, wide)) = self.picture_id {
            let at = usize::from(at);
            let from = usize::from(!wide);
            payload[at..=at + usize::from(wide)].copy_from_slice(&bytes[from..]);
        }
        if let Some((at, value)) = self.tl0 {
            payload[usize::from(at.get())] = value;
        }
    }
}

/// Why a packet is not forwarded after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was forwarded before.
    Duplicate,
    /// It comes too late for its place to be known, or from before the source was switched to.
    TooOld,
    /// Its frame was left out. `hole` as in [`Rewriter::skip`].
    Dropped {
        /// The number that was kept free for it.
        hole: Option<u64>,
    },
}

/// One slot's outgoing stream.
#[derive(Debug)]
pub struct Rewriter {
    sequence: Window<SEQUENCE_WORDS>,
    /// The number behind everything that was sent.
    next_sequence: u64,
    time: TimeLine,
    ids: Ids,
    /// The next forwarded packet begins another source.
    switching: bool,
}

impl Rewriter {
    /// A stream that begins with the given number and time; they should be unpredictable (RFC 3550 §5.1).
    pub fn new(clock_rate_hz: u32, first_sequence: u64, first_time: u32) -> Rewriter {
        Rewriter {
            sequence: Window::default(),
            next_sequence: first_sequence,
            time: TimeLine::new(clock_rate_hz, first_time),
            ids: Ids::default(),
            switching: true,
        }
    }

    /// The next forwarded packet comes from another source, or from the same after a pause. Until then nothing of the
    /// old one is wanted any more.
    pub fn switch(&mut self) {
        self.switching = true;
    }

    /// Forwards a packet of the current source.
    pub fn forward(&mut self, now: Instant, packet: &Incoming<'_>) -> Result<Outgoing, Refused> {
        let begins = self.switching;
        if begins {
            self.sequence.begin(packet.sequence, self.next_sequence);
            self.ids.begin();
            self.switching = false;
        }
        self.sequence.check(packet.sequence)?;
        let descriptor = packet.descriptor;
        let (patches, frame_number) = match descriptor.map(|descriptor| self.ids.forward(descriptor)) {
            None => (Patches::default(), None),
            Some(Some(rewritten)) => rewritten,
            Some(None) => return Err(Refused::Dropped { hole: self.sequence.skip(packet.sequence) }),
        };
        let sequence = self.sequence.take(packet.sequence)?;
        self.next_sequence = self.sequence.next();
        let time = self.time.forward(now, packet, begins);
        Ok(Outgoing { sequence, time, patches, frame_number })
    }

    /// The highest time that went out: what a packet of padding carries.
    pub fn newest_time(&self) -> u32 {
        self.time.newest()
    }

    /// Leaves a packet of the current source out and closes the gap. If its number had been kept free already, because
    /// later packets came before it, that number is returned, once: a packet of padding only may go out with it.
    pub fn skip(&mut self, packet: &Incoming<'_>) -> Option<u64> {
        if self.switching {
            return None;
        }
        if self.sequence.check(packet.sequence).is_ok()
            && let Some(descriptor) = packet.descriptor
        {
            self.ids.skip(descriptor);
        }
        let hole = self.sequence.skip(packet.sequence);
        self.next_sequence = self.sequence.next();
        hole
    }
}

#[cfg(test)]
mod tests;
