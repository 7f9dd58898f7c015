//! What a publisher's camera sends: layers of numbered frames that a model of a decoder can judge.
//!
//! In: time, requests for keyframes, which layers are wanted. Out: packets of VP8, VP9, H.264 or AV1.

use std::time::Duration;

use str0m::format::Codec;
use str0m::media::Mid;
use telstar_sfu::{Event, PeerId};
use telstar_units::TrackId;

use crate::client::{Got, Packet};
use crate::world::World;

/// Frames per second.
pub(crate) const FRAMES_PER_SEC: u64 = 30;
/// A frame's time, in the codec clock of 90 kHz.
pub(crate) const FRAME_TICKS: u32 = 3_000;
/// What is put into a packet at most.
pub(crate) const PART_BYTES: usize = 1_000;
/// The last bytes of each packet: the frame's number and the layer.
const TRAILER_BYTES: usize = 5;

/// A camera: 30 frames a second, a keyframe first and whenever one is asked for.
pub struct Camera {
    /// Whose.
    pub publisher: PeerId,
    /// The section that it sends in.
    pub mid: Mid,
    /// What it encodes to.
    pub codec: Codec,
    /// Rids with their bits per second; none for one encoding.
    pub layers: Vec<(Option<&'static str>, u64)>,
    /// Layers that are not sent, by index.
    pub off: Vec<usize>,
    /// How many times longer a keyframe is than another frame. Encoders of browsers: five to ten.
    pub key_scale: usize,
    frame: u32,
    seen: usize,
    told: usize,
    started: Vec<bool>,
}

impl Camera {
    /// A camera with VP8 and keyframes as short as the other frames.
    pub fn new(publisher: PeerId, mid: Mid, layers: &[(Option<&'static str>, u64)]) -> Camera {
        let started = vec![false; layers.len()];
        Camera {
            publisher,
            mid,
            codec: Codec::Vp8,
            layers: layers.to_vec(),
            off: Vec::new(),
            key_scale: 1,
            frame: 0,
            seen: 0,
            told: 0,
            started,
        }
    }

    /// Sends the next frame of each layer. The last byte of each packet is the layer, the four before it the frame.
    pub fn shoot(&mut self, world: &mut World) {
        let requests: Vec<_> = world.client(self.publisher).keyframe_requests[self.seen..].to_vec();
        self.seen += requests.len();
        for index in 0..self.layers.len() {
            let (rid, bps) = self.layers[index];
            if self.off.contains(&index) {
                self.started[index] = false;
                continue;
            }
            let asked = requests.iter().any(|(_, mid, wanted)| *mid == self.mid && wanted.as_deref() == rid);
            let key = asked || !std::mem::replace(&mut self.started[index], true);
            let scale = if key { self.key_scale } else { 1 };
            let bytes = (bps / FRAMES_PER_SEC / 8) as usize * scale;
            let parts = bytes.div_ceil(PART_BYTES).max(1);
            for part in 0..parts {
                let place = (part == 0, part + 1 == parts);
                let mut payload = part_of(self.codec, key, place, self.frame as u16 & 0x7fff, bytes / parts);
                payload.extend_from_slice(&self.frame.to_be_bytes());
                payload.push(index as u8);
                let packet = Packet {
                    codec: self.codec,
                    time: self.frame.wrapping_mul(FRAME_TICKS),
                    marker: place.1,
                    payload: &payload,
                    audio_level: None,
                };
                world.send(self.publisher, self.mid, rid, packet);
            }
        }
        self.frame = self.frame.wrapping_add(1);
    }

    /// Films for a while.
    pub fn film(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        while world.now < end {
            self.shoot(world);
            world.run(Duration::from_millis(33));
        }
    }

    /// Sends only what the server said that somebody wants, as our clients do.
    pub fn obey(&mut self, world: &World, track: TrackId) {
        for (_, event) in &world.events[self.told.min(world.events.len())..] {
            let Event::Demand { peer, demands } = event else { continue };
            let demand = demands.iter().find(|demand| *peer == self.publisher && demand.track == track);
            let Some(demand) = demand else { continue };
            let wanted = |rid: &Option<&str>| match rid {
                Some(rid) => demand.rids.iter().any(|wanted| wanted == rid),
                None => demand.wanted,
            };
            self.off = (0..self.layers.len()).filter(|index| !wanted(&self.layers[*index].0)).collect();
        }
        self.told = world.events.len();
    }
}

/// A packet of a frame: whether it is the first and the last.
pub(crate) fn part_of(codec: Codec, key: bool, (first, last): (bool, bool), picture_id: u16, size: usize) -> Vec<u8> {
    let mut payload = match codec {
        Codec::Vp8 => return vp8_part(key, first, picture_id, size),
        // RFC 9628 §4.2: flexible mode, a picture id of 15 bits, prediction from the frame before, begin and end.
        Codec::Vp9 => {
            let mut head = 0x90 | u8::from(!key) << 6 | u8::from(first) << 3 | u8::from(last) << 2;
            let mut rest = vec![0x80 | (picture_id >> 8) as u8, picture_id as u8];
            if !key {
                rest.push(0x02);
            }
            if key && first {
                head |= 0x02;
                rest.push(0x00);
            }
            [vec![head], rest].concat()
        }
        // RFC 6184: a slice per packet (first_mb_in_slice is 0 in the first only), parameter sets before a key picture.
        Codec::H264 => match (key, first) {
            (true, true) => vec![0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce],
            _ => vec![if key { 0x65 } else { 0x41 }, if first { 0x80 } else { 0x40 }],
        },
        // RTP Payload Format For AV1 §4.4: one element to the end of the packet, a sequence header in front of a key frame.
        Codec::Av1 => {
            let going_on = u8::from(!first) << 7 | u8::from(!last) << 6;
            match (key, first) {
                (true, true) => vec![0x28 | going_on, 2, 0x08, 0x00, 0x30],
                _ => vec![0x10 | going_on, 0x30],
            }
        }
        _ => panic!("a camera has one of four codecs"),
    };
    if codec == Codec::H264 && payload[0] == 0x78 {
        // The slice as the STAP-A's last unit, with what is appended to it.
        let len = (size.max(16) + TRAILER_BYTES + 2) as u16;
        payload.extend_from_slice(&len.to_be_bytes());
        payload.extend_from_slice(&[0x65, 0x80]);
        payload.resize(payload.len() + size.max(16), 7);
        return payload;
    }
    payload.resize(payload.len() + size.max(8), 7);
    payload
}

/// A VP8 packet: a whole frame with a picture id (RFC 7741 §4.2, §4.3).
pub fn vp8(key: bool, picture_id: u16, body: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8];
    payload.push(if key { 0x10 } else { 0x11 });
    if key {
        payload.extend_from_slice(&[0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    }
    payload.extend_from_slice(body);
    payload
}

/// A part of a VP8 frame.
pub fn vp8_part(key: bool, first: bool, picture_id: u16, size: usize) -> Vec<u8> {
    if first {
        return vp8(key, picture_id, &vec![0; size]);
    }
    let mut payload = vec![0x80, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8];
    payload.resize(size.max(8), 7);
    payload
}

/// The layer of a packet of [`Camera`].
pub fn layer_of(got: &Got) -> u8 {
    got.payload.last().copied().unwrap_or(u8::MAX)
}

/// The frame's number of a packet of [`Camera`].
pub fn frame_of(got: &Got) -> u32 {
    let trailer = got.payload.len().checked_sub(TRAILER_BYTES).and_then(|at| got.payload.get(at..at + 4));
    trailer.and_then(|bytes| bytes.try_into().ok()).map_or(u32::MAX, u32::from_be_bytes)
}

/// Whether a VP8 packet of [`Camera`] begins a keyframe.
pub fn begins_key(got: &Got) -> bool {
    got.payload.first() == Some(&0x90) && got.payload.get(4).is_some_and(|byte| byte & 1 == 0)
}

/// Fails unless a decoder of VP8 is content with what came: numbers without gap, times that do not go back, picture ids that
/// go up by one, layers that begin with a keyframe.
///
/// # Panics
///
/// If it is not.
pub fn assert_decodable(got: &[Got]) {
    assert!(got.first().is_none_or(begins_key), "begins with a keyframe");
    for pair in got.windows(2) {
        let (last, next) = (&pair[0], &pair[1]);
        assert_eq!(next.sequence, last.sequence + 1, "sequence numbers have no gap");
        assert!(next.time.wrapping_sub(last.time) as i32 >= 0, "times do not go back");
        let id = |got: &Got| u16::from_be_bytes([got.payload[2] & 0x7f, got.payload[3]]);
        let step = id(next).wrapping_sub(id(last)) & 0x7fff;
        assert!(step <= 1, "picture ids are contiguous, not {} then {}", id(last), id(next));
        assert_eq!(step == 1, next.time != last.time, "a picture id belongs to a time");
        assert!(layer_of(last) == layer_of(next) || begins_key(next), "layers begin with keyframes");
    }
}
