//! VP9 over RTP, RFC 9628: a payload descriptor before each piece of a layer's frame.

use std::mem;

use bytes::{BufMut, BytesMut};

use super::PAYLOAD_LEN_MAX;
use super::pictures::{Assembly, Ending, PictureDepacketiser, PictureFormat};
use crate::codec::{CodecConfig, Vp9Config};
use crate::frame::{Frame, Packet};

/// §4.2, the first byte.
const HAS_PICTURE_ID: u8 = 0x80;
const INTER: u8 = 0x40;
const HAS_LAYER: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const START: u8 = 0x08;
const END: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
/// M: the picture id has 15 bits.
const LONG_PICTURE_ID: u8 = 0x80;
/// N of a reference: another one follows.
const MORE_REFERENCES: u8 = 0x01;
/// §4.2.1, the scalability structure: Y, sizes follow; G, a group of pictures follows.
const HAS_SIZES: u8 = 0x10;
const HAS_GROUP: u8 = 0x08;
/// The descriptor that is written: flags and a picture id of 15 bits; before key frames the size as well.
const DESCRIPTOR_LEN: usize = 3;
const STRUCTURE_LEN: usize = 5;
/// §4.2: SID has three bits.
const LAYERS_MAX: usize = 8;
/// The most references of a picture, §4.2: P_DIFF.
const REFERENCES_MAX: usize = 3;

/// Frames into packets: in non-flexible mode, without layers.
#[derive(Debug, Default)]
pub struct Vp9Packetiser {
    sequence: u64,
    picture_id: u16,
}

impl Vp9Packetiser {
    /// Appends the packets of one frame. Each key frame says its size in a scalability structure.
    pub fn push(&mut self, frame: &Frame, packets: &mut Vec<Packet>) {
        let chunk_len = PAYLOAD_LEN_MAX - DESCRIPTOR_LEN - STRUCTURE_LEN;
        let last = frame.payload.len().div_ceil(chunk_len).saturating_sub(1);
        for (index, chunk) in frame.payload.chunks(chunk_len).enumerate() {
            let structure = frame.config.picture_size().filter(|_| frame.key && index == 0);
            let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
            let mut payload = BytesMut::with_capacity(DESCRIPTOR_LEN + STRUCTURE_LEN + chunk.len());
            payload.put_u8(
                HAS_PICTURE_ID
                    | flag(INTER, !frame.key)
                    | flag(START, index == 0)
                    | flag(END, index == last)
                    | flag(HAS_STRUCTURE, structure.is_some()),
            );
            payload.put_u16(u16::from(LONG_PICTURE_ID) << 8 | self.picture_id);
            if let Some((width, height)) = structure {
                // One layer, and no group of pictures.
                payload.put_u8(HAS_SIZES);
                payload.put_u16(width as u16);
                payload.put_u16(height as u16);
            }
            payload.put_slice(chunk);
            let (sequence, payload) = (self.sequence, payload.freeze());
            packets.push(Packet { sequence, time: frame.pts, marker: index == last, key: frame.key, payload });
            self.sequence += 1;
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
    }
}

/// Packets into frames.
pub type Vp9Depacketiser = PictureDepacketiser<Vp9Pictures>;

/// How VP9's payloads make a frame, or a superframe of the frames of all layers.
#[derive(Debug, Default)]
pub struct Vp9Pictures {
    /// Where each layer's frame begins.
    layers: Vec<usize>,
    /// Of the uppermost layer, where the sender says it.
    size: Option<(u32, u32)>,
}

#[derive(Debug, PartialEq)]
struct Descriptor<'a> {
    starts: bool,
    spatial_layer: u8,
    /// How many layers the structure speaks of, and the size of the uppermost.
    size: Option<(u32, u32)>,
    body: &'a [u8],
}

impl PictureFormat for Vp9Pictures {
    fn begins(payload: &[u8]) -> bool {
        descriptor(payload).is_some_and(|descriptor| descriptor.starts && descriptor.spatial_layer == 0)
    }

    fn take(&mut self, payload: &[u8], picture: &mut Assembly) {
        let Some(Descriptor { starts, size, body, .. }) = descriptor(payload) else {
            picture.damaged = true;
            return;
        };
        if starts && self.layers.len() < LAYERS_MAX {
            self.layers.push(picture.bytes.len());
        }
        picture.damaged |= self.layers.is_empty();
        self.size = size.or(self.size);
        picture.append(body);
    }

    fn finish(&mut self, picture: &mut Assembly) -> Ending {
        let (layers, size) = (mem::take(&mut self.layers), mem::take(&mut self.size));
        // Of several layers the lowest one says whether the picture needs others.
        let Ok(config) = Vp9Config::from_key_frame(&picture.bytes, None) else {
            picture.damaged = true;
            return Ending::default();
        };
        if layers.len() > 1 {
            append_index(&layers, picture);
        }
        let sized = |config: Vp9Config| match size {
            Some((width, height)) if layers.len() > 1 => config.of_size(width, height),
            _ => config,
        };
        Ending { key: config.is_some(), config: config.map(|config| CodecConfig::Vp9(sized(config))) }
    }
}

/// The superframe index, VP9 Bitstream Specification Annex B: without it, decoders other than libvpx see the first frame
/// only.
fn append_index(layers: &[usize], picture: &mut Assembly) {
    let ends = layers[1..].iter().copied().chain([picture.bytes.len()]);
    let lens: Vec<usize> = layers.iter().zip(ends).map(|(start, end)| end - start).collect();
    let longest = lens.iter().copied().max().unwrap_or(0);
    let bytes_per_len = (1..4).find(|bytes| longest >> (8 * bytes) == 0).unwrap_or(4);
    let marker = 0b1100_0000 | (bytes_per_len as u8 - 1) << 3 | (lens.len() as u8 - 1);
    picture.append(&[marker]);
    for len in lens {
        picture.append(&len.to_le_bytes()[..bytes_per_len]);
    }
    picture.append(&[marker]);
}

/// §4.2. `None`: it ends too early, or nothing stands behind it.
fn descriptor(payload: &[u8]) -> Option<Descriptor<'_>> {
    let mut rest = payload;
    let mut byte = || {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        Some(byte)
    };
    let flags = byte()?;
    if flags & HAS_PICTURE_ID != 0 && byte()? & LONG_PICTURE_ID != 0 {
        byte()?;
    }
    let mut spatial_layer = 0;
    if flags & HAS_LAYER != 0 {
        spatial_layer = byte()? >> 1 & 7;
        if flags & FLEXIBLE == 0 {
            byte()?;
        }
    }
    if flags & FLEXIBLE != 0 && flags & INTER != 0 {
        let mut references = 1;
        while byte()? & MORE_REFERENCES != 0 {
            references += 1;
            if references > REFERENCES_MAX {
                return None;
            }
        }
    }
    let mut size = None;
    if flags & HAS_STRUCTURE != 0 {
        let structure = byte()?;
        if structure & HAS_SIZES != 0 {
            for _ in 0..=structure >> 5 {
                let mut side = || Some(u32::from(u16::from_be_bytes([byte()?, byte()?])));
                size = Some((side()?, side()?));
            }
        }
        if structure & HAS_GROUP != 0 {
            for _ in 0..byte()? {
                for _ in 0..byte()? >> 2 & 3 {
                    byte()?;
                }
            }
        }
    }
    let starts = flags & START != 0;
    Some(Descriptor { starts, spatial_layer, size, body: rest }).filter(|_| !rest.is_empty())
}

#[cfg(test)]
mod tests;
