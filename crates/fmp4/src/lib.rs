//! ISO BMFF boxes of CMAF: the init segment of a track and the header of a fragment.
//!
//! Frames' facts go in, box bytes come out; payloads never pass through here, so no media byte is copied.
//! This crate knows no segment, no playlist and no time beyond the ticks it writes. The live packager writes parts with it, the
//! worker the segments of an asset, so that both are carried alike.

use bytes::Bytes;
use mp4_atom::{Encode, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry};
use telstar_media::MediaKind;

mod init;
mod sample_entry;

pub use init::{InitError, init_segment};

/// ISO/IEC 14496-12 §8.8.3.1: depends on no other sample and is a sync sample.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// ISO/IEC 14496-12 §8.8.3.1: depends on others and is not a sync sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;
/// Size and type of the `mdat` box.
const MDAT_HEADER_LEN: usize = 8;

/// One sample as the `trun` box lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleEntry {
    /// In ticks of its track.
    pub duration: u32,
    /// In bytes.
    pub size: u32,
    /// It stands alone.
    pub sync: bool,
    /// Presentation less decode time, in ticks.
    pub composition_offset: i64,
}

/// The ISO BMFF track id of a rendition. Each rendition is a file of its own, but distinct ids let tools mux both.
pub fn track_id(kind: MediaKind) -> u32 {
    match kind {
        MediaKind::Video => 1,
        MediaKind::Audio => 2,
    }
}

/// `moof` and the header of `mdat` for a fragment whose payload follows: the samples, one behind the other, below 4 GiB in all.
/// `decode_time` is `tfdt`.
///
/// # Panics
/// If the samples are 4 GiB or more: whoever cuts fragments limits frames and their number far below that.
pub fn fragment_header(kind: MediaKind, sequence_number: u32, decode_time: u64, samples: &[SampleEntry]) -> Bytes {
    let payload_len: usize = samples.iter().map(|sample| sample.size as usize).sum();
    let mut moof = moof(kind, sequence_number, decode_time, samples);
    let mut bytes = Vec::with_capacity(128 + 16 * samples.len());
    encode(&moof, &mut bytes);
    // The offset counts from the first byte of `moof` (default-base-is-moof); its own width does not depend on its value.
    let data_offset = bytes.len() + MDAT_HEADER_LEN;
    moof.traf[0].trun[0].data_offset = Some(data_offset as i32);
    bytes.clear();
    encode(&moof, &mut bytes);
    assert_eq!(bytes.len() + MDAT_HEADER_LEN, data_offset, "the size of moof does not depend on the data offset");
    let mdat_len =
        u32::try_from(payload_len + MDAT_HEADER_LEN).expect("a fragment is far below 4 GiB: frames are limited");
    bytes.extend_from_slice(&mdat_len.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.into()
}

fn encode(moof: &Moof, bytes: &mut Vec<u8>) {
    moof.encode(bytes).expect("encoding into memory fails only for offsets that were clamped before");
}

fn moof(kind: MediaKind, sequence_number: u32, decode_time: u64, samples: &[SampleEntry]) -> Moof {
    let video = kind == MediaKind::Video;
    let entry = |sample: &SampleEntry| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.size),
        flags: video.then_some(if sample.sync { FLAGS_SYNC } else { FLAGS_NON_SYNC }),
        cts: video.then(|| sample.composition_offset.clamp(i32::MIN.into(), i32::MAX.into())),
    };
    let trun = Trun { data_offset: Some(0), samples: samples.iter().map(entry).collect::<Vec<_>>().into() };
    let tfhd = Tfhd {
        track_id: track_id(kind),
        default_sample_flags: (!video).then_some(FLAGS_SYNC),
        default_base_is_moof: true,
        ..Tfhd::default()
    };
    Moof {
        mfhd: Mfhd { sequence_number },
        traf: vec![Traf {
            tfhd,
            tfdt: Some(Tfdt { base_media_decode_time: decode_time }),
            trun: vec![trun],
            ..Traf::default()
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::Decode;

    #[test]
    fn a_fragment_header_reads_back_and_points_at_its_payload() {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let samples = [
                SampleEntry { duration: 3_000, size: 5, sync: true, composition_offset: 6_000 },
                SampleEntry { duration: 3_003, size: 7, sync: false, composition_offset: -3 },
            ];
            let header = fragment_header(kind, 9, 1 << 40, &samples);
            let mut rest: &[u8] = &header;
            let moof = Moof::decode(&mut rest).expect("our own box");
            assert_eq!(rest, &[0, 0, 0, 8 + 12, b'm', b'd', b'a', b't']);
            let traf = &moof.traf[0];
            assert_eq!(traf.tfdt.as_ref().map(|tfdt| tfdt.base_media_decode_time), Some(1 << 40));
            let trun = &traf.trun[0];
            assert_eq!(trun.data_offset, Some(header.len() as i32));
            let read: Vec<_> = trun.samples.iter().map(|s| (s.duration, s.size, s.flags, s.cts)).collect();
            let expect = match kind {
                MediaKind::Video => vec![
                    (Some(3_000), Some(5), Some(FLAGS_SYNC), Some(6_000)),
                    (Some(3_003), Some(7), Some(FLAGS_NON_SYNC), Some(-3)),
                ],
                MediaKind::Audio => vec![(Some(3_000), Some(5), None, None), (Some(3_003), Some(7), None, None)],
            };
            assert_eq!(read, expect);
        }
    }
}
