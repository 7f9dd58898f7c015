//! Audio bodies: FLV's AUDIODATA and Enhanced RTMP v2's extended header.

use bytes::Bytes;

use super::enhanced::{TrackBody, for_each_track, skip_mod_ex};
use super::{CodecTag, FlvError, take, take_u8};

/// SoundFormat 9 announces the extended header, Enhanced RTMP v2.
const EX_HEADER: u8 = 9;
/// `AudioPacketType`, Enhanced RTMP v2.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;

/// One track's part of an audio message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTag {
    /// 0 unless the message is multitrack.
    pub track_id: u8,
    /// The codec; legacy AAC is `mp4a` and MP3 `.mp3` here.
    pub codec: CodecTag,
    /// Nanoseconds to add to the message's stamp.
    pub nano_offset: u32,
    /// The contents.
    pub packet: AudioPacket,
}

/// What an audio tag carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioPacket {
    /// The codec's configuration record.
    SequenceStart(Bytes),
    /// One coded frame (MP3 may have several in a row).
    Frame(Bytes),
    /// No more sound of this configuration.
    SequenceEnd,
    /// Channel order and mapping.
    MultichannelConfig(Bytes),
}

/// Calls `each` for every track of an audio message's body. An empty body has none.
pub fn parse_audio(mut body: Bytes, each: &mut dyn FnMut(AudioTag)) -> Result<(), FlvError> {
    let Ok(first) = take_u8(&mut body) else { return Ok(()) };
    let sound_format = first >> 4;
    if sound_format == EX_HEADER {
        return enhanced(first & 0x0f, body, each);
    }
    let codec = CodecTag::FlvAudio(sound_format).normalised();
    let packet = match codec {
        CodecTag::AAC => match take_u8(&mut body)? {
            0 => AudioPacket::SequenceStart(body),
            1 => AudioPacket::Frame(body),
            other => return Err(FlvError::PacketType(other)),
        },
        _ => AudioPacket::Frame(body),
    };
    each(AudioTag { track_id: 0, codec, nano_offset: 0, packet });
    Ok(())
}

/// How many channels a multichannel configuration says that there are. Enhanced RTMP v2, "Enhanced Audio".
pub fn multichannel_channels(mut body: Bytes) -> Result<u8, FlvError> {
    let order = take_u8(&mut body)?;
    let channels = take_u8(&mut body)?;
    // AudioChannelOrder: a native order has 32 flags, a custom one a byte for each channel, an unspecified one nothing.
    let len = match order {
        0 => 0,
        1 => 4,
        2 => usize::from(channels),
        other => return Err(FlvError::ChannelOrder(other)),
    };
    take(&mut body, len)?;
    Ok(channels)
}

fn enhanced(packet_type: u8, mut body: Bytes, each: &mut dyn FnMut(AudioTag)) -> Result<(), FlvError> {
    let (packet_type, nano_offset) = skip_mod_ex(packet_type, &mut body)?;
    for_each_track(packet_type, MULTITRACK, nano_offset, body, &mut |track: TrackBody| {
        let packet = match track.packet_type {
            SEQUENCE_START => AudioPacket::SequenceStart(track.body),
            CODED_FRAMES => AudioPacket::Frame(track.body),
            SEQUENCE_END => AudioPacket::SequenceEnd,
            MULTICHANNEL_CONFIG => AudioPacket::MultichannelConfig(track.body),
            other => return Err(FlvError::PacketType(other)),
        };
        each(AudioTag { track_id: track.track_id, codec: track.codec, nano_offset: track.nano_offset, packet });
        Ok(())
    })
}
