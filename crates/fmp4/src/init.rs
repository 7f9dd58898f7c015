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
    use telstar_media::codec::{Ac3Config, Av1Config, FlacConfig, H265Config, OpusConfig, Vp9Config};

    /// libx265's record for 128x96 pixels, libaom's for 322x180, and libvpx' key frame of that size.
    const HVCC: &[u8] = &[
        0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1e, 0xf0, 0x00, 0xfc, 0xfd, 0xf8,
        0xf8, 0x00, 0x00, 0x0f, 0x03, 0xa0, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60,
        0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0x95, 0x94, 0x09, 0xa1, 0x00,
        0x01, 0x00, 0x29, 0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x1e, 0xa0, 0x10, 0x20, 0x61, 0x65, 0x95, 0x95, 0x29, 0x30, 0xbc, 0x05, 0xa0, 0x20, 0x00, 0x00,
        0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0x21, 0xa2, 0x00, 0x01, 0x00, 0x06, 0x44, 0x01, 0xc0, 0x73, 0xc1,
        0x89,
    ];
    const AV1C: &[u8] = &[0x81, 0, 0x0c, 0, 0x0a, 0x0b, 0, 0, 0, 0x04, 0x3d, 0x06, 0xcc, 0xda, 0xf9, 0x00, 0x40];
    const VP9_KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x00, 0x14, 0x10, 0x0b, 0x36, 0x06];

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
        check(&CodecConfig::Opus(OpusConfig::surround(6).expect("5.1")), 48_000, "Opus");
        check(&CodecConfig::Mp3 { sample_rate: 44_100, channels: 2 }, 44_100, "Mp4a");
        let ac3 = Ac3Config::parse(&[0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0]).expect("AC-3");
        check(&CodecConfig::Ac3(ac3), 48_000, "Ac3");
        let eac3 = Ac3Config::parse(&[0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x80, 0, 0]).expect("E-AC-3");
        check(&CodecConfig::Ac3(eac3), 48_000, "Eac3");
        let split = CodecConfig::Ac3(Ac3Config { has_substreams: true, ..eac3 });
        let refused = init_segment(&split, Timescale::VIDEO);
        assert_eq!(refused, Err(InitError::Codec(telstar_media::Codec::Eac3)));
    }

    #[test]
    fn flac_keeps_its_block_and_a_rate_that_fits() {
        for (rate, expect) in
            [(44_100u32, 44_100), (96_000, 48_000), (192_000, 48_000), (655_350, 65_535), (131_070, 65_535)]
        {
            let mut block = vec![0x10, 0, 0x10, 0, 0, 0, 14, 0, 0x2f, 0x40];
            block.extend((rate << 12 | 1 << 9 | 23 << 4 | 3).to_be_bytes());
            block.extend(1..=20);
            let config = FlacConfig::parse(&block).expect("valid");
            let bytes =
                init_segment(&CodecConfig::Flac(config), Timescale::new(rate).expect("not zero")).expect("carried");
            let at = |name: &[u8]| bytes.windows(4).position(|window| window == name).expect("there") + 4;
            // RFC 9639 §8.1: the last block, of type 0, with 34 bytes.
            assert_eq!(bytes[at(b"dfLa") + 4..][..4 + 34], [&[0x80, 0, 0, 34], &block[..]].concat());
            let entry = &bytes[at(b"fLaC")..];
            assert_eq!([entry[17], entry[19]], [2, 24], "channels and bits");
            assert_eq!(u32::from(u16::from_be_bytes([entry[24], entry[25]])), expect);
        }
    }

    #[test]
    fn video_codecs_keep_their_record_and_repeat_their_colour() {
        let hdr = telstar_media::codec::Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        let nclx = [&b"colrnclx"[..], &[0, 9, 0, 16, 0, 9, 0]].concat();
        let h265 = CodecConfig::H265(H265Config::parse(HVCC).expect("valid"));
        let av1 = CodecConfig::Av1(Av1Config::parse(AV1C).expect("valid"));
        let vp9 = CodecConfig::Vp9(Vp9Config::from_key_frame(VP9_KEY, None).expect("valid").expect("a key frame"));
        for (config, entry, record) in [
            (h265, "Hvc1", [&b"hvcC"[..], HVCC].concat()),
            (av1, "Av01", [&b"av1C"[..], AV1C].concat()),
            (vp9, "Vp09", b"vpcC\x01\0\0\0\x00\x0b\x82\x02\x02\x02\0\0".to_vec()),
        ] {
            check(&config, 90_000, entry);
            let holds = |config: &CodecConfig, bytes: &[u8]| {
                let init = init_segment(config, Timescale::VIDEO).expect("carried");
                init.windows(bytes.len()).any(|window| window == bytes)
            };
            assert!(holds(&config, &record), "{entry}");
            assert!(!holds(&config, b"colr"), "nothing is said where the stream says nothing");
            let described = config.with_colour(hdr).expect("a change");
            assert!(holds(&described, &nclx), "{entry}");
            assert_eq!(described.colour(), Some(hdr));
        }
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
