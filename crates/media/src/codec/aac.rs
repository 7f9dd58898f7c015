//! AAC: AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1.

use bytes::Bytes;

use super::bits::BitReader;

/// The longest AudioSpecificConfig accepted. Real ones have 2 to 64 bytes; more is an attack or an error.
const ASC_LEN_MAX: usize = 256;
/// Table 1.18, samplingFrequencyIndex.
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
const OBJECT_TYPE_LC: u8 = 2;
const OBJECT_TYPE_SBR: u8 = 5;
const OBJECT_TYPE_PS: u8 = 29;

/// What an AudioSpecificConfig says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The record as it came.
    pub asc: Bytes,
    /// Audio object type of the core or, for explicit SBR/PS signalling, 5 or 29.
    pub object_type: u8,
    /// Samples per second of the AAC core, which is the clock of the track.
    pub sample_rate: u32,
    /// Output channels: 1 to 8, or 2 when a program config element carries them.
    pub channels: u8,
    /// Samples of one frame at `sample_rate`: 1,024 or 960.
    pub frame_samples: u32,
}

/// Why an AudioSpecificConfig cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// The record ends too early.
    #[error("the AudioSpecificConfig is truncated")]
    Truncated,
    /// The record is longer than any real one.
    #[error("the AudioSpecificConfig is longer than 256 bytes")]
    TooLong,
    /// A reserved sampling frequency, or zero.
    #[error("the AudioSpecificConfig has an invalid sampling frequency")]
    SampleRate,
    /// A reserved channel configuration.
    #[error("the AudioSpecificConfig has an invalid channel configuration")]
    Channels,
    /// Not AAC.
    #[error("audio object type {0} is not AAC")]
    ObjectType(u8),
}

impl AacConfig {
    /// Reads an AudioSpecificConfig.
    pub fn parse(asc: Bytes) -> Result<AacConfig, AacError> {
        if asc.len() > ASC_LEN_MAX {
            return Err(AacError::TooLong);
        }
        let mut reader = BitReader::new(&asc);
        let object_type = object_type(&mut reader).ok_or(AacError::Truncated)?;
        let sample_rate = sample_rate(&mut reader)?;
        let channel_configuration = reader.bits(4).ok_or(AacError::Truncated)?;
        let mut core_type = object_type;
        if object_type == OBJECT_TYPE_SBR || object_type == OBJECT_TYPE_PS {
            // Explicit hierarchical signalling: the extension's rate, then the core's type.
            self::sample_rate(&mut reader)?;
            core_type = self::object_type(&mut reader).ok_or(AacError::Truncated)?;
        }
        // GASpecificConfig of AAC Main, LC, SSR, LTP and scalable; 42 (USAC) frames otherwise and is not taken.
        if !matches!(core_type, 1..=4 | 6 | 17 | 19..=20 | 23) {
            return Err(AacError::ObjectType(core_type));
        }
        let short_frames = reader.bit().ok_or(AacError::Truncated)?;
        let channels = match channel_configuration {
            0 => 2,
            1..=6 => channel_configuration as u8,
            7 => 8,
            11 => 7,
            12 | 14 => 8,
            _ => return Err(AacError::Channels),
        };
        let frame_samples = if short_frames { 960 } else { 1_024 };
        Ok(AacConfig { object_type, sample_rate, channels, frame_samples, asc })
    }

    /// AAC-LC as encoders make it. `None` for a rate or a number of channels that it has no short form for.
    pub fn low_complexity(sample_rate: u32, channels: u8) -> Option<AacConfig> {
        let index = SAMPLE_RATES.iter().position(|rate| *rate == sample_rate)? as u16;
        let channel_configuration = match channels {
            1..=6 => u16::from(channels),
            8 => 7,
            _ => return None,
        };
        let asc = u16::from(OBJECT_TYPE_LC) << 11 | index << 7 | channel_configuration << 3;
        AacConfig::parse(Bytes::copy_from_slice(&asc.to_be_bytes())).ok()
    }

    /// `mp4a.40.N`, RFC 6381 §3.3.
    pub fn rfc6381(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}

fn object_type(reader: &mut BitReader<'_>) -> Option<u8> {
    match reader.bits(5)? {
        31 => Some(32 + reader.bits(6)? as u8),
        short => Some(short as u8),
    }
}

fn sample_rate(reader: &mut BitReader<'_>) -> Result<u32, AacError> {
    let index = reader.bits(4).ok_or(AacError::Truncated)?;
    let rate = match index {
        15 => reader.bits(24).ok_or(AacError::Truncated)?,
        _ => *SAMPLE_RATES.get(index as usize).ok_or(AacError::SampleRate)?,
    };
    // Above 192 kHz nothing real exists; the bound keeps later arithmetic in range.
    if (1..=192_000).contains(&rate) { Ok(rate) } else { Err(AacError::SampleRate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &'static [u8], expect: Result<(u8, u32, u8, u32), AacError>) {
        let parsed = AacConfig::parse(Bytes::from_static(bytes));
        assert_eq!(parsed.map(|c| (c.object_type, c.sample_rate, c.channels, c.frame_samples)), expect);
    }

    #[test]
    fn audio_specific_configs_of_real_encoders() {
        check(&[0x12, 0x10], Ok((2, 44_100, 2, 1_024)));
        check(&[0x11, 0x90, 0x56, 0xe5, 0x00], Ok((2, 48_000, 2, 1_024)));
        check(&[0x11, 0xb0], Ok((2, 48_000, 6, 1_024)));
        check(&[0x12, 0x08], Ok((2, 44_100, 1, 1_024)));
        check(&[0x12, 0x14], Ok((2, 44_100, 2, 960)));
        // HE-AAC, explicit: core 24 kHz, extension 48 kHz.
        check(&[0x2b, 0x11, 0x88, 0x00], Ok((5, 24_000, 2, 1_024)));
    }

    #[test]
    fn low_complexity_is_what_encoders_write() {
        let check = |rate, channels, expect: Option<&[u8]>| {
            let config = AacConfig::low_complexity(rate, channels);
            let facts = config.as_ref().map(|config| (&config.asc[..], config.sample_rate, config.channels));
            assert_eq!(facts, expect.map(|asc| (asc, rate, channels)));
        };
        check(48_000, 2, Some(&[0x11, 0x90]));
        check(44_100, 1, Some(&[0x12, 0x08]));
        check(48_000, 6, Some(&[0x11, 0xb0]));
        check(96_000, 8, Some(&[0x10, 0x38]));
        check(48_000, 7, None);
        check(48_000, 0, None);
        check(12_345, 2, None);
    }

    #[test]
    fn bad_records_say_what_is_wrong() {
        check(&[], Err(AacError::Truncated));
        check(&[0x12], Err(AacError::Truncated));
        check(&[0x16, 0x90], Err(AacError::SampleRate));
        check(&[0x12, 0x78], Err(AacError::Channels));
        check(&[0xf9, 0x48, 0x00, 0x00], Err(AacError::ObjectType(42)));
    }

    #[test]
    fn every_truncation_is_an_error_or_a_config() {
        let whole = [0x2b, 0x11, 0x88, 0x00];
        for len in 0..whole.len() {
            let _ = AacConfig::parse(Bytes::copy_from_slice(&whole[..len]));
        }
    }
}
