//! What an RTP payload says about its frame, as far as forwarding needs it.
//!
//! In: the payload of one packet, and its dependency descriptor where the sender adds one. Out: a [`Descriptor`]:
//! whether a decoder can begin here, which layer it is, and where the numbers stand that have to be rewritten. Nothing
//! is depacketised and nothing is kept between packets. Payloads come from outside: every read is checked.

mod av1;
mod h264;
mod vp8;
mod vp9;

use telstar_media::Codec;

use crate::dependency::DependencyDescriptor;

/// The most temporal or spatial layers that a descriptor can name: three bits (RFC 9628 §4.2).
pub const LAYERS_MAX: usize = 8;

/// A payload that breaks its format. Such a packet is dropped and counted; the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RTP payload is malformed")]
pub struct Malformed;

/// What one packet says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// A decoder that has seen nothing can begin with this packet.
    pub key_start: bool,
    /// The packet shows that it is a keyframe's. Later packets of a keyframe need not.
    pub key: bool,
    /// First packet of a frame; with H.264 and AV1 without dependency descriptor as far as one packet can tell.
    pub start: bool,
    /// Last packet of a frame of its spatial layer.
    pub end: bool,
    /// Spatial layer; 0 outside SVC.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Whether a receiver of fewer temporal layers may take more from here.
    pub switch_up: SwitchUp,
    /// The picture id.
    pub picture_id: Option<PictureId>,
    /// The running number of base layer pictures.
    pub tl0: Option<Tl0>,
    /// Whether picture ids have to stay contiguous when frames are left out: VP8's do, because receivers take a gap for
    /// frames still to come. VP9's and AV1's must keep their distances, which references are counted in.
    pub contiguous_ids: bool,
    /// The frame number of the dependency descriptor.
    pub frame_number: Option<u16>,
}

/// Whether a receiver of fewer temporal layers may take more from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SwitchUp {
    /// No.
    #[default]
    No,
    /// This frame refers to the base layer only (RFC 7741 §4.2, Y): who receives the layer below may begin with it.
    Here,
    /// Who receives this frame may take every layer up to this one in what follows (RFC 9628 §4.2, U).
    After(u8),
}

/// VP8's or VP9's picture id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// Where it stands in the payload.
    pub at: u8,
    /// 7 or 15 bits.
    pub value: u16,
    /// 15 bits in two bytes.
    pub wide: bool,
}

impl PictureId {
    /// The bits of the number.
    pub fn mask(self) -> u16 {
        if self.wide { 0x7fff } else { 0x7f }
    }

    /// I or M bit and seven bits, or fifteen (RFC 7741 §4.2, RFC 9628 §4.2).
    fn read(reader: &mut Reader<'_>) -> Result<PictureId, Malformed> {
        let at = reader.at_u8();
        let first = reader.byte()?;
        if first & 0x80 == 0 {
            return Ok(PictureId { at, value: first.into(), wide: false });
        }
        let value = u16::from(first & 0x7f) << 8 | u16::from(reader.byte()?);
        Ok(PictureId { at, value, wide: true })
    }
}

/// TL0PICIDX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tl0 {
    /// Where it stands in the payload.
    pub at: u8,
    /// The number.
    pub value: u8,
}

impl Descriptor {
    /// Reads the payload of one packet; `marker` is the RTP header's. Audio and codecs without a payload format here
    /// have nothing to say: every packet of them is a frame that stands alone.
    pub fn read(codec: Codec, payload: &[u8], marker: bool) -> Result<Descriptor, Malformed> {
        match codec {
            Codec::Vp8 => vp8::read(payload, marker),
            Codec::Vp9 => vp9::read(payload),
            Codec::H264 => h264::read(payload, marker),
            Codec::Av1 => av1::read(payload, marker),
            Codec::H265 | Codec::Aac | Codec::Opus | Codec::Mp3 | Codec::Flac | Codec::Ac3 | Codec::Eac3 => {
                Ok(Descriptor { key_start: true, key: true, start: true, end: true, ..Descriptor::default() })
            }
        }
    }

    /// The same with what the dependency descriptor says, which knows better where AV1's payload does not say.
    pub fn with_dependency(self, dependency: &DependencyDescriptor) -> Descriptor {
        let (spatial, temporal) = (dependency.spatial, dependency.temporal);
        // Receivers cannot read the descriptors that follow without the structure, so that the payload's keyframe alone
        // is no beginning.
        let key = dependency.has_structure && dependency.is_intra;
        Descriptor {
            key_start: self.key_start && key && dependency.start_of_frame && spatial == 0,
            key: self.key || key,
            start: dependency.start_of_frame,
            end: dependency.end_of_frame,
            spatial,
            temporal,
            switch_up: dependency.switch_up.map_or(SwitchUp::No, SwitchUp::After),
            frame_number: Some(dependency.frame_number),
            ..self
        }
    }
}

/// Reads bytes from the front of a payload.
struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(payload: &'a [u8]) -> Reader<'a> {
        Reader { payload, at: 0 }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.payload.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, len: usize) -> Result<(), Malformed> {
        self.take(len).map(|_| ())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).ok_or(Malformed)?;
        let bytes = self.payload.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(bytes)
    }

    fn rest(&self) -> &'a [u8] {
        &self.payload[self.at..]
    }

    /// The position as descriptors keep it: their heads are a few bytes long.
    fn at_u8(&self) -> u8 {
        u8::try_from(self.at).expect("the numbers stand within the first bytes of a payload")
    }
}

#[cfg(test)]
mod tests;
