//! H.265 over RTP, RFC 7798: single NAL unit packets, aggregation packets and fragmentation units, without DON.

use std::mem;

use bytes::{BufMut, Bytes, BytesMut};

use super::PAYLOAD_LEN_MAX;
use super::pictures::{Assembly, Ending, Fragments, PictureDepacketiser, PictureFormat};
use crate::codec::{
    CodecConfig, H265Config, H265NalKind, H265ParameterSets, ParameterSetsById, Repetition, h265_parameter_set_id,
    nal_units,
};
use crate::frame::{Frame, Packet};

/// §4.4: types of payload structures.
const AGGREGATION: u8 = 48;
const FRAGMENT: u8 = 49;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
/// The NAL unit header of an aggregation of parameter sets: layer 0, the lowest temporal sub-layer (§4.4.2).
const AGGREGATION_HEADER: [u8; 2] = [AGGREGATION << 1, 1];

/// Access units into packets.
#[derive(Debug, Default)]
pub struct H265Packetiser {
    sequence: u64,
}

impl H265Packetiser {
    /// Appends the packets of one access unit. Parameter sets go in front of each key picture, because a WebRTC decoder
    /// that joins has no other source for them.
    pub fn push(&mut self, frame: &Frame, packets: &mut Vec<Packet>) {
        let first = packets.len();
        if let (true, CodecConfig::H265(config)) = (frame.key, &*frame.config) {
            self.push_parameter_sets(config, frame, packets);
        }
        for unit in nal_units(&frame.payload, 4).map_while(Result::ok) {
            self.push_unit(frame.payload.slice_ref(unit), frame, packets);
        }
        if let Some(last) = packets[first..].last_mut() {
            last.marker = true;
        }
    }

    fn push_parameter_sets(&mut self, config: &H265Config, frame: &Frame, packets: &mut Vec<Packet>) {
        let H265ParameterSets { vps, sps, pps } = config.parameter_sets();
        let sets = || vps.iter().chain(&sps).chain(&pps);
        if 2 + sets().map(|set| 2 + set.len()).sum::<usize>() > PAYLOAD_LEN_MAX {
            sets().for_each(|set| self.push_unit(Bytes::copy_from_slice(set), frame, packets));
            return;
        }
        let mut payload = BytesMut::with_capacity(PAYLOAD_LEN_MAX);
        payload.put_slice(&AGGREGATION_HEADER);
        for set in sets() {
            payload.put_u16(set.len() as u16);
            payload.put_slice(set);
        }
        self.emit(payload.freeze(), frame, packets);
    }

    fn push_unit(&mut self, unit: Bytes, frame: &Frame, packets: &mut Vec<Packet>) {
        match unit.len() {
            // Less than a header is nothing.
            0..2 => {}
            2..=PAYLOAD_LEN_MAX => self.emit(unit, frame, packets),
            _ => self.push_fragments(&unit, frame, packets),
        }
    }

    fn push_fragments(&mut self, unit: &Bytes, frame: &Frame, packets: &mut Vec<Packet>) {
        let (header, body) = ([unit[0], unit[1]], unit.slice(2..));
        let chunk_len = PAYLOAD_LEN_MAX - 3;
        let last = body.len().div_ceil(chunk_len) - 1;
        for (index, chunk) in body.chunks(chunk_len).enumerate() {
            let mut payload = BytesMut::with_capacity(3 + chunk.len());
            payload.put_u8(header[0] & 0x81 | FRAGMENT << 1);
            payload.put_u8(header[1]);
            let start = if index == 0 { FU_START } else { 0 };
            let end = if index == last { FU_END } else { 0 };
            payload.put_u8(start | end | header[0] >> 1 & 0x3f);
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
pub type H265Depacketiser = PictureDepacketiser<H265Pictures>;

/// How H.265's payloads make a picture.
#[derive(Debug, Default)]
pub struct H265Pictures {
    vps: ParameterSetsById,
    sps: ParameterSetsById,
    pps: ParameterSetsById,
    fragments: Fragments,
    key: bool,
    repetition: Repetition,
}

impl H265Pictures {
    fn take_unit(&mut self, unit: &[u8], picture: &mut Assembly) {
        let kind = H265NalKind::of(unit);
        let id = || h265_parameter_set_id(unit);
        match kind {
            H265NalKind::Vps => {
                self.vps.put(id(), unit);
            }
            H265NalKind::Sps => {
                self.repetition.note();
                if self.sps.put(id(), unit) {
                    // They mean something else now, and come again behind it.
                    self.pps.clear();
                }
            }
            H265NalKind::Pps => {
                self.pps.put(id(), unit);
            }
            H265NalKind::Delimiter => {}
            _ if unit.len() < 2 => picture.damaged = true,
            kind => {
                self.key |= kind == H265NalKind::RandomAccess;
                picture.append_unit(unit);
            }
        }
    }

    fn take_fragment(&mut self, header: [u8; 2], body: &[u8], picture: &mut Assembly) {
        let Some((&fu, data)) = body.split_first() else {
            picture.damaged = true;
            return;
        };
        let begin = [header[0] & 0x81 | (fu & 0x3f) << 1, header[1]];
        if let Some(unit) = self.fragments.take(fu, &begin, data, picture) {
            self.take_unit(&unit, picture);
        }
    }
}

impl PictureFormat for H265Pictures {
    /// Parameter sets and the like stand in front of the slices (§7.4.2.4.4 of H.265), and the first slice begins with
    /// first_slice_segment_in_pic_flag.
    fn begins(payload: &[u8]) -> bool {
        let is_first = |kind: u8, data: &[u8]| kind > 31 || data.first().is_some_and(|byte| byte & 0x80 != 0);
        let &[header, _, ref rest @ ..] = payload else { return false };
        match (header >> 1 & 0x3f, rest) {
            (AGGREGATION, [_, _, inner, _, data @ ..]) => is_first(inner >> 1 & 0x3f, data),
            (FRAGMENT, [fu, data @ ..]) => fu & FU_START != 0 && is_first(fu & 0x3f, data),
            (AGGREGATION | FRAGMENT, _) => false,
            (kind, data) => is_first(kind, data),
        }
    }

    fn take(&mut self, payload: &[u8], picture: &mut Assembly) {
        let &[first, second, ref body @ ..] = payload else {
            picture.damaged = true;
            return;
        };
        let kind = first >> 1 & 0x3f;
        picture.damaged |= self.fragments.is_open() && kind != FRAGMENT;
        match kind {
            0..AGGREGATION => self.take_unit(payload, picture),
            AGGREGATION => picture.for_each_aggregated(body, |unit, picture| self.take_unit(unit, picture)),
            FRAGMENT => self.take_fragment([first, second], body, picture),
            // §4.4.4: PACI wraps another payload, and nobody sends it.
            _ => picture.damaged = true,
        }
    }

    fn finish(&mut self, picture: &mut Assembly) -> Ending {
        let key = mem::take(&mut self.key);
        picture.damaged |= self.fragments.give_up();
        picture.damaged |= self.repetition.were_lost(key, picture.behind_hole);
        if !key {
            return Ending::default();
        }
        let (vps, sps, pps) = (self.vps.units(), self.sps.units(), self.pps.units());
        let config = H265Config::from_parameter_sets(&H265ParameterSets { vps, sps, pps });
        Ending { key, config: config.ok().map(CodecConfig::H265) }
    }
}

#[cfg(test)]
mod tests;
