//! Video bodies: FLV's VIDEODATA and Enhanced RTMP's extended header.

use bytes::Bytes;

use super::enhanced::{TrackBody, for_each_track, skip_mod_ex};
use super::{CodecTag, FlvError, take_i24, take_u8};

/// `VideoPacketType`, Enhanced RTMP v2.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2_TS_SEQUENCE_START: u8 = 5;
const MULTITRACK: u8 = 6;

/// One track's part of a video message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTag {
    /// 0 unless the message is multitrack.
    pub track_id: u8,
    /// The codec; legacy H.264 is `avc1` here, and the HEVC of CodecID 12 `hvc1`.
    pub codec: CodecTag,
    /// What the encoder says about the picture.
    pub frame: FrameKind,
    /// Nanoseconds to add to the message's stamp.
    pub nano_offset: u32,
    /// The contents.
    pub packet: VideoPacket,
}

/// FLV's FrameType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Seekable.
    Key,
    /// Everything else that is a picture.
    Inter,
    /// Not a picture: a command to the player.
    Command,
}

/// What a video tag carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoPacket {
    /// The codec's configuration record.
    SequenceStart(Bytes),
    /// An access unit, and its presentation time minus its decode time in milliseconds.
    Frame {
        /// CompositionTime.
        composition_ms: i32,
        /// As the codec's ISO mapping wants it.
        payload: Bytes,
    },
    /// No more pictures of this configuration.
    SequenceEnd,
    /// AMF values, `colorInfo` among them.
    Metadata(Bytes),
    /// The configuration as an MPEG-2 TS descriptor.
    Mpeg2TsSequenceStart(Bytes),
    /// A codec whose FLV body is not known; its bytes.
    Unknown(Bytes),
}

/// Calls `each` for every track of a video message's body. An empty body has none.
pub fn parse_video(mut body: Bytes, each: &mut dyn FnMut(VideoTag)) -> Result<(), FlvError> {
    let Ok(first) = take_u8(&mut body) else { return Ok(()) };
    let frame = frame_kind(first >> 4 & 7);
    if first & 0x80 != 0 {
        return enhanced(first & 0x0f, frame, body, each);
    }
    let codec = CodecTag::FlvVideo(first & 0x0f).normalised();
    let packet = match (frame, codec) {
        (FrameKind::Command, _) => return Ok(()),
        (_, CodecTag::AVC | CodecTag::HEVC) => avc_packet(body)?,
        _ => VideoPacket::Unknown(body),
    };
    each(VideoTag { track_id: 0, codec, frame, nano_offset: 0, packet });
    Ok(())
}

/// AVCVIDEOPACKET, FLV §E.4.3.1.
fn avc_packet(mut body: Bytes) -> Result<VideoPacket, FlvError> {
    let packet_type = take_u8(&mut body)?;
    let composition_ms = take_i24(&mut body);
    Ok(match packet_type {
        0 => {
            composition_ms?;
            VideoPacket::SequenceStart(body)
        }
        1 => VideoPacket::Frame { composition_ms: composition_ms?, payload: body },
        // Some encoders send the end of the sequence without its composition time.
        2 => VideoPacket::SequenceEnd,
        other => return Err(FlvError::PacketType(other)),
    })
}

fn enhanced(
    packet_type: u8,
    frame: FrameKind,
    mut body: Bytes,
    each: &mut dyn FnMut(VideoTag),
) -> Result<(), FlvError> {
    let (packet_type, nano_offset) = skip_mod_ex(packet_type, &mut body)?;
    if frame == FrameKind::Command && packet_type != METADATA {
        return Ok(());
    }
    for_each_track(packet_type, MULTITRACK, nano_offset, body, &mut |track| {
        let packet = enhanced_packet(&track)?;
        each(VideoTag { track_id: track.track_id, codec: track.codec, frame, nano_offset: track.nano_offset, packet });
        Ok(())
    })
}

fn enhanced_packet(track: &TrackBody) -> Result<VideoPacket, FlvError> {
    let mut body = track.body.clone();
    Ok(match track.packet_type {
        SEQUENCE_START => VideoPacket::SequenceStart(body),
        CODED_FRAMES => {
            // Only these codecs have B-frames whose times differ.
            let has_composition =
                matches!(track.codec, CodecTag::FourCc(four_cc) if matches!(&four_cc, b"avc1" | b"hvc1" | b"vvc1"));
            let composition_ms = if has_composition { take_i24(&mut body)? } else { 0 };
            VideoPacket::Frame { composition_ms, payload: body }
        }
        CODED_FRAMES_X => VideoPacket::Frame { composition_ms: 0, payload: body },
        SEQUENCE_END => VideoPacket::SequenceEnd,
        METADATA => VideoPacket::Metadata(body),
        MPEG2_TS_SEQUENCE_START => VideoPacket::Mpeg2TsSequenceStart(body),
        other => return Err(FlvError::PacketType(other)),
    })
}

/// FLV §E.4.3.1: 1 key, 2 inter, 3 disposable inter, 4 generated key, 5 command.
fn frame_kind(bits: u8) -> FrameKind {
    match bits {
        1 | 4 => FrameKind::Key,
        5 => FrameKind::Command,
        _ => FrameKind::Inter,
    }
}
