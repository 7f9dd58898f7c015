//! What is sent and how it is counted. In: times and packets. Out: RTP payloads that say when they were sent; counts.
//!
//! The pictures are not pictures: the headers are those of VP8, so that a server sees keyframes and sizes, and the rest
//! is filler. Each payload ends with the time at which it was sent.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What one payload carries, so that with its headers a packet has the 1,200 bytes of a browser's.
pub const PAYLOAD_BYTES_MAX: usize = 1_180;
const PAYLOAD_BYTES_MIN: usize = 64;
/// The mark and the time at the end of a payload.
const STAMP_BYTES: usize = 16;
const MARK: [u8; 8] = *b"sent-at:";
/// A keyframe is so many times larger than the average picture.
const KEYFRAME_FACTOR: usize = 4;
const FRAME_RATE: u32 = 30;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_BYTES: usize = 80;

/// The zero of all stamps of this process.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Says in a payload that it is sent now.
pub fn stamp(payload: &mut [u8], now: Instant) {
    let at = payload.len() - STAMP_BYTES;
    payload[at..at + 8].copy_from_slice(&MARK);
    let nanos = now.saturating_duration_since(epoch()).as_nanos() as u64;
    payload[at + 8..].copy_from_slice(&nanos.to_be_bytes());
}

/// When a payload was sent, if it is one of ours.
pub fn sent_at(payload: &[u8]) -> Option<Instant> {
    let stamp = payload.get(payload.len().checked_sub(STAMP_BYTES)?..)?;
    let nanos = u64::from_be_bytes(stamp[8..].try_into().ok()?);
    (stamp[..8] == MARK).then(|| epoch() + Duration::from_nanos(nanos))
}

/// One encoding: what it sends, and when.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Empty without simulcast.
    pub rid: &'static str,
    /// Pixels; 0 for sound.
    pub width: u16,
    pub height: u16,
    pub bps: u32,
}

impl Plan {
    pub fn is_audio(&self) -> bool {
        self.width == 0
    }
}

/// The source of one encoding.
pub struct Source {
    plan: Plan,
    next: Instant,
    frames: u32,
    pub keyframe_wanted: bool,
}

/// Payloads of one time, not stamped.
pub struct Frame {
    pub payloads: Vec<Vec<u8>>,
    /// Since the first.
    pub at: Duration,
}

impl Source {
    /// Encodings begin at different times, so that they do not all send at once.
    pub fn new(plan: Plan, begin: Instant) -> Source {
        epoch();
        Source { plan, next: begin, frames: 0, keyframe_wanted: true }
    }

    pub fn next(&self) -> Instant {
        self.next
    }

    /// What is due.
    pub fn take(&mut self, now: Instant) -> Option<Frame> {
        if now < self.next {
            return None;
        }
        let interval = if self.plan.is_audio() { AUDIO_INTERVAL } else { Duration::from_secs(1) / FRAME_RATE };
        self.next += interval;
        let at = interval * self.frames;
        self.frames += 1;
        let payloads = if self.plan.is_audio() { vec![vec![0xfc; AUDIO_BYTES]] } else { self.picture() };
        Some(Frame { payloads, at })
    }

    fn picture(&mut self) -> Vec<Vec<u8>> {
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        let average = (self.plan.bps / 8 / FRAME_RATE) as usize;
        let bytes = if keyframe { average * KEYFRAME_FACTOR } else { average };
        // Of one size, as browsers cut theirs.
        let count = bytes.div_ceil(PAYLOAD_BYTES_MAX).max(1);
        let mut payloads = Vec::with_capacity(count);
        for _ in 0..count {
            let mut payload = vec![0; bytes.div_ceil(count).max(PAYLOAD_BYTES_MIN)];
            // RFC 7741 §4.2: extended, a picture id of 15 bits, and the start of the partition in the first packet.
            let picture = (self.frames as u16) | 0x8000;
            payload[..2].copy_from_slice(&[if payloads.is_empty() { 0x90 } else { 0x80 }, 0x80]);
            payload[2..4].copy_from_slice(&picture.to_be_bytes());
            if payloads.is_empty() {
                self.frame_header(&mut payload[4..], keyframe);
            }
            payloads.push(payload);
        }
        payloads
    }

    /// RFC 6386 §9.1.
    fn frame_header(&self, header: &mut [u8], keyframe: bool) {
        header[0] = 0x10 | u8::from(!keyframe);
        if keyframe {
            header[3..6].copy_from_slice(&[0x9d, 0x01, 0x2a]);
            header[6..8].copy_from_slice(&self.plan.width.to_le_bytes());
            header[8..10].copy_from_slice(&self.plan.height.to_le_bytes());
        }
    }
}

/// Whether a payload of VP8 begins a keyframe (RFC 7741 §4.2, RFC 6386 §9.1).
pub fn begins_keyframe(payload: &[u8]) -> bool {
    let Some(&[first, second, third]) = payload.first_chunk() else { return false };
    let (extended, starts) = (first & 0x80 != 0, first & 0x1f == 0x10);
    let number = match (second & 0x80 != 0, third & 0x80 != 0) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    };
    let rest = usize::from(second & 0x40 != 0) + usize::from(second & 0x30 != 0);
    let header = if extended { 2 + number + rest } else { 1 };
    starts && payload.get(header).is_some_and(|byte| byte & 1 == 0)
}

/// What an RTP packet says without being decrypted (RFC 3550 §5.1, RFC 8285).
pub struct Header {
    pub payload_type: u8,
    pub sequence: u16,
    pub ssrc: u32,
    /// The transport-wide sequence number.
    pub transport: Option<[u8; 2]>,
}

impl Header {
    /// `None` for what is not RTP: STUN, DTLS, RTCP (RFC 7983, RFC 5761 §4).
    pub fn parse(packet: &[u8], transport_id: u8) -> Option<Header> {
        let fixed = packet.get(..12)?;
        if fixed[0] >> 6 != 2 || (192..=223).contains(&fixed[1]) {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let mut transport = None;
        if fixed[0] & 0x10 != 0 {
            let begin = 12 + 4 * usize::from(fixed[0] & 0x0f);
            transport = find_extension(packet.get(begin..)?, transport_id);
        }
        Some(Header {
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: word(8),
            transport,
        })
    }
}

fn find_extension(block: &[u8], wanted: u8) -> Option<[u8; 2]> {
    let words = usize::from(u16::from_be_bytes([*block.get(2)?, *block.get(3)?]));
    let one_byte = block[..2] == [0xbe, 0xde];
    let mut rest = block.get(4..4 + 4 * words)?;
    while let Some(first) = rest.first() {
        if *first == 0 {
            rest = &rest[1..];
            continue;
        }
        let (id, length, head) = match one_byte {
            true => (first >> 4, usize::from(first & 0x0f) + 1, 1),
            false => (*first, usize::from(*rest.get(1)?), 2),
        };
        let value = rest.get(head..head + length)?;
        if id == wanted {
            return value.try_into().ok();
        }
        rest = &rest[head + length..];
    }
    None
}

/// What one SSRC delivered.
#[derive(Default)]
pub struct Counter {
    pub received: u64,
    pub bytes: u64,
    /// The lowest and the highest sequence number, without wraps.
    range: Option<(i64, i64)>,
}

impl Counter {
    pub fn add(&mut self, sequence: u16, bytes: usize) {
        self.received += 1;
        self.bytes += bytes as u64;
        let (low, high) = self.range.unwrap_or((i64::from(sequence), i64::from(sequence)));
        // The nearest number with these 16 bits.
        let number = high + i64::from(sequence.wrapping_sub(high as u16) as i16);
        self.range = Some((low.min(number), high.max(number)));
    }

    /// The highest sequence number.
    pub fn highest(&self) -> i64 {
        self.range.map_or(0, |(_, high)| high)
    }

    /// Gaps that nothing filled.
    pub fn lost(&self) -> u64 {
        let expected = self.range.map_or(0, |(low, high)| high - low + 1);
        (expected as u64).saturating_sub(self.received)
    }
}
