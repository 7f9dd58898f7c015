//! Frames of the hub as bodies of RTMP messages: FLV (Adobe FLV 10.1 §E.4) where it has the codec, Enhanced RTMP v2 where not.
//!
//! A body is a head of a few bytes and the payload as it lies in the hub, which is not copied here.

use bytes::Bytes;
use telstar_media::codec::{Vp9Config, Vp9Record};
use telstar_media::{Codec, CodecConfig, Frame, MediaKind};

/// The longest head: one byte, a FourCC, a composition time.
const HEAD_LEN_MAX: usize = 8;
/// Composition times are signed and have 24 bits.
const COMPOSITION_MAX_MS: i64 = (1 << 23) - 1;

/// The marker of a FLAC stream, and the head of its first and here last block: streaminfo, 34 bytes (RFC 9639 §8).
const FLAC_HEAD: &[u8] = b"fLaC\x80\0\0\x22";

/// A message's body.
pub(super) struct Body {
    head: [u8; HEAD_LEN_MAX],
    head_len: usize,
    pub(super) payload: Bytes,
}

impl Body {
    fn new(parts: &[&[u8]], payload: Bytes) -> Body {
        let mut body = Body { head: [0; HEAD_LEN_MAX], head_len: 0, payload };
        for part in parts {
            body.head[body.head_len..body.head_len + part.len()].copy_from_slice(part);
            body.head_len += part.len();
        }
        body
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head_len]
    }

    pub(super) fn len(&self) -> usize {
        self.head_len + self.payload.len()
    }
}

/// How a codec is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// FLV's own AVC.
    Avc,
    /// FLV's own AAC.
    Aac,
    /// FLV's own MP3.
    Mp3,
    /// Enhanced RTMP, by this name.
    FourCc([u8; 4]),
}

impl Wire {
    /// Every player knows FLV's own codecs; the others need one that announced them.
    pub(super) fn of(codec: Codec) -> Wire {
        match codec {
            Codec::H264 => Wire::Avc,
            Codec::Aac => Wire::Aac,
            Codec::Mp3 => Wire::Mp3,
            Codec::H265 => Wire::FourCc(*b"hvc1"),
            Codec::Av1 => Wire::FourCc(*b"av01"),
            Codec::Vp8 => Wire::FourCc(*b"vp08"),
            Codec::Vp9 => Wire::FourCc(*b"vp09"),
            Codec::Opus => Wire::FourCc(*b"Opus"),
            Codec::Flac => Wire::FourCc(*b"fLaC"),
            Codec::Ac3 => Wire::FourCc(*b"ac-3"),
            Codec::Eac3 => Wire::FourCc(*b"ec-3"),
        }
    }

    /// `videocodecid` or `audiocodecid` of `onMetaData`: a number of FLV, or the FourCC as a number (Enhanced RTMP v2,
    /// "Enhancing onMetaData").
    pub(super) fn metadata_id(self) -> f64 {
        match self {
            Wire::Avc => 7.0,
            Wire::Aac => 10.0,
            Wire::Mp3 => 2.0,
            Wire::FourCc(four_cc) => f64::from(u32::from_be_bytes(four_cc)),
        }
    }
}

/// The message that carries a configuration, if the codec has one.
pub(super) fn sequence_header(wire: Wire, config: &CodecConfig) -> Option<Body> {
    let record = record_of(config)?;
    Some(match wire {
        Wire::Avc => Body::new(&[&[0x17, 0, 0, 0, 0]], record),
        Wire::Aac => Body::new(&[&[0xaf, 0]], record),
        Wire::Mp3 => return None,
        // The same byte in both media: an extended key frame's SequenceStart, and the extended sound's.
        Wire::FourCc(four_cc) => Body::new(&[&[0x90], &four_cc], record),
    })
}

/// The configuration record as the wire carries it.
fn record_of(config: &CodecConfig) -> Option<Bytes> {
    let record = match config {
        CodecConfig::H264(h264) => h264.avcc.clone(),
        CodecConfig::Aac(aac) => aac.asc.clone(),
        CodecConfig::Opaque { record, .. } => record.clone(),
        CodecConfig::H265(h265) => h265.hvcc.clone(),
        CodecConfig::Av1(av1) => av1.av1c.clone(),
        CodecConfig::Vp9(vp9) => vp9_record(vp9).to_vec().into(),
        CodecConfig::Opus(opus) => opus.header().into(),
        CodecConfig::Flac(flac) => [FLAC_HEAD, &flac.stream_info].concat().into(),
        // Their frames say everything.
        CodecConfig::Vp8(_) | CodecConfig::Ac3(_) | CodecConfig::Mp3 { .. } => return None,
    };
    (!record.is_empty()).then_some(record)
}

/// VPCodecConfigurationRecord, VP Codec ISO Media File Format Binding 1.0 §"Syntax", without initialisation data.
fn vp9_record(config: &Vp9Config) -> [u8; 8] {
    let Vp9Record { profile, level, bit_depth, chroma, colour } = config.record;
    let format = bit_depth << 4 | chroma << 1 | u8::from(colour.full_range);
    [profile, level, format, colour.primaries, colour.transfer, colour.matrix, 0, 0]
}

/// The message that carries a frame.
pub(super) fn coded_frame(wire: Wire, frame: &Frame, composition_ms: i64) -> Body {
    let composition = &composition_ms.clamp(-COMPOSITION_MAX_MS, COMPOSITION_MAX_MS).to_be_bytes()[5..];
    let payload = frame.payload.clone();
    match wire {
        Wire::Avc => Body::new(&[&[if frame.key { 0x17 } else { 0x27 }, 1], composition], payload),
        Wire::Aac => Body::new(&[&[0xaf, 1]], payload),
        Wire::Mp3 => Body::new(&[&[mp3_head(&frame.config)]], payload),
        Wire::FourCc(four_cc) if frame.config.codec().kind() == MediaKind::Audio => {
            Body::new(&[&[0x91], &four_cc], payload)
        }
        Wire::FourCc(four_cc) => {
            let kind = 0x80 | if frame.key { 0x10 } else { 0x20 };
            // CodedFramesX spares a composition time of zero; of these codecs only HEVC has one at all.
            match (&four_cc, composition_ms) {
                (b"hvc1", 0) => Body::new(&[&[kind | 3], &four_cc], payload),
                (b"hvc1", _) => Body::new(&[&[kind | 1], &four_cc, composition], payload),
                _ => Body::new(&[&[kind | 1], &four_cc], payload),
            }
        }
    }
}

/// FLV §E.4.2.1: MP3, the nearest rate, 16 bits, mono or stereo.
fn mp3_head(config: &CodecConfig) -> u8 {
    let CodecConfig::Mp3 { sample_rate, channels } = config else { return 0x2f };
    let rate = match sample_rate {
        ..=8_000 => 0,
        ..=16_000 => 1,
        ..=32_000 => 2,
        _ => 3,
    };
    0x20 | rate << 2 | 2 | u8::from(*channels > 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use telstar_media::codec::{AacConfig, Colour, FlacConfig, OpusConfig};

    use super::*;
    use crate::flv::{AudioPacket, CodecTag, FrameKind, VideoPacket, parse_audio, parse_video};

    fn frame(config: CodecConfig, key: bool) -> Frame {
        let payload = Bytes::from_static(b"payload");
        Frame { config: Arc::new(config), dts: 0, pts: 0, duration: 0, key, payload }
    }

    fn opaque(codec: Codec) -> CodecConfig {
        CodecConfig::Opaque { codec, record: Bytes::from_static(b"record") }
    }

    fn bytes(body: &Body) -> Bytes {
        Bytes::from([body.head(), &body.payload].concat())
    }

    /// What our own reader makes of a picture: codec, key, composition time, payload.
    fn picture(body: &Body) -> (CodecTag, FrameKind, VideoPacket) {
        let mut tags = Vec::new();
        parse_video(bytes(body), &mut |tag| tags.push(tag)).expect("it is readable");
        let tag = tags.pop().expect("one track");
        (tag.codec, tag.frame, tag.packet)
    }

    #[test]
    fn pictures_are_read_back_as_they_were() {
        for (codec, tag) in [
            (Codec::H264, CodecTag::AVC),
            (Codec::H265, CodecTag::FourCc(*b"hvc1")),
            (Codec::Av1, CodecTag::FourCc(*b"av01")),
            (Codec::Vp8, CodecTag::FourCc(*b"vp08")),
            (Codec::Vp9, CodecTag::FourCc(*b"vp09")),
        ] {
            let wire = Wire::of(codec);
            let header = sequence_header(wire, &opaque(codec)).expect("a record");
            assert_eq!(picture(&header), (tag, FrameKind::Key, VideoPacket::SequenceStart("record".into())));
            for (key, kind) in [(true, FrameKind::Key), (false, FrameKind::Inter)] {
                for composition_ms in [0, 80, -40] {
                    let body = coded_frame(wire, &frame(opaque(codec), key), composition_ms);
                    let has_composition = matches!(codec, Codec::H264 | Codec::H265);
                    let composition_ms = if has_composition { composition_ms as i32 } else { 0 };
                    let packet = VideoPacket::Frame { composition_ms, payload: "payload".into() };
                    assert_eq!(picture(&body), (tag, kind, packet), "{codec:?}");
                }
            }
        }
    }

    #[test]
    fn records_that_are_made_anew_say_what_the_source_said() {
        let colour = Colour { full_range: true, ..Colour::BT709 };
        let record = Vp9Record { profile: 2, level: 31, bit_depth: 10, chroma: 1, colour };
        let written = vp9_record(&Vp9Config { record, width: 64, height: 64 });
        assert_eq!(Vp9Record::parse(&written), Ok(record));
        let opus = OpusConfig::plain(2, 312);
        let written = record_of(&CodecConfig::Opus(opus.clone())).expect("a record");
        assert_eq!(OpusConfig::parse(&written), Ok(opus));
        let mut stream_info = vec![0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x02, 0xf0];
        stream_info.resize(34, 0);
        let flac = FlacConfig::parse(&stream_info).expect("valid");
        let written = record_of(&CodecConfig::Flac(flac.clone())).expect("a record");
        assert!(written.starts_with(b"fLaC"));
        assert_eq!(FlacConfig::parse(&written), Ok(flac));
    }

    #[test]
    fn sound_is_read_back_as_it_was() {
        let aac = AacConfig::parse(Bytes::from_static(&[0x12, 0x10])).expect("valid");
        let mp3 = CodecConfig::Mp3 { sample_rate: 22_050, channels: 1 };
        for (config, tag, has_header) in [
            (CodecConfig::Aac(aac), CodecTag::AAC, true),
            (mp3, CodecTag::MP3, false),
            (opaque(Codec::Opus), CodecTag::FourCc(*b"Opus"), true),
        ] {
            let wire = Wire::of(config.codec());
            assert_eq!(sequence_header(wire, &config).is_some(), has_header);
            let mut bodies: Vec<Body> = sequence_header(wire, &config).into_iter().collect();
            bodies.push(coded_frame(wire, &frame(config, true), 0));
            for body in bodies {
                let mut read = Vec::new();
                parse_audio(bytes(&body), &mut |tag| read.push((tag.codec, tag.packet))).expect("it is readable");
                assert_eq!(read[0].0, tag);
                assert!(matches!(read[0].1, AudioPacket::SequenceStart(_) | AudioPacket::Frame(_)));
            }
        }
        assert_eq!(mp3_head(&CodecConfig::Mp3 { sample_rate: 44_100, channels: 2 }), 0x2f);
        assert_eq!(mp3_head(&CodecConfig::Mp3 { sample_rate: 11_025, channels: 1 }), 0x26);
    }
}
