//! AV1 over RTP ("RTP Payload Format For AV1" v1.0, AOMedia): OBUs without sizes behind an aggregation header.

use std::mem;

use bytes::{Buf, BufMut, BytesMut};

use super::PAYLOAD_LEN_MAX;
use super::pictures::{Assembly, Ending, PictureDepacketiser, PictureFormat};
use crate::codec::{Av1Config, Av1Unit, CodecConfig, Obu, ObuKind, leb128, obus, put_leb128};
use crate::frame::{Frame, Packet};

/// §4.4, the aggregation header. Z: the first element continues an OBU. Y: the last one is continued. N: a coded video
/// sequence begins.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const BEGINS_SEQUENCE: u8 = 0x08;
/// Bytes that the length of an element takes at most.
const LEN_LEN: usize = 2;
const _: () = assert!(PAYLOAD_LEN_MAX < 1 << (7 * LEN_LEN), "the length of any element has so many bytes at most");
/// With less room than this in a packet, an OBU begins in the next. Higher wastes room, lower makes small pieces.
const ROOM_MIN: usize = 32;
/// The header of a sequence header OBU.
const SEQUENCE_HEADER: u8 = 1 << 3;

/// Temporal units into packets.
#[derive(Debug, Default)]
pub struct Av1Packetiser {
    sequence: u64,
}

impl Av1Packetiser {
    /// Appends the packets of one temporal unit. A key picture without a sequence header gets its configuration's,
    /// because a WebRTC decoder that joins has no other source for it.
    pub fn push(&mut self, frame: &Frame, packets: &mut Vec<Packet>) {
        let first = packets.len();
        let mut payload = new_payload(if frame.key { BEGINS_SEQUENCE } else { 0 });
        let units = || obus(&frame.payload).map_while(Result::ok).filter(|obu| !obu.is_left_out());
        if let (true, CodecConfig::Av1(config)) = (frame.key, &*frame.config)
            && !units().any(|obu| obu.kind == ObuKind::SequenceHeader)
        {
            self.push_unit(&[SEQUENCE_HEADER], config.sequence_header(), frame, &mut payload, packets);
        }
        for unit in units() {
            let (header, len) = unit.unsized_header();
            self.push_unit(&header[..len], unit.body, frame, &mut payload, packets);
        }
        if payload.len() > 1 {
            self.emit(payload, frame, packets);
        }
        if let Some(last) = packets[first..].last_mut() {
            last.marker = true;
        }
    }

    fn push_unit(
        &mut self,
        header: &[u8],
        body: &[u8],
        frame: &Frame,
        payload: &mut BytesMut,
        packets: &mut Vec<Packet>,
    ) {
        if PAYLOAD_LEN_MAX - payload.len() < ROOM_MIN {
            self.emit(mem::replace(payload, new_payload(0)), frame, packets);
        }
        let mut rest = header.chain(body);
        loop {
            let len = rest.remaining().min(PAYLOAD_LEN_MAX - payload.len() - LEN_LEN);
            put_leb128(payload, len);
            payload.put((&mut rest).take(len));
            if !rest.has_remaining() {
                return;
            }
            payload[0] |= CONTINUED;
            self.emit(mem::replace(payload, new_payload(CONTINUES)), frame, packets);
        }
    }

    fn emit(&mut self, payload: BytesMut, frame: &Frame, packets: &mut Vec<Packet>) {
        let (sequence, payload) = (self.sequence, payload.freeze());
        self.sequence += 1;
        packets.push(Packet { sequence, time: frame.pts, marker: false, key: frame.key, payload });
    }
}

/// W is 0: each element says its length.
fn new_payload(aggregation_header: u8) -> BytesMut {
    let mut payload = BytesMut::with_capacity(PAYLOAD_LEN_MAX);
    payload.put_u8(aggregation_header);
    payload
}

/// Packets into temporal units.
pub type Av1Depacketiser = PictureDepacketiser<Av1Pictures>;

/// How AV1's payloads make a temporal unit.
#[derive(Debug, Default)]
pub struct Av1Pictures {
    /// The OBU whose elements are coming.
    obu: BytesMut,
    /// What the last sequence header says.
    reduced_still_picture: bool,
}

impl Av1Pictures {
    fn take_obu(&mut self, bytes: &[u8], picture: &mut Assembly) {
        match obus(bytes).next() {
            Some(Ok(obu)) if obu.is_left_out() => {}
            // The size takes eight bytes at most.
            Some(Ok(obu)) if picture.takes(bytes.len() + 8) => obu.write_sized(&mut picture.bytes),
            Some(Ok(_)) | None => {}
            Some(Err(_)) => picture.damaged = true,
        }
    }
}

impl PictureFormat for Av1Pictures {
    /// Only the beginning of a coded video sequence can be told from that of another temporal unit's next OBU.
    fn begins(payload: &[u8]) -> bool {
        let Some((&header, _)) = payload.split_first() else { return false };
        let first = elements(payload).next().and_then(Result::ok).and_then(|element| element.first().copied());
        let is_sequence_header = first.is_some_and(|obu| obu >> 3 & 0xf == SEQUENCE_HEADER >> 3);
        header & CONTINUES == 0 && (header & BEGINS_SEQUENCE != 0 || is_sequence_header)
    }

    fn take(&mut self, payload: &[u8], picture: &mut Assembly) {
        let Some(&header) = payload.first() else { return };
        picture.damaged |= (header & CONTINUES != 0) == self.obu.is_empty();
        let mut elements = elements(payload).peekable();
        while let Some(element) = elements.next() {
            let Ok(element) = element else {
                picture.damaged = true;
                return;
            };
            let is_continued = elements.peek().is_none() && header & CONTINUED != 0;
            if picture.damaged {
                return;
            }
            if self.obu.is_empty() && !is_continued {
                self.take_obu(element, picture);
                continue;
            }
            if picture.takes(self.obu.len() + element.len()) {
                self.obu.extend_from_slice(element);
            }
            if !is_continued {
                let obu = mem::take(&mut self.obu);
                self.take_obu(&obu, picture);
            }
        }
    }

    fn finish(&mut self, picture: &mut Assembly) -> Ending {
        picture.damaged |= !mem::take(&mut self.obu).is_empty();
        let Ok(unit) = Av1Unit::read(&picture.bytes, self.reduced_still_picture) else {
            picture.damaged = true;
            return Ending::default();
        };
        let config = |obu: &Obu<'_>| Av1Config::from_sequence_header(obu).ok();
        let config = unit.sequence_header.as_ref().filter(|_| unit.key).and_then(config);
        let (key, has_frame) = (unit.key, unit.has_frame);
        if let Some(config) = &config {
            self.reduced_still_picture = config.reduced_still_picture;
        }
        if !has_frame {
            picture.bytes.clear();
        }
        Ending { key, config: config.map(CodecConfig::Av1) }
    }
}

/// The OBU elements of a payload, §4.3. Stops with an error item at the first that overruns.
fn elements(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], ()>> {
    let (count, mut rest) = payload.split_first().map_or((0, payload), |(header, rest)| (header >> 4 & 3, rest));
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        number += 1;
        let split = match leb128(rest) {
            _ if number == count => Ok((rest, &rest[rest.len()..])),
            Ok((at, len)) => rest[at..].split_at_checked(len).ok_or(()),
            Err(_) => Err(()),
        };
        rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(element, _)| element))
    })
}

#[cfg(test)]
mod tests;
