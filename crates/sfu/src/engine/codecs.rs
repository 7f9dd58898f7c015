//! The codecs that are forwarded, and which payload type of one connection means which of another.

use str0m::format::{Codec as EngineCodec, CodecConfig, FormatParams, PayloadParams};
use str0m::media::{Frequency, Pt};
use telstar_media::Codec;

use crate::api::FeedFormat;

/// H.264 with packetization-mode 1, the profiles that browsers send: payload type, its RTX, profile-level-id
/// (RFC 6184 §8.1). Constrained baseline, baseline, main, constrained high, high.
const H264: [(u8, u8, u32); 5] = [
    (108, 109, 0x42_e0_1f),
    (127, 121, 0x42_00_1f),
    (123, 119, 0x4d_00_1f),
    (112, 113, 0x64_0c_1f),
    (114, 115, 0x64_00_1f),
];

/// Sets the codecs in the order in which a server without opinion offers them: what every browser decodes first.
pub(super) fn configure(config: &mut CodecConfig) {
    config.clear();
    config.enable_opus(true, false);
    config.enable_vp8(true);
    for (payload_type, resend, profile) in H264 {
        config.add_h264(payload_type.into(), Some(resend.into()), true, profile);
    }
    let vp9 = FormatParams { profile_id: Some(0), ..FormatParams::default() };
    config.add_config(98.into(), Some(99.into()), EngineCodec::Vp9, Frequency::NINETY_KHZ, None, vp9);
    config.enable_av1(true);
}

/// A codec with what tells its variants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) codec: Codec,
    pub(crate) clock_rate: u32,
    /// Of H.264 only.
    profile: Option<Profile>,
    /// Of VP9 only.
    profile_id: u32,
}

/// H.264 profiles, each decodable by those below it in [`opens`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
}

pub(super) fn format(config: &CodecConfig, payload_type: u8) -> Option<Format> {
    let params = config.params().iter().find(|params| *params.pt() == payload_type)?;
    read(params)
}

fn read(params: &PayloadParams) -> Option<Format> {
    let spec = params.spec();
    let codec = match spec.codec {
        EngineCodec::Opus => Codec::Opus,
        EngineCodec::Vp8 => Codec::Vp8,
        EngineCodec::H264 => Codec::H264,
        EngineCodec::Vp9 => Codec::Vp9,
        EngineCodec::Av1 => Codec::Av1,
        _ => return None,
    };
    let profile = (codec == Codec::H264).then(|| profile(spec.format.profile_level_id.unwrap_or(0x42_e0_1f)));
    Some(Format { codec, clock_rate: spec.clock_rate.get(), profile, profile_id: spec.format.profile_id.unwrap_or(0) })
}

/// What the owner's packets are; `None` for what is not forwarded.
pub(crate) fn of_feed(feed: &FeedFormat) -> Option<Format> {
    let clock_rate = match feed.codec {
        Codec::Opus => 48_000,
        Codec::Vp8 | Codec::H264 | Codec::Vp9 | Codec::Av1 => 90_000,
        _ => return None,
    };
    let [idc, constraints, level] = feed.profile_level_id.unwrap_or([0x42, 0xe0, 0x1f]);
    let profile = (feed.codec == Codec::H264).then(|| profile(u32::from_be_bytes([0, idc, constraints, level])));
    Some(Format { codec: feed.codec, clock_rate, profile, profile_id: 0 })
}

/// RFC 6184 table 5: the same profile is written in several ways.
fn profile(profile_level_id: u32) -> Profile {
    let constraints = (profile_level_id >> 8) & 0xff;
    match profile_level_id >> 16 {
        0x42 if constraints & 0x40 != 0 => Profile::ConstrainedBaseline,
        0x42 => Profile::Baseline,
        0x4d if constraints & 0x80 != 0 => Profile::ConstrainedBaseline,
        0x4d => Profile::Main,
        0x64 if constraints & 0x0c == 0x0c => Profile::ConstrainedHigh,
        _ => Profile::High,
    }
}

/// Whether whoever asked for `theirs` decodes `ours`. What browsers call baseline they decode with everything else.
pub(crate) fn opens(theirs: &Format, ours: &Format) -> bool {
    if theirs.codec != ours.codec || theirs.profile_id != ours.profile_id {
        return false;
    }
    match (ours.profile, theirs.profile) {
        // Browsers that negotiate Main decode High as well, and say so on few machines only (Chromium 156 with its own
        // decoder); encoders over RTMP send High unless told otherwise, and other servers pass it likewise.
        (Some(Profile::High | Profile::ConstrainedHigh), theirs) => {
            matches!(theirs, Some(Profile::Main | Profile::ConstrainedHigh | Profile::High))
        }
        (Some(Profile::Main), theirs) => matches!(theirs, Some(Profile::Main | Profile::High)),
        _ => true,
    }
}

/// The payload type by which a peer that negotiated `accepted` is sent `format`: the same variant, else one that
/// decodes it.
pub(super) fn payload_type(config: &CodecConfig, accepted: &[Pt], format: &Format) -> Option<u8> {
    let usable = || {
        let known = config.params().iter().filter(|params| accepted.contains(&params.pt()));
        known.filter_map(|params| read(params).map(|format| (*params.pt(), format)))
    };
    let exact = usable().find(|(_, theirs)| theirs == format);
    exact.or_else(|| usable().find(|(_, theirs)| opens(theirs, format))).map(|(payload_type, _)| payload_type)
}

/// The payload types that a peer accepted, each with that of its resends (RFC 4588).
pub(super) fn resend_types(config: &CodecConfig, accepted: &[Pt]) -> Vec<(u8, u8)> {
    let known = config.params().iter().filter(|params| accepted.contains(&params.pt()));
    known.filter_map(|params| Some((*params.pt(), *params.resend()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_sent_by_its_own_type_or_by_one_that_decodes_it() {
        let mut config = CodecConfig::empty();
        configure(&mut config);
        let all: Vec<Pt> = config.params().iter().map(PayloadParams::pt).collect();
        for pt in &all {
            let format = format(&config, **pt).expect("every configured codec is known");
            assert_eq!(payload_type(&config, &all, &format), Some(**pt));
        }
        let only = |accepted: &[u8], wanted: u8| {
            let accepted: Vec<Pt> = accepted.iter().map(|pt| Pt::from(*pt)).collect();
            payload_type(&config, &accepted, &format(&config, wanted).expect("a configured codec"))
        };
        assert_eq!(only(&[114], 108), Some(114), "high decodes constrained baseline");
        assert_eq!(only(&[108], 114), None, "and not the other way round");
        assert_eq!(only(&[108, 123], 114), Some(123), "who decodes main decodes high");
        assert_eq!(only(&[96, 111], 98), None, "a codec that the peer does not know");
        assert_eq!(profile(0x4d_80_1f), Profile::ConstrainedBaseline);
    }
}
