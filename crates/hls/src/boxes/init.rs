//! The init segment: `ftyp` and `moov` of one track, without samples.

use bytes::Bytes;
use mp4_atom::{
    Codec, Dinf, Dref, DrefEntry, Encode, FixedPoint, FourCC, Ftyp, Hdlr, Matrix, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd,
    Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Vmhd,
};
use telstar_media::{CodecConfig, MediaKind};
use telstar_units::Timescale;

use super::sample_entry::sample_entry;
use super::track_id;

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
    let mut compatible_brands = [b"iso6", b"cmfc", b"mp41"].map(FourCC::new).to_vec();
    if config.codec() == telstar_media::Codec::Av1 {
        // AV1-ISOBMFF §2.1: the brand of files that follow it.
        compatible_brands.push(FourCC::new(b"av01"));
    }
    let ftyp = Ftyp { major_brand: FourCC::new(b"iso6"), minor_version: 0, compatible_brands };
    let mut bytes = Vec::with_capacity(1_024);
    ftyp.encode(&mut bytes).map_err(|_| InitError::Record)?;
    moov(config, entry, timescale).encode(&mut bytes).map_err(|_| InitError::Record)?;
    Ok(bytes.into())
}

fn moov(config: &CodecConfig, entry: Codec, timescale: Timescale) -> Moov {
    let kind = config.codec().kind();
    let (width, height) = size(config);
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

/// Widths and heights have 16 bits in the boxes; no codec's configuration with more is accepted. 0 for sound.
pub(super) fn size(config: &CodecConfig) -> (u16, u16) {
    let clamp = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    config.picture_size().map_or((0, 0), |(width, height)| (clamp(width), clamp(height)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::Decode;
    use telstar_media::codec::OpusConfig;

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
        check(&CodecConfig::Opus(OpusConfig::plain(2, 312)), 48_000, "Opus");
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
