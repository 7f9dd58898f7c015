//! The init segment: `ftyp` and `moov` of one track, without samples.

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Codec, Dinf, Dops, Dref, DrefEntry, Encode, FixedPoint, FourCC, Ftyp, Hdlr, Matrix, Mdhd,
    Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig},
};
use telstar_media::{CodecConfig, MediaKind};
use telstar_units::Timescale;

use super::track_id;

/// ISO/IEC 14496-1 Table 5, objectTypeIndication: MPEG-4 audio.
const OBJECT_TYPE_AAC: u8 = 0x40;
/// ISO/IEC 14496-1 Table 5, objectTypeIndication: MPEG-1 audio, which is how MP3 is carried.
const OBJECT_TYPE_MP3: u8 = 0x6b;
/// ISO/IEC 14496-1 Table 6, streamType: audio.
const STREAM_TYPE_AUDIO: u8 = 5;
/// The data reference of every sample entry: the file itself.
const DATA_REFERENCE: u16 = 1;
const SAMPLE_SIZE_BITS: u16 = 16;

/// Why a track cannot be carried in fMP4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// There is no way into HLS for this codec without re-encoding.
    #[error("{} cannot be carried in HLS without re-encoding", .0.name())]
    Codec(telstar_media::Codec),
    /// The configuration record cannot be read.
    #[error("the codec configuration is invalid")]
    Record,
}

/// The bytes of the init segment for `config`.
pub fn init_segment(config: &CodecConfig, timescale: Timescale) -> Result<Bytes, InitError> {
    let entry = sample_entry(config)?;
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"cmfc", b"mp41"].map(FourCC::new).to_vec(),
    };
    let mut bytes = Vec::with_capacity(1_024);
    ftyp.encode(&mut bytes).map_err(|_| InitError::Record)?;
    moov(config, entry, timescale).encode(&mut bytes).map_err(|_| InitError::Record)?;
    Ok(bytes.into())
}

fn sample_entry(config: &CodecConfig) -> Result<Codec, InitError> {
    Ok(match config {
        CodecConfig::H264(h264) => {
            let avcc = Avcc::decode_body(&mut h264.avcc.as_ref()).map_err(|_| InitError::Record)?;
            let (width, height) = (clamp16(h264.width), clamp16(h264.height));
            let visual = Visual { data_reference_index: DATA_REFERENCE, width, height, ..Visual::default() };
            Avc1 { visual, avcc, ..Avc1::default() }.into()
        }
        CodecConfig::Aac(aac) => {
            let specific = DecoderSpecific { raw: aac.asc.to_vec(), ..DecoderSpecific::default() };
            mp4a(OBJECT_TYPE_AAC, Some(specific), aac.sample_rate, aac.channels)
        }
        CodecConfig::Mp3 { sample_rate, channels } => mp4a(OBJECT_TYPE_MP3, None, *sample_rate, *channels),
        CodecConfig::Opus { channels, pre_skip } => {
            // Mapping family 0 is mono or stereo; more channels need a table that RTMP and RTP sources do not send.
            if !(1..=2).contains(channels) {
                return Err(InitError::Record);
            }
            let dops = Dops {
                output_channel_count: *channels,
                pre_skip: *pre_skip,
                input_sample_rate: 48_000,
                output_gain: 0,
                channel_mapping: None,
            };
            Opus { audio: audio(48_000, *channels), dops, btrt: None }.into()
        }
        CodecConfig::Opaque { codec, .. } => return Err(InitError::Codec(*codec)),
    })
}

fn mp4a(object_type_indication: u8, dec_specific: Option<DecoderSpecific>, sample_rate: u32, channels: u8) -> Codec {
    let dec_config = DecoderConfig {
        object_type_indication,
        stream_type: STREAM_TYPE_AUDIO,
        dec_specific,
        ..DecoderConfig::default()
    };
    let es_desc = EsDescriptor { dec_config, sl_config: SLConfig {}, ..EsDescriptor::default() };
    Mp4a { audio: audio(sample_rate, channels), esds: Esds { es_desc }, btrt: None, taic: None }.into()
}

fn audio(sample_rate: u32, channels: u8) -> Audio {
    Audio {
        data_reference_index: DATA_REFERENCE,
        channel_count: channels.into(),
        sample_size: SAMPLE_SIZE_BITS,
        // The field has 16 bits: rates beyond it (88.2 and 96 kHz) are left to the codec's own record.
        sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
    }
}

fn moov(config: &CodecConfig, entry: Codec, timescale: Timescale) -> Moov {
    let kind = config.codec().kind();
    let (width, height) = match config {
        CodecConfig::H264(h264) => (clamp16(h264.width), clamp16(h264.height)),
        _ => (0, 0),
    };
    let video = kind == MediaKind::Video;
    let tkhd = Tkhd {
        track_id: track_id(kind),
        enabled: true,
        in_movie: true,
        volume: FixedPoint::from(u8::from(!video)),
        width: FixedPoint::from(width),
        height: FixedPoint::from(height),
        ..Tkhd::default()
    };
    let hdlr = Hdlr {
        handler: FourCC::new(if video { b"vide" } else { b"soun" }),
        name: if video { "video".into() } else { "audio".into() },
    };
    // Without a data reference that says "in this file", demuxers refuse the samples.
    let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } };
    let minf = Minf {
        vmhd: video.then(Vmhd::default),
        smhd: (!video).then(Smhd::default),
        dinf,
        // ISO/IEC 14496-12 §8.7.5 wants a chunk offset box even when it is empty; Firefox refuses a file without one.
        stbl: Stbl { stsd: Stsd { codecs: vec![entry] }, stco: Some(Stco::default()), ..Stbl::default() },
        ..Minf::default()
    };
    let mdhd = Mdhd { timescale: timescale.hz(), language: "und".into(), ..Mdhd::default() };
    Moov {
        mvhd: Mvhd {
            creation_time: 0,
            modification_time: 0,
            timescale: 1_000,
            duration: 0,
            rate: FixedPoint::from(1),
            volume: FixedPoint::from(1),
            matrix: Matrix::default(),
            next_track_id: track_id(kind) + 1,
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: track_id(kind),
                default_sample_description_index: 1,
                default_sample_duration: 0,
                default_sample_size: 0,
                default_sample_flags: 0,
            }],
        }),
        trak: vec![Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() }],
        ..Moov::default()
    }
}

/// Widths and heights have 16 bits in the box; H.264 itself allows no more than 16,384.
fn clamp16(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::Decode;

    /// Reads an init segment back.
    fn check(config: &CodecConfig, hz: u32, expect_entry: &str) {
        let timescale = Timescale::new(hz).expect("not zero");
        let bytes = init_segment(config, timescale).expect("carried");
        let mut rest: &[u8] = &bytes;
        Ftyp::decode(&mut rest).expect("ftyp");
        let moov = Moov::decode(&mut rest).expect("moov");
        assert!(rest.is_empty());
        let mdia = &moov.trak[0].mdia;
        assert_eq!(mdia.mdhd.timescale, hz);
        assert!(mdia.minf.stbl.stco.is_some(), "mandatory, and Firefox refuses a file without it");
        let entry = format!("{:?}", mdia.minf.stbl.stsd.codecs[0]);
        assert!(entry.starts_with(expect_entry), "{entry}");
    }

    #[test]
    fn audio_codecs_have_an_init_segment() {
        check(&CodecConfig::Opus { channels: 2, pre_skip: 312 }, 48_000, "Opus");
        check(&CodecConfig::Mp3 { sample_rate: 44_100, channels: 2 }, 44_100, "Mp4a");
    }

    #[test]
    fn codecs_without_a_record_are_refused_by_name() {
        let codec = telstar_media::Codec::Vp8;
        let refused = init_segment(&CodecConfig::Opaque { codec, record: Bytes::new() }, Timescale::VIDEO);
        assert_eq!(refused, Err(InitError::Codec(codec)));
        assert_eq!(
            refused.map_err(|error| error.to_string()),
            Err("VP8 cannot be carried in HLS without re-encoding".into())
        );
    }
}
