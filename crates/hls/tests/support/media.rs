//! Reads fMP4 bytes back into samples, independently of the packager.

use mp4_atom::{Decode, Header, Moof};

/// A sample with absolute times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSample {
    pub dts: i64,
    pub pts: i64,
    pub duration: i64,
    pub sync: bool,
    pub payload: Vec<u8>,
}

/// One `moof` and its `mdat`.
#[derive(Clone, Debug)]
pub struct ReadPart {
    pub decode_time: i64,
    pub samples: Vec<ReadSample>,
}

impl ReadPart {
    pub fn end(&self) -> i64 {
        self.decode_time + self.samples.iter().map(|sample| sample.duration).sum::<i64>()
    }
}

/// Reads a run of `moof` and `mdat` boxes.
pub fn read_parts(bytes: &[u8]) -> Vec<ReadPart> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let moof_at = rest;
        let moof = Moof::decode(&mut rest).expect("a moof box");
        let moof_len = moof_at.len() - rest.len();
        let mdat = Header::decode(&mut rest).expect("an mdat header");
        assert_eq!(mdat.kind.to_string(), "mdat");
        let payload = &rest[..mdat.size.expect("a size")];
        rest = &rest[payload.len()..];
        let [traf] = moof.traf.as_slice() else { panic!("one track") };
        assert!(traf.tfhd.default_base_is_moof, "CMAF: offsets count from moof");
        let [trun] = traf.trun.as_slice() else { panic!("one run") };
        assert_eq!(trun.data_offset, Some(moof_len as i32 + 8), "samples begin where mdat's payload does");
        let decode_time = traf.tfdt.as_ref().expect("tfdt").base_media_decode_time as i64;
        let (mut dts, mut at) = (decode_time, 0);
        let mut samples = Vec::new();
        for entry in trun.samples.iter() {
            let size = entry.size.expect("a size") as usize;
            let duration = i64::from(entry.duration.expect("a duration"));
            let flags = entry.flags.or(traf.tfhd.default_sample_flags).expect("flags");
            samples.push(ReadSample {
                dts,
                pts: dts + entry.cts.unwrap_or(0),
                duration,
                sync: flags & 0x1_0000 == 0,
                payload: payload[at..at + size].to_vec(),
            });
            dts += duration;
            at += size;
        }
        assert_eq!(at, payload.len(), "mdat holds the samples and nothing else");
        parts.push(ReadPart { decode_time, samples });
    }
    parts
}
