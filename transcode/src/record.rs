//! Codec configurations as bytes: the records that containers hold, and what their codec is.

use bytes::Bytes;
use telstar_media::codec::{AacConfig, Av1Config, H264Config, H265Config, OpusConfig, Vp8Config};
use telstar_media::{Codec, CodecConfig};

/// The longest record. That of HEVC has the highest limit of those that `telstar-media` reads.
pub const RECORD_BYTES_MAX: usize = 16 * 1_024;

/// A codec and its configuration as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecRecord {
    /// Which codec.
    pub codec: Codec,
    /// The record of its container binding, without a box; empty where the stream says everything.
    pub record: Bytes,
}

/// Why a record is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration of {} cannot be read", .0.name())]
pub struct RecordError(pub Codec);

impl CodecRecord {
    /// The record of `config`. Decoders of this program's workers need no more than it says.
    pub fn of(config: &CodecConfig) -> CodecRecord {
        let record = match config {
            CodecConfig::H264(config) => config.avcc.clone(),
            CodecConfig::H265(config) => config.hvcc.clone(),
            CodecConfig::Av1(config) => config.av1c.clone(),
            CodecConfig::Aac(config) => config.asc.clone(),
            CodecConfig::Opus(config) => config.header().into(),
            // VP8 has no record. This is ours: width and height, 16 bits each, which it cannot exceed.
            CodecConfig::Vp8(config) => {
                let [width, height] = [config.width, config.height].map(|side| (side as u16).to_be_bytes());
                [width, height].concat().into()
            }
            CodecConfig::Opaque { record, .. } => record.clone(),
            // Their frames say it all.
            _ => Bytes::new(),
        };
        CodecRecord { codec: config.codec(), record }
    }

    /// The configuration again, of the codecs that a worker makes and those whose record says everything.
    pub fn config(&self) -> Result<CodecConfig, RecordError> {
        let failed = RecordError(self.codec);
        Ok(match self.codec {
            Codec::H264 => CodecConfig::H264(H264Config::parse(&self.record).map_err(|_| failed)?),
            Codec::H265 => CodecConfig::H265(H265Config::parse(&self.record).map_err(|_| failed)?),
            Codec::Av1 => CodecConfig::Av1(Av1Config::parse(&self.record).map_err(|_| failed)?),
            Codec::Aac => CodecConfig::Aac(AacConfig::parse(self.record.clone()).map_err(|_| failed)?),
            Codec::Opus => CodecConfig::Opus(OpusConfig::parse(&self.record).map_err(|_| failed)?),
            Codec::Vp8 if !self.record.is_empty() => {
                let &[w0, w1, h0, h1] = &self.record[..] else { return Err(failed) };
                let [width, height] = [[w0, w1], [h0, h1]].map(|side| u32::from(u16::from_be_bytes(side)));
                CodecConfig::Vp8(Vp8Config { width, height })
            }
            Codec::Vp8 | Codec::Vp9 | Codec::Mp3 | Codec::Flac | Codec::Ac3 | Codec::Eac3 => {
                CodecConfig::Opaque { codec: self.codec, record: self.record.clone() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_come_out_of_their_records_again() {
        let check = |config: CodecConfig| assert_eq!(CodecRecord::of(&config).config(), Ok(config));
        check(CodecConfig::Vp8(Vp8Config { width: 16_383, height: 180 }));
        check(CodecConfig::Opus(OpusConfig::plain(2, 312)));
        check(CodecConfig::Aac(AacConfig::low_complexity(44_100, 1).expect("a known rate")));
        check(CodecConfig::Opaque { codec: Codec::Vp8, record: Bytes::new() });
        for codec in [Codec::Vp8, Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus] {
            let record = CodecRecord { codec, record: Bytes::from_static(&[1]) };
            assert_eq!(record.config(), Err(RecordError(codec)));
        }
    }
}
