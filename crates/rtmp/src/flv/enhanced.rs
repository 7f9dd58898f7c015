//! What the extended headers of video and audio share, Enhanced RTMP v2 "Enhanced Video" and "Enhanced Audio":
//! ModEx prefixes, FourCC, and multitrack.

use bytes::Bytes;

use super::{CodecTag, FlvError, take, take_u8, take_u24};

/// `ModEx` has this packet type in both media.
const MOD_EX: u8 = 7;
/// `ModExType.TimestampOffsetNano`.
const TIMESTAMP_OFFSET_NANO: u8 = 0;
/// `AvMultitrackType`.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;
/// Nanoseconds that an offset may add: it refines a millisecond stamp.
const NANO_OFFSET_MAX: u32 = 999_999;

/// One track's part of a body.
pub(super) struct TrackBody {
    pub(super) track_id: u8,
    pub(super) codec: CodecTag,
    pub(super) packet_type: u8,
    pub(super) nano_offset: u32,
    pub(super) body: Bytes,
}

/// Skips `ModEx` prefixes; returns the packet type behind them and the nanoseconds they add.
pub(super) fn skip_mod_ex(mut packet_type: u8, body: &mut Bytes) -> Result<(u8, u32), FlvError> {
    let mut nano_offset = 0;
    // Each turn consumes at least three bytes, so the body's length bounds the loop.
    while packet_type == MOD_EX {
        let mut len = usize::from(take_u8(body)?) + 1;
        if len == 256 {
            let long = take(body, 2)?;
            len = usize::from(u16::from_be_bytes([long[0], long[1]])) + 1;
        }
        let mut data = take(body, len)?;
        let types = take_u8(body)?;
        if types >> 4 == TIMESTAMP_OFFSET_NANO {
            nano_offset = take_u24(&mut data)?.min(NANO_OFFSET_MAX);
        }
        packet_type = types & 0x0f;
    }
    Ok((packet_type, nano_offset))
}

/// Splits what follows the packet type into tracks. `multitrack_type` is the packet type that announces several.
pub(super) fn for_each_track(
    packet_type: u8,
    multitrack_type: u8,
    nano_offset: u32,
    mut body: Bytes,
    each: &mut dyn FnMut(TrackBody) -> Result<(), FlvError>,
) -> Result<(), FlvError> {
    if packet_type != multitrack_type {
        let codec = take_four_cc(&mut body)?;
        return each(TrackBody { track_id: 0, codec, packet_type, nano_offset, body });
    }
    let types = take_u8(&mut body)?;
    let (kind, packet_type) = (types >> 4, types & 0x0f);
    if kind > MANY_TRACKS_MANY_CODECS {
        return Err(FlvError::MultitrackType(kind));
    }
    let common = if kind == MANY_TRACKS_MANY_CODECS { None } else { Some(take_four_cc(&mut body)?) };
    while !body.is_empty() {
        let codec = match common {
            Some(codec) => codec,
            None => take_four_cc(&mut body)?,
        };
        let track_id = take_u8(&mut body)?;
        let track = match kind {
            ONE_TRACK => body.split_off(0),
            MANY_TRACKS | MANY_TRACKS_MANY_CODECS => {
                let len = take_u24(&mut body)? as usize;
                take(&mut body, len)?
            }
            other => return Err(FlvError::MultitrackType(other)),
        };
        each(TrackBody { track_id, codec, packet_type, nano_offset, body: track })?;
    }
    Ok(())
}

fn take_four_cc(body: &mut Bytes) -> Result<CodecTag, FlvError> {
    let bytes = take(body, 4)?;
    Ok(CodecTag::FourCc([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
