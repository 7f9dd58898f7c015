//! What all depacketisers of pictures do alike: holes, ends of pictures, and what may leave.
//!
//! In flow packets of one layer in order, out flow access units. How payloads make a picture is the format's business.

use std::sync::Arc;

use bytes::BytesMut;

use crate::codec::CodecConfig;
use crate::frame::{Frame, Packet};

/// The largest access unit put together from packets. Higher lets one publisher hold more memory.
const ACCESS_UNIT_LEN_MAX: usize = 16 * 1024 * 1024;

/// How the packets of a codec make a picture.
pub trait PictureFormat {
    /// Whether a picture begins with this payload, as far as that can be told without the packet before it.
    fn begins(payload: &[u8]) -> bool;

    /// Adds the payload of the picture's next packet.
    fn take(&mut self, payload: &[u8], picture: &mut Assembly);

    /// The picture has no more packets. Leaves its access unit in `picture.bytes`.
    fn finish(&mut self, picture: &mut Assembly) -> Ending;
}

/// A picture under way.
#[derive(Debug)]
pub struct Assembly {
    /// Its access unit so far.
    pub(super) bytes: BytesMut,
    /// Something of it is missing or malformed.
    pub(super) damaged: bool,
    /// Packets before its first are missing; none of them was of it, as far as can be told.
    pub(super) behind_hole: bool,
    time: i64,
}

/// A unit that comes in fragments (RFC 6184 §5.8, RFC 7798 §4.4.3). It stands at the end of the access unit until it is whole.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// Where its length stands.
    at: Option<usize>,
}

/// A fragment's header: it is the first.
const FRAGMENT_START: u8 = 0x80;
/// A fragment's header: it is the last.
const FRAGMENT_END: u8 = 0x40;

impl Fragments {
    /// A unit is under way.
    pub(super) fn is_open(&self) -> bool {
        self.at.is_some()
    }

    /// What is under way will not be whole.
    pub(super) fn give_up(&mut self) -> bool {
        self.at.take().is_some()
    }

    /// Takes the next one; `begin` is the unit's header. Returns the unit when it is whole.
    pub(super) fn take(&mut self, fu: u8, begin: &[u8], data: &[u8], picture: &mut Assembly) -> Option<BytesMut> {
        if fu & FRAGMENT_START != 0 {
            self.at = Some(picture.bytes.len());
            picture.append(begin);
        }
        let Some(at) = self.at else {
            picture.damaged = true;
            return None;
        };
        picture.append(data);
        if fu & FRAGMENT_END == 0 || picture.damaged {
            return None;
        }
        self.at = None;
        Some(picture.bytes.split_off(at))
    }
}

/// What a picture turned out to be.
#[derive(Debug, Default)]
pub struct Ending {
    /// Decoding can start here.
    pub(super) key: bool,
    /// What it is configured by; `None` where nothing new is said.
    pub(super) config: Option<CodecConfig>,
}

impl Assembly {
    fn new(time: i64, behind_hole: bool, damaged: bool) -> Assembly {
        Assembly { bytes: BytesMut::new(), damaged, behind_hole, time }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.takes(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// A unit behind its length, as a sample has it.
    pub(super) fn append_unit(&mut self, unit: &[u8]) {
        self.append(&(unit.len() as u32).to_be_bytes());
        self.append(unit);
    }

    /// The units of an aggregation, each behind its length in 16 bits (RFC 6184 §5.7.1, RFC 7798 §4.4.2).
    pub(super) fn for_each_aggregated(&mut self, mut rest: &[u8], mut take: impl FnMut(&[u8], &mut Assembly)) {
        while let Some((len, after)) = rest.split_first_chunk::<2>() {
            let Some((unit, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*len))) else {
                self.damaged = true;
                return;
            };
            take(unit, self);
            rest = after;
        }
    }

    /// Whether so many bytes more are any use: the picture is whole so far, and not too long with them.
    pub(super) fn takes(&mut self, len: usize) -> bool {
        self.damaged |= self.bytes.len() + len > ACCESS_UNIT_LEN_MAX;
        !self.damaged
    }
}

/// Packets into access units.
///
/// Invariant: a frame leaves only when every packet since the previous frame was there, and after a loss only from the
/// next key picture on, so that whoever takes frames never decodes over a hole.
#[derive(Debug, Default)]
pub struct PictureDepacketiser<F> {
    format: F,
    next_sequence: Option<u64>,
    picture: Option<Assembly>,
    config: Option<Arc<CodecConfig>>,
    waits_for_key: bool,
    last_dts: Option<i64>,
    frames_dropped: u64,
}

impl<F: PictureFormat> PictureDepacketiser<F> {
    /// Access units thrown away.
    pub fn frames_dropped(&self) -> u64 {
        self.frames_dropped
    }

    /// Nothing leaves until a key picture comes.
    pub fn waits_for_key(&self) -> bool {
        self.waits_for_key
    }

    /// Takes the next packet in sequence order; late ones are ignored, gaps are losses.
    pub fn push(&mut self, packet: &Packet, frames: &mut Vec<Frame>) {
        if self.next_sequence.is_some_and(|next| packet.sequence < next) {
            return;
        }
        // What came before the first packet is as unknown as what was lost.
        let hole = self.next_sequence != Some(packet.sequence);
        self.next_sequence = Some(packet.sequence.saturating_add(1));
        if hole {
            self.waits_for_key = true;
            if let Some(picture) = &mut self.picture {
                picture.damaged = true;
            }
        }
        if self.picture.as_ref().is_some_and(|picture| picture.time != packet.time) {
            // The marker of the last picture was lost, or the sender sets none.
            self.finish(frames);
        }
        // Padding takes a number and says nothing.
        if !packet.payload.is_empty() {
            let damaged = hole && !F::begins(&packet.payload);
            let new = || Assembly::new(packet.time, hole, damaged);
            self.format.take(&packet.payload, self.picture.get_or_insert_with(new));
        }
        if packet.marker {
            self.finish(frames);
        }
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) {
        let Some(mut picture) = self.picture.take() else { return };
        let Ending { key, config } = self.format.finish(&mut picture);
        let Assembly { bytes, damaged, time, .. } = picture;
        if bytes.is_empty() && !damaged {
            // Parameter sets alone.
            return;
        }
        if let Some(fresh) = config.filter(|_| !damaged)
            && self.config.as_deref() != Some(&fresh)
        {
            self.config = Some(Arc::new(fresh));
        }
        // WebRTC carries no B-frames, so decode order is presentation order; a time that steps back is a broken sender.
        let in_order = self.last_dts.is_none_or(|last| time > last);
        let config = self.config.clone().filter(|_| !damaged && in_order && (key || !self.waits_for_key));
        let Some(config) = config else {
            self.waits_for_key |= damaged;
            self.frames_dropped += 1;
            return;
        };
        self.waits_for_key = false;
        self.last_dts = Some(time);
        frames.push(Frame { config, dts: time, pts: time, duration: 0, key, payload: bytes.freeze() });
    }
}
