//! Opus: the identification header (RFC 7845 §5.1) and the duration of packets (RFC 6716 §3.1).

/// §5.1: the magic signature.
const MAGIC: &[u8; 8] = b"OpusHead";
/// The clock of every Opus track, whatever the encoder was fed with (RFC 7845 §4).
pub const OPUS_SAMPLE_RATE: u32 = 48_000;
/// RFC 6716 §3.2.5: at most 120 ms in one packet.
const PACKET_SAMPLES_MAX: u32 = 5_760;

/// What an identification header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusConfig {
    /// Output channels.
    pub channels: u8,
    /// Samples at 48 kHz to discard at the start.
    pub pre_skip: u16,
    /// What the encoder was fed with, in Hz; a hint for people, 0 where it is not known.
    pub input_sample_rate: u32,
    /// Gain to apply when decoding, in 1/256 dB.
    pub output_gain: i16,
    /// `None` for family 0, which is mono or stereo.
    pub mapping: Option<OpusMapping>,
}

/// Channel mapping of another family than 0, §5.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusMapping {
    /// 1: Vorbis order; 2 and 3: ambisonics (RFC 8486); 255: no meaning.
    pub family: u8,
    /// Opus streams in each packet.
    pub streams: u8,
    /// How many of them are stereo; they come first.
    pub coupled: u8,
    /// For each output channel the decoded one, or 255 for silence.
    pub table: Vec<u8>,
}

/// Why an identification header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// The header ends too early.
    #[error("the Opus header is truncated")]
    Truncated,
    /// It does not begin with `OpusHead`.
    #[error("the Opus header does not begin with OpusHead")]
    Magic,
    /// A major version other than 0.
    #[error("Opus header version {0} is not known")]
    Version(u8),
    /// No channel, or more than the mapping family has.
    #[error("the Opus header has an invalid channel count")]
    Channels,
    /// The mapping table contradicts itself.
    #[error("the Opus header has an invalid channel mapping")]
    Mapping,
}

impl OpusConfig {
    /// Mono or stereo without more: what a stream without a header is.
    pub fn plain(channels: u8, pre_skip: u16) -> OpusConfig {
        OpusConfig { channels, pre_skip, input_sample_rate: OPUS_SAMPLE_RATE, output_gain: 0, mapping: None }
    }

    /// More than two channels in Vorbis order, packed as libopus does it: what a stream of so many channels without a
    /// header is. `None` for other counts than 3 to 8.
    pub fn surround(channels: u8) -> Option<OpusConfig> {
        let (streams, coupled, table): (u8, u8, &[u8]) = match channels {
            3 => (2, 1, &[0, 2, 1]),
            4 => (2, 2, &[0, 1, 2, 3]),
            5 => (3, 2, &[0, 4, 1, 2, 3]),
            6 => (4, 2, &[0, 4, 1, 2, 3, 5]),
            7 => (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
            8 => (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
            _ => return None,
        };
        let mapping = OpusMapping { family: 1, streams, coupled, table: table.to_vec() };
        Some(OpusConfig { mapping: Some(mapping), ..OpusConfig::plain(channels, 0) })
    }

    /// Reads an identification header, as Ogg and RTMP's sequence header hold it.
    pub fn parse(header: &[u8]) -> Result<OpusConfig, OpusError> {
        let prefix = header.len().min(MAGIC.len());
        if header[..prefix] != MAGIC[..prefix] {
            return Err(OpusError::Magic);
        }
        let (_, rest) = header.split_first_chunk::<8>().ok_or(OpusError::Truncated)?;
        let (fixed, rest) = rest.split_first_chunk::<11>().ok_or(OpusError::Truncated)?;
        let &[version, channels, skip0, skip1, r0, r1, r2, r3, gain0, gain1, family] = fixed;
        // §5.1: versions up to 15 can be read by whoever reads 1.
        if version > 15 {
            return Err(OpusError::Version(version));
        }
        let mapping = match family {
            0 if (1..=2).contains(&channels) => None,
            1 if !(1..=8).contains(&channels) => return Err(OpusError::Channels),
            0 => return Err(OpusError::Channels),
            _ if channels == 0 => return Err(OpusError::Channels),
            _ => Some(mapping(family, channels, rest)?),
        };
        Ok(OpusConfig {
            channels,
            pre_skip: u16::from_le_bytes([skip0, skip1]),
            input_sample_rate: u32::from_le_bytes([r0, r1, r2, r3]),
            output_gain: i16::from_le_bytes([gain0, gain1]),
            mapping,
        })
    }

    /// The header again.
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, self.channels]);
        bytes.extend(self.pre_skip.to_le_bytes());
        bytes.extend(self.input_sample_rate.to_le_bytes());
        bytes.extend(self.output_gain.to_le_bytes());
        match &self.mapping {
            None => bytes.push(0),
            Some(mapping) => {
                bytes.extend([mapping.family, mapping.streams, mapping.coupled]);
                bytes.extend_from_slice(&mapping.table);
            }
        }
        bytes
    }
}

/// §5.1.1.
fn mapping(family: u8, channels: u8, bytes: &[u8]) -> Result<OpusMapping, OpusError> {
    let &[streams, coupled, ref table @ ..] = bytes else { return Err(OpusError::Truncated) };
    let table = table.get(..usize::from(channels)).ok_or(OpusError::Truncated)?;
    let decoded = u16::from(streams) + u16::from(coupled);
    let known = |index: &u8| *index == 255 || u16::from(*index) < decoded;
    if streams == 0 || coupled > streams || decoded > 255 || !table.iter().all(known) {
        return Err(OpusError::Mapping);
    }
    Ok(OpusMapping { family, streams, coupled, table: table.to_vec() })
}

/// Samples at 48 kHz in an Opus packet, from its table-of-contents byte (RFC 6716 §3.1). 0 for an empty packet.
pub fn opus_duration(packet: &[u8]) -> u32 {
    let Some(&toc) = packet.first() else { return 0 };
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms.
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        // Hybrid: 10, 20 ms.
        config @ 12..=15 => [480, 960][usize::from(config % 2)],
        // CELT: 2.5, 5, 10, 20 ms.
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).copied().unwrap_or(0) & 0x3f),
    };
    // More is malformed and counted as the most.
    (frame * frames).min(PACKET_SAMPLES_MAX)
}

/// Channels of a packet of one stream, from its table-of-contents byte (RFC 6716 §3.1).
pub fn opus_channels(packet: &[u8]) -> Option<u8> {
    packet.first().map(|toc| if toc & 4 == 0 { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as libopus' tools write them: stereo, and 5.1 in Vorbis order.
    const STEREO: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
    const SURROUND: &[u8] = b"OpusHead\x01\x06\x38\x01\x44\xac\x00\x00\xfe\xff\x01\x04\x02\x00\x04\x01\x02\x03\x05";

    #[test]
    fn headers_are_read_and_written_alike() {
        let stereo = OpusConfig::parse(STEREO).expect("valid");
        assert_eq!(stereo, OpusConfig::plain(2, 312));
        let surround = OpusConfig::parse(SURROUND).expect("valid");
        assert_eq!((surround.channels, surround.input_sample_rate, surround.output_gain), (6, 44_100, -2));
        let mapping = surround.mapping.as_ref().expect("family 1");
        assert_eq!((mapping.family, mapping.streams, mapping.coupled), (1, 4, 2));
        assert_eq!([stereo.header(), surround.header()], [STEREO, SURROUND]);
    }

    #[test]
    fn surround_without_a_header_is_what_a_header_would_say() {
        for channels in 0..=255 {
            let Some(config) = OpusConfig::surround(channels) else { continue };
            assert_eq!(OpusConfig::parse(&config.header()), Ok(config), "{channels}");
        }
        assert_eq!((3..=8).filter_map(OpusConfig::surround).count(), 6);
    }

    #[test]
    fn bad_headers_say_what_is_wrong() {
        let with = |at: usize, value: u8| {
            let mut header = SURROUND.to_vec();
            header[at] = value;
            OpusConfig::parse(&header)
        };
        assert_eq!(with(0, b'o'), Err(OpusError::Magic));
        assert_eq!(with(8, 16), Err(OpusError::Version(16)));
        assert_eq!(with(9, 0), Err(OpusError::Channels));
        assert_eq!(with(9, 9), Err(OpusError::Channels));
        assert_eq!(with(18, 0), Err(OpusError::Channels));
        for (at, value) in [(19, 0), (20, 5), (21, 6)] {
            assert_eq!(with(at, value), Err(OpusError::Mapping), "{at}");
        }
    }

    #[test]
    fn truncation_at_every_byte_is_an_error() {
        for header in [STEREO, SURROUND] {
            for len in 0..header.len() {
                assert_eq!(OpusConfig::parse(&header[..len]), Err(OpusError::Truncated), "{len}");
            }
        }
    }

    #[test]
    fn durations_and_channels_are_those_of_the_table_of_contents() {
        // SILK 20 ms mono; hybrid 10 ms twice; CELT 2.5 ms; CELT 20 ms stereo, six of them; a count of 63 is malformed.
        for (packet, samples, channels) in [
            (&[0x08][..], 960, 1),
            (&[0x61], 960, 1),
            (&[0x78], 960, 1),
            (&[0xfd], 1_920, 2),
            (&[0x80], 120, 1),
            (&[0xff, 6], 5_760, 2),
            (&[0xff, 63], 5_760, 2),
            (&[0xff], 0, 2),
        ] {
            assert_eq!((opus_duration(packet), opus_channels(packet)), (samples, Some(channels)), "{packet:02x?}");
        }
        assert_eq!((opus_duration(&[]), opus_channels(&[])), (0, None));
    }
}
