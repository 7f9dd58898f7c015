//! H.264 and H.265 between ISO samples and byte streams (ITU-T H.264 and H.265, Annex B), as FFmpeg's decoders and
//! encoders have them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::nal::{byte_stream_units, nal_units};
use super::{CodecConfig, H264Config, H264Error, H265ParameterSets, NalKind, ParameterSetsById, h264_parameter_set_id};

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// ITU-T H.264 table 7-1: filler data, which samples do not hold (ISO/IEC 14496-15 §5.2.2).
const FILLER: u8 = 12;

/// An ISO sample as a byte stream, with the parameter sets of `config` before a key picture. `None` when `config` is of
/// another codec, and when the lengths in the sample do not fit.
pub fn to_annex_b(config: &CodecConfig, key: bool, sample: &[u8]) -> Option<Vec<u8>> {
    let sets = match config {
        _ if !key => Vec::new(),
        CodecConfig::H264(config) => {
            let (sps, pps) = config.parameter_sets();
            [sps, pps].concat()
        }
        CodecConfig::H265(config) => {
            let H265ParameterSets { vps, sps, pps } = config.parameter_sets();
            [vps, sps, pps].concat()
        }
        _ => return None,
    };
    if !matches!(config, CodecConfig::H264(_) | CodecConfig::H265(_)) {
        return None;
    }
    let mut stream = Vec::with_capacity(sample.len() + 256);
    for unit in sets.into_iter().map(Ok).chain(nal_units(sample, 4)) {
        stream.extend_from_slice(&START_CODE);
        stream.extend_from_slice(unit.ok()?);
    }
    Some(stream)
}

/// An access unit as an ISO sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The same `Arc` until the encoder's parameter sets change.
    pub config: Arc<CodecConfig>,
    /// It is an instantaneous decoder refresh.
    pub key: bool,
    /// NAL units behind 4-byte lengths, without parameter sets, delimiters and filler.
    pub payload: Bytes,
}

/// What an H.264 encoder such as x264 writes, parameter sets in band, as samples.
#[derive(Debug, Default)]
pub struct AnnexBReader {
    sps: ParameterSetsById,
    pps: ParameterSetsById,
    config: Option<Arc<CodecConfig>>,
    sets_changed: bool,
}

impl AnnexBReader {
    /// Reads one access unit, which is what an encoder gives at a time. `None` when there is no picture in it, or none
    /// that can be shown because no key picture with parameter sets came before it.
    pub fn read(&mut self, access_unit: &[u8]) -> Result<Option<Sample>, H264Error> {
        let (mut key, mut has_slice) = (false, false);
        let mut payload = BytesMut::with_capacity(access_unit.len() + 16);
        for unit in byte_stream_units(access_unit) {
            let Some(&header) = unit.first() else { continue };
            match NalKind::of(header) {
                NalKind::Sps => {
                    if self.sps.put(h264_parameter_set_id(unit), unit) {
                        // They mean something else now, and come again behind it.
                        self.pps.clear();
                        self.sets_changed = true;
                    }
                }
                NalKind::Pps => self.sets_changed |= self.pps.put(h264_parameter_set_id(unit), unit),
                NalKind::Delimiter | NalKind::Other(FILLER) => {}
                kind => {
                    key |= kind == NalKind::Idr;
                    has_slice |= matches!(kind, NalKind::Idr | NalKind::Slice);
                    payload.put_u32(unit.len() as u32);
                    payload.put_slice(unit);
                }
            }
        }
        if key && self.sets_changed {
            let config = H264Config::from_parameter_sets(&self.sps.units(), &self.pps.units())?;
            self.config = Some(Arc::new(CodecConfig::H264(config)));
            self.sets_changed = false;
        }
        let config = self.config.clone().filter(|_| has_slice);
        Ok(config.map(|config| Sample { config, key, payload: payload.freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::H265Config;

    /// libx264's record for 320x180 Baseline.
    const RECORD: [u8; 41] = [
        0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01,
        0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05,
        0x68, 0xcb, 0x83, 0xcb, 0x20,
    ];
    /// libx265's for 128x96, and where its parameter sets are.
    const HVCC: &str = "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959409a10001002942010101600000030090000003000003001ea01020616595952930bc05a02000000300200000030321a2000100064401c073c189";

    fn h264() -> CodecConfig {
        CodecConfig::H264(H264Config::parse(&RECORD).expect("valid"))
    }

    fn sample(units: &[Vec<u8>]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), &unit[..]].concat()).collect()
    }

    #[test]
    fn key_pictures_bring_their_parameter_sets_and_others_do_not() {
        let idr = to_annex_b(&h264(), true, &[0, 0, 0, 2, 0x65, 1]).expect("fits");
        let expect = [&START_CODE, &RECORD[8..33], &START_CODE, &RECORD[36..], &START_CODE, &[0x65, 1]].concat();
        assert_eq!(idr, expect);
        assert_eq!(to_annex_b(&h264(), false, &[0, 0, 0, 1, 0x41]), Some(vec![0, 0, 0, 1, 0x41]));
        assert_eq!(to_annex_b(&h264(), false, &[0, 0, 0, 2, 0x41]), None);
        let opus = CodecConfig::Opus(crate::codec::OpusConfig::plain(2, 0));
        assert_eq!(to_annex_b(&opus, true, &[]), None);
        assert_eq!(to_annex_b(&opus, false, &[]), None);
    }

    #[test]
    fn h265_has_three_kinds_of_them() {
        let hvcc: Vec<u8> =
            (0..HVCC.len()).step_by(2).map(|at| u8::from_str_radix(&HVCC[at..at + 2], 16).expect("hex")).collect();
        let config = CodecConfig::H265(H265Config::parse(&hvcc).expect("valid"));
        let stream = to_annex_b(&config, true, &[0, 0, 0, 3, 0x26, 1, 9]).expect("fits");
        let kinds: Vec<u8> = byte_stream_units(&stream).map(|unit| unit[0] >> 1).collect();
        assert_eq!(kinds, [32, 33, 34, 19]);
    }

    #[test]
    fn what_x264_writes_becomes_samples() {
        let mut reader = AnnexBReader::default();
        let read = |reader: &mut AnnexBReader, units: &[&[u8]]| {
            let stream: Vec<u8> = units.iter().flat_map(|unit| [&START_CODE, *unit].concat()).collect();
            reader.read(&stream)
        };
        let (delimiter, sps, pps, sei) = (&[0x09, 0xf0][..], &RECORD[8..33], &RECORD[36..], &[0x06, 5, 1, 2, 0x80][..]);
        let (idr, slice, filler) = (&[0x65, 0x88, 1][..], &[0x41, 0x9a, 1][..], &[0x0c, 0xff, 0x80][..]);
        assert_eq!(read(&mut reader, &[slice]), Ok(None), "nothing says what it is of");
        let key = read(&mut reader, &[delimiter, sps, pps, sei, idr, filler]).expect("valid").expect("a picture");
        assert_eq!(*key.config, h264());
        assert!(key.key);
        assert_eq!(key.payload, sample(&[sei.to_vec(), idr.to_vec()]));
        let next = read(&mut reader, &[delimiter, slice]).expect("valid").expect("a picture");
        assert_eq!((next.key, &next.payload[..]), (false, &sample(&[slice.to_vec()])[..]));
        let again = read(&mut reader, &[sps, pps, idr]).expect("valid").expect("a picture");
        assert!(Arc::ptr_eq(&again.config, &key.config) && Arc::ptr_eq(&next.config, &key.config));
        assert_eq!(read(&mut reader, &[delimiter, sei]), Ok(None));
        assert_eq!(read(&mut AnnexBReader::default(), &[pps, idr]), Err(H264Error::NoParameterSets));
    }

    proptest! {
        #[test]
        fn samples_come_back_as_they_were(bodies in prop::collection::vec(prop::collection::vec(1u8.., 1..40), 1..5)) {
            let units: Vec<Vec<u8>> = bodies.iter().map(|body| [&[0x65], &body[..]].concat()).collect();
            let stream = to_annex_b(&h264(), true, &sample(&units)).expect("fits");
            let read = AnnexBReader::default().read(&stream).expect("valid").expect("a picture");
            prop_assert_eq!(&*read.config, &h264());
            prop_assert_eq!(read.payload, sample(&units));
            for len in 0..stream.len() {
                let _ = AnnexBReader::default().read(&stream[..len]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 0x65, 0x67, 0x68, 9, 255]), 0..200)) {
            let _ = AnnexBReader::default().read(&bytes);
            let _ = to_annex_b(&h264(), true, &bytes);
        }
    }
}
