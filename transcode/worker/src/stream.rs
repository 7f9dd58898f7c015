//! Access units of the hub as the elementary streams that decoders read: with everything in band, so that no decoder needs
//! memory of ours to point to (its "extradata"), which would take unsafe code.

mod bits;
mod latm;

use telstar_media::codec::Av1Config;
use telstar_media::codec::annexb::to_annex_b;
use telstar_media::{Codec, CodecConfig};
use telstar_transcode::CodecRecord;

use crate::failure::Failure;

/// AV1-ISOBMFF §2.3.1: the record up to its OBUs.
const AV1_RECORD_HEADER_LEN: usize = 4;

/// How the frames of one input become packets for its decoder.
#[derive(Debug)]
pub enum ElementaryStream {
    /// NAL units between start codes, with the parameter sets of this configuration before keyframes.
    AnnexB(CodecConfig),
    /// LATM, with this AudioSpecificConfig in each packet.
    Latm(Vec<u8>),
    /// As it is, with these bytes before keyframes.
    Raw(Vec<u8>),
}

impl ElementaryStream {
    /// Of frames that are configured by `record`.
    pub fn new(record: &CodecRecord) -> Result<ElementaryStream, Failure> {
        if record.record.is_empty() && matches!(record.codec, Codec::Opus | Codec::Av1) {
            // Their frames say it all, as long as nothing unusual is in the record.
            return Ok(ElementaryStream::Raw(Vec::new()));
        }
        match record.config().map_err(|error| Failure::unsupported(error.to_string()))? {
            config @ (CodecConfig::H264(_) | CodecConfig::H265(_)) => Ok(ElementaryStream::AnnexB(config)),
            CodecConfig::Av1(Av1Config { av1c, .. }) => {
                Ok(ElementaryStream::Raw(av1c[AV1_RECORD_HEADER_LEN..].to_vec()))
            }
            CodecConfig::Aac(config) => Ok(ElementaryStream::Latm(config.asc.to_vec())),
            CodecConfig::Opus(config) if config.mapping.is_some() => {
                Err(Failure::unsupported("Opus with more than two channels is not converted"))
            }
            _ => Ok(ElementaryStream::Raw(Vec::new())),
        }
    }

    /// The bytes for the decoder. `None`: they are malformed.
    pub fn packet(&self, payload: &[u8], key: bool) -> Option<Vec<u8>> {
        match self {
            ElementaryStream::AnnexB(config) => to_annex_b(config, key, payload),
            ElementaryStream::Latm(asc) => latm::packet(asc, payload),
            ElementaryStream::Raw(before_key) if key => Some([before_key, payload].concat()),
            ElementaryStream::Raw(_) => Some(payload.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn surround_opus_is_refused_and_a_frame_without_a_record_is_as_it_is() {
        let header = telstar_media::codec::OpusConfig::surround(6).expect("5.1 is known").header();
        let record = CodecRecord { codec: Codec::Opus, record: header.into() };
        assert!(ElementaryStream::new(&record).is_err());
        let vp8 = ElementaryStream::new(&CodecRecord { codec: Codec::Vp8, record: Bytes::new() }).expect("no record");
        assert_eq!(vp8.packet(&[1, 2], true), Some(vec![1, 2]));
    }
}
