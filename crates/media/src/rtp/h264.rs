//! H.264 over RTP, RFC 6184: single NAL unit packets, STAP-A and FU-A (packetization-mode 1).

use std::mem;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{CodecConfig, H264Config, NalKind, nal_kinds};
use crate::frame::{Frame, Packet};

/// The largest RTP payload made. 1,200 bytes with headers and SRTP tag stay below every path MTU of WebRTC;
/// higher saves packets and risks IP fragments, lower costs header bytes.
pub const PAYLOAD_LEN_MAX: usize = 1_160;
/// The largest access unit put together from packets. Higher lets one publisher hold more memory.
const ACCESS_UNIT_LEN_MAX: usize = 16 * 1024 * 1024;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// Access units into packets.
#[derive(Debug, Default)]
pub struct H264Packetiser {
    sequence: u64,
}

impl H264Packetiser {
    /// Appends the packets of one access unit. Parameter sets go in front of each IDR as a STAP-A, because a
    /// WebRTC decoder that joins has no other source for them.
    pub fn push(&mut self, frame: &Frame, packets: &mut Vec<Packet>) {
        let first = packets.len();
        if let (true, CodecConfig::H264(config)) = (frame.key, &*frame.config) {
            self.push_parameter_sets(config, frame, packets);
        }
        for unit in nal_kinds(&frame.payload, 4).map_while(Result::ok).map(|(_, unit)| unit) {
            let unit = frame.payload.slice_ref(unit);
            if unit.is_empty() {
                continue;
            }
            if unit.len() <= PAYLOAD_LEN_MAX {
                self.emit(unit, frame, packets);
            } else {
                self.push_fragments(&unit, frame, packets);
            }
        }
        if let Some(last) = packets[first..].last_mut() {
            last.marker = true;
        }
    }

    fn push_parameter_sets(&mut self, config: &H264Config, frame: &Frame, packets: &mut Vec<Packet>) {
        let (sps, pps) = config.parameter_sets();
        let sets = || sps.iter().chain(&pps);
        if 1 + sets().map(|set| 2 + set.len()).sum::<usize>() > PAYLOAD_LEN_MAX {
            for set in sets() {
                self.emit(Bytes::copy_from_slice(set), frame, packets);
            }
            return;
        }
        let mut payload = BytesMut::with_capacity(PAYLOAD_LEN_MAX);
        // §5.7.1: NRI is the maximum of the aggregated units; parameter sets carry 3.
        payload.put_u8(0x60 | STAP_A);
        for set in sets() {
            payload.put_u16(set.len() as u16);
            payload.put_slice(set);
        }
        self.emit(payload.freeze(), frame, packets);
    }

    fn push_fragments(&mut self, unit: &Bytes, frame: &Frame, packets: &mut Vec<Packet>) {
        let header = unit[0];
        let body = unit.slice(1..);
        let chunk_len = PAYLOAD_LEN_MAX - 2;
        let last = body.len().div_ceil(chunk_len) - 1;
        for (index, chunk) in body.chunks(chunk_len).enumerate() {
            let mut payload = BytesMut::with_capacity(2 + chunk.len());
            payload.put_u8(header & 0xe0 | FU_A);
            let start = if index == 0 { FU_START } else { 0 };
            let end = if index == last { FU_END } else { 0 };
            payload.put_u8(start | end | header & 0x1f);
            payload.put_slice(chunk);
            self.emit(payload.freeze(), frame, packets);
        }
    }

    fn emit(&mut self, payload: Bytes, frame: &Frame, packets: &mut Vec<Packet>) {
        let sequence = self.sequence;
        self.sequence += 1;
        packets.push(Packet { sequence, time: frame.pts, marker: false, key: frame.key, payload });
    }
}

/// Packets into access units.
///
/// Invariant: a frame leaves only when every packet since the previous frame was there, and after a loss only from
/// the next IDR on, so that whoever takes frames never decodes over a hole.
#[derive(Debug, Default)]
pub struct H264Depacketiser {
    next_sequence: Option<u64>,
    config: Option<Arc<CodecConfig>>,
    sps: Vec<u8>,
    pps: Vec<u8>,
    unit: AccessUnit,
    waiting_for_key: bool,
    last_dts: Option<i64>,
    frames_dropped: u64,
}

#[derive(Debug, Default)]
struct AccessUnit {
    time: i64,
    bytes: BytesMut,
    /// Where the length of the fragmented unit under way stands.
    fragment_at: Option<usize>,
    idr: bool,
    damaged: bool,
}

impl H264Depacketiser {
    /// Access units thrown away.
    pub fn frames_dropped(&self) -> u64 {
        self.frames_dropped
    }

    /// Takes the next packet in sequence order; late ones are ignored, gaps are losses.
    pub fn push(&mut self, packet: &Packet, frames: &mut Vec<Frame>) {
        let next = self.next_sequence.unwrap_or(packet.sequence);
        if packet.sequence < next {
            return;
        }
        if packet.sequence > next {
            self.unit.damaged = true;
            self.waiting_for_key = true;
        }
        self.next_sequence = Some(packet.sequence + 1);
        if packet.time != self.unit.time {
            // The marker of the last picture was lost, or the sender sets none.
            self.finish(frames);
            self.unit.time = packet.time;
        }
        self.take_payload(&packet.payload);
        if packet.marker {
            self.finish(frames);
        }
    }

    fn take_payload(&mut self, payload: &[u8]) {
        let Some((&header, body)) = payload.split_first() else { return };
        match header & 0x1f {
            1..=23 => self.take_unit(payload),
            STAP_A => {
                let mut rest = body;
                while let Some((len, after)) = rest.split_first_chunk::<2>() {
                    let Some((unit, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*len))) else {
                        self.unit.damaged = true;
                        return;
                    };
                    self.take_unit(unit);
                    rest = after;
                }
            }
            FU_A => self.take_fragment(header, body),
            // §5.2: interleaved packet types belong to packetization-mode 2, which nobody negotiates.
            _ => self.unit.damaged = true,
        }
    }

    fn take_unit(&mut self, unit: &[u8]) {
        let Some(&header) = unit.first() else { return };
        match NalKind::of(header) {
            NalKind::Sps => self.sps = unit.to_vec(),
            NalKind::Pps => self.pps = unit.to_vec(),
            NalKind::Delimiter => {}
            kind => {
                self.unit.idr |= kind == NalKind::Idr;
                self.append(&(unit.len() as u32).to_be_bytes());
                self.append(unit);
            }
        }
    }

    fn take_fragment(&mut self, indicator: u8, body: &[u8]) {
        let Some((&fu, data)) = body.split_first() else {
            self.unit.damaged = true;
            return;
        };
        if fu & FU_START != 0 {
            let header = indicator & 0xe0 | fu & 0x1f;
            self.unit.idr |= NalKind::of(header) == NalKind::Idr;
            self.unit.fragment_at = Some(self.unit.bytes.len());
            self.append(&[0; 4]);
            self.append(&[header]);
        }
        let Some(at) = self.unit.fragment_at else {
            self.unit.damaged = true;
            return;
        };
        self.append(data);
        if fu & FU_END != 0 && !self.unit.damaged {
            let len = (self.unit.bytes.len() - at - 4) as u32;
            self.unit.bytes[at..at + 4].copy_from_slice(&len.to_be_bytes());
            self.unit.fragment_at = None;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.unit.bytes.len() + bytes.len() > ACCESS_UNIT_LEN_MAX {
            self.unit.damaged = true;
        }
        if !self.unit.damaged {
            self.unit.bytes.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) {
        let unit = mem::take(&mut self.unit);
        if unit.bytes.is_empty() && !unit.damaged {
            return;
        }
        if unit.idr {
            self.refresh_config();
        }
        let Some(config) = self.config.clone() else {
            self.frames_dropped += 1;
            return;
        };
        let whole = !unit.damaged && unit.fragment_at.is_none();
        // WebRTC carries no B-frames, so decode order is presentation order; a time that steps back is a broken sender.
        let in_order = self.last_dts.is_none_or(|last| unit.time > last);
        if !whole || !in_order || (self.waiting_for_key && !unit.idr) {
            self.waiting_for_key |= !whole;
            self.frames_dropped += 1;
            return;
        }
        self.waiting_for_key = false;
        self.last_dts = Some(unit.time);
        let payload = unit.bytes.freeze();
        frames.push(Frame { config, dts: unit.time, pts: unit.time, duration: 0, key: unit.idr, payload });
    }

    fn refresh_config(&mut self) {
        if let Ok(fresh) = H264Config::from_parameter_sets(&[&self.sps], &[&self.pps]) {
            let fresh = CodecConfig::H264(fresh);
            if self.config.as_deref() != Some(&fresh) {
                self.config = Some(Arc::new(fresh));
            }
        }
    }
}

#[cfg(test)]
mod tests;
