//! H.264 over RTP, RFC 6184: single NAL unit packets, STAP-A and FU-A (packetization-mode 1).

use std::mem;

use bytes::{BufMut, Bytes, BytesMut};

use super::PAYLOAD_LEN_MAX;
use super::pictures::{Assembly, Ending, Fragments, PictureDepacketiser, PictureFormat};
use crate::codec::{CodecConfig, H264Config, NalKind, ParameterSetsById, Repetition, h264_parameter_set_id, nal_kinds};
use crate::frame::{Frame, Packet};

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
            self.push_unit(frame.payload.slice_ref(unit), frame, packets);
        }
        if let Some(last) = packets[first..].last_mut() {
            last.marker = true;
        }
    }

    fn push_parameter_sets(&mut self, config: &H264Config, frame: &Frame, packets: &mut Vec<Packet>) {
        let (sps, pps) = config.parameter_sets();
        let sets = || sps.iter().chain(&pps);
        if 1 + sets().map(|set| 2 + set.len()).sum::<usize>() > PAYLOAD_LEN_MAX {
            sets().for_each(|set| self.push_unit(Bytes::copy_from_slice(set), frame, packets));
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

    fn push_unit(&mut self, unit: Bytes, frame: &Frame, packets: &mut Vec<Packet>) {
        match unit.len() {
            0 => {}
            1..=PAYLOAD_LEN_MAX => self.emit(unit, frame, packets),
            _ => self.push_fragments(&unit, frame, packets),
        }
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
pub type H264Depacketiser = PictureDepacketiser<H264Pictures>;

/// How H.264's payloads make a picture.
#[derive(Debug, Default)]
pub struct H264Pictures {
    sps: ParameterSetsById,
    pps: ParameterSetsById,
    fragments: Fragments,
    idr: bool,
    repetition: Repetition,
}

impl H264Pictures {
    fn take_unit(&mut self, unit: &[u8], picture: &mut Assembly) {
        let Some(&header) = unit.first() else { return };
        match NalKind::of(header) {
            NalKind::Sps => {
                self.repetition.note();
                if self.sps.put(h264_parameter_set_id(unit), unit) {
                    // They mean something else now, and come again behind it.
                    self.pps.clear();
                }
            }
            NalKind::Pps => {
                self.pps.put(h264_parameter_set_id(unit), unit);
            }
            NalKind::Delimiter => {}
            kind => {
                self.idr |= kind == NalKind::Idr;
                picture.append_unit(unit);
            }
        }
    }

    fn take_fragment(&mut self, indicator: u8, body: &[u8], picture: &mut Assembly) {
        let Some((&fu, data)) = body.split_first() else {
            picture.damaged = true;
            return;
        };
        let header = indicator & 0xe0 | fu & 0x1f;
        self.idr |= fu & FU_START != 0 && NalKind::of(header) == NalKind::Idr;
        if let Some(unit) = self.fragments.take(fu, &[header], data, picture) {
            self.take_unit(&unit, picture);
        }
    }
}

impl PictureFormat for H264Pictures {
    /// What is not a slice stands in front of the slices (§7.4.1.2.3), and the first slice begins with macroblock 0, which
    /// is a first bit of 1.
    fn begins(payload: &[u8]) -> bool {
        let unit = match payload {
            [header, _, _, unit @ ..] if header & 0x1f == STAP_A => unit,
            [header, fu, data @ ..] if header & 0x1f == FU_A => {
                let is_first = data.first().is_some_and(|byte| byte & 0x80 != 0);
                return fu & FU_START != 0 && (!matches!(fu & 0x1f, 1..=5) || is_first);
            }
            unit => unit,
        };
        match unit {
            [header, first, ..] if matches!(header & 0x1f, 1..=5) => first & 0x80 != 0,
            [_, ..] => true,
            [] => false,
        }
    }

    fn take(&mut self, payload: &[u8], picture: &mut Assembly) {
        let Some((&header, body)) = payload.split_first() else { return };
        if self.fragments.is_open() && header & 0x1f != FU_A {
            picture.damaged = true;
        }
        match header & 0x1f {
            1..=23 => self.take_unit(payload, picture),
            STAP_A => picture.for_each_aggregated(body, |unit, picture| self.take_unit(unit, picture)),
            FU_A => self.take_fragment(header, body, picture),
            // §5.2: interleaved packet types belong to packetization-mode 2, which nobody negotiates.
            _ => picture.damaged = true,
        }
    }

    fn finish(&mut self, picture: &mut Assembly) -> Ending {
        let key = mem::take(&mut self.idr);
        picture.damaged |= self.fragments.give_up();
        picture.damaged |= self.repetition.were_lost(key, picture.behind_hole);
        if !key {
            return Ending::default();
        }
        let config = H264Config::from_parameter_sets(&self.sps.units(), &self.pps.units());
        Ending { key, config: config.ok().map(CodecConfig::H264) }
    }
}

#[cfg(test)]
mod tests;
