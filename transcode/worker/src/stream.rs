//! Access units of the hub as the elementary streams that decoders read: with everything in band, so that no decoder needs
//! memory of ours to point to (its "extradata"), which would take unsafe code.

mod bits;
mod latm;

use telstar_media::codec::{Av1Config, H264Config, H265Config, nal_units};
use telstar_media::{Codec, CodecConfig};
use telstar_transcode::CodecRecord;

use crate::failure::Failure;

/// What NAL units stand behind in a byte stream.
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Into how many bytes the hub writes the length of a NAL unit.
const LENGTH_SIZE: u8 = 4;
/// AV1-ISOBMFF §2.3.1: the record up to its OBUs.
const AV1_RECORD_HEADER_LEN: usize = 4;

/// How the frames of one input become packets for its decoder.
#[derive(Debug)]
pub struct ElementaryStream {
    form: Form,
    /// What a decoder must see before a frame that stands alone.
    before_key: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    /// NAL units between start codes.
    ByteStream,
    /// LATM, with this AudioSpecificConfig in each packet.
    Latm(Vec<u8>),
    /// As it is.
    Raw,
}

impl ElementaryStream {
    /// Of frames that are configured by `record`.
    pub fn new(record: &CodecRecord) -> Result<ElementaryStream, Failure> {
        let raw = |before_key| Ok(ElementaryStream { form: Form::Raw, before_key });
        if record.record.is_empty() && matches!(record.codec, Codec::Opus | Codec::Av1) {
            // Their frames say it all, as long as nothing unusual is in the record.
            return raw(Vec::new());
        }
        let config = record.config().map_err(|error| Failure::unsupported(error.to_string()))?;
        match &config {
            CodecConfig::H264(config) => Ok(byte_stream(&h264_sets(config))),
            CodecConfig::H265(config) => Ok(byte_stream(&h265_sets(config))),
            CodecConfig::Av1(Av1Config { av1c, .. }) => raw(av1c[AV1_RECORD_HEADER_LEN..].to_vec()),
            CodecConfig::Aac(config) => {
                Ok(ElementaryStream { form: Form::Latm(config.asc.to_vec()), before_key: Vec::new() })
            }
            CodecConfig::Opus(config) if config.mapping.is_some() => {
                Err(Failure::unsupported("Opus with more than two channels is not converted"))
            }
            _ => raw(Vec::new()),
        }
    }

    /// The bytes for the decoder. `None`: they are malformed.
    pub fn packet(&self, payload: &[u8], key: bool) -> Option<Vec<u8>> {
        let mut packet = if key { self.before_key.clone() } else { Vec::new() };
        match &self.form {
            Form::Raw => packet.extend_from_slice(payload),
            Form::Latm(asc) => packet = latm::packet(asc, payload)?,
            Form::ByteStream => {
                packet.reserve(payload.len() + 16);
                for unit in nal_units(payload, LENGTH_SIZE) {
                    packet.extend(START_CODE);
                    packet.extend_from_slice(unit.ok()?);
                }
            }
        }
        Some(packet)
    }
}

fn byte_stream(sets: &[&[u8]]) -> ElementaryStream {
    let before_key = sets.iter().flat_map(|set| START_CODE.iter().chain(*set)).copied().collect();
    ElementaryStream { form: Form::ByteStream, before_key }
}

fn h264_sets(config: &H264Config) -> Vec<&[u8]> {
    let (sps, pps) = config.parameter_sets();
    sps.into_iter().chain(pps).collect()
}

fn h265_sets(config: &H265Config) -> Vec<&[u8]> {
    let sets = config.parameter_sets();
    sets.vps.into_iter().chain(sets.sps).chain(sets.pps).collect()
}

/// The NAL units of a byte stream, as encoders write it, without the zeros around them.
pub fn byte_stream_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START: [u8; 3] = [0, 0, 1];
    let find = |bytes: &[u8]| bytes.windows(START.len()).position(|window| window == START);
    let mut rest = find(stream).map(|at| &stream[at + START.len()..]);
    std::iter::from_fn(move || {
        let unit_and_more = rest?;
        let end = find(unit_and_more);
        rest = end.map(|at| &unit_and_more[at + START.len()..]);
        let unit = &unit_and_more[..end.unwrap_or(unit_and_more.len())];
        // ITU-T H.264 §7.4.1: a unit never ends in a zero byte; what does belongs to the next start code.
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&unit[..len])
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn parameter_sets_stand_before_every_key_frame_and_no_other() {
        let stream = byte_stream(&[&[0x67, 1], &[0x68, 2]]);
        let payload = [0, 0, 0, 2, 0x65, 3, 0, 0, 0, 1, 0x41];
        let with_sets = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3, 0, 0, 0, 1, 0x41];
        assert_eq!(stream.packet(&payload, true).as_deref(), Some(&with_sets[..]));
        assert_eq!(stream.packet(&payload, false).as_deref(), Some(&with_sets[12..]));
        let again: Vec<&[u8]> = byte_stream_units(&with_sets).collect();
        assert_eq!(again, [&[0x67u8, 1][..], &[0x68, 2], &[0x65, 3], &[0x41]]);
        assert_eq!(stream.packet(&payload[..5], true), None, "a length that overruns");
    }

    #[test]
    fn surround_opus_is_refused_and_a_frame_without_a_record_is_as_it_is() {
        let header = telstar_media::codec::OpusConfig::surround(6).expect("5.1 is known").header();
        let record = CodecRecord { codec: Codec::Opus, record: header.into() };
        assert!(ElementaryStream::new(&record).is_err());
        let vp8 = ElementaryStream::new(&CodecRecord { codec: Codec::Vp8, record: Bytes::new() }).expect("no record");
        assert_eq!(vp8.packet(&[1, 2], true), Some(vec![1, 2]));
    }
}
