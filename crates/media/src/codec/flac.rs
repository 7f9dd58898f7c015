//! FLAC: the streaminfo block (RFC 9639 §8.2) and the block size in frame headers (§9.1).

use bytes::Bytes;

/// §6: the marker of a FLAC stream.
const MARKER: &[u8] = b"fLaC";
/// §8.2.
const STREAM_INFO_LEN: usize = 34;
/// §8.1: a block's header, and the type of the first one behind the flag for the last.
const BLOCK_HEADER_LEN: usize = 4;
const STREAM_INFO_TYPE: u8 = 0;

/// What a streaminfo block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlacConfig {
    /// The block's 34 bytes as they came.
    pub stream_info: Bytes,
    /// Samples per second.
    pub sample_rate: u32,
    /// 1 to 8.
    pub channels: u8,
    /// 4 to 32.
    pub bits_per_sample: u8,
}

/// Why a streaminfo block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlacError {
    /// The block ends too early.
    #[error("the FLAC streaminfo is truncated")]
    Truncated,
    /// The first metadata block is another one.
    #[error("the first FLAC metadata block is not streaminfo")]
    NotStreamInfo,
    /// A block size, sample rate or depth that the standard does not allow.
    #[error("the FLAC streaminfo is invalid")]
    Invalid,
}

impl FlacConfig {
    /// Reads the beginning of a FLAC stream: the marker and the streaminfo block, as RTMP's sequence header holds them;
    /// also without the marker, or the block's 34 bytes alone, as a Matroska file or an encoder's own API gives them.
    pub fn parse(header: &[u8]) -> Result<FlacConfig, FlacError> {
        let blocks = header.strip_prefix(MARKER).unwrap_or(header);
        let block = if blocks.len() == STREAM_INFO_LEN && blocks.len() == header.len() {
            blocks
        } else {
            let (&[kind, ref len @ ..], body) =
                blocks.split_first_chunk::<BLOCK_HEADER_LEN>().ok_or(FlacError::Truncated)?;
            if kind & 0x7f != STREAM_INFO_TYPE || *len != [0, 0, STREAM_INFO_LEN as u8] {
                return Err(FlacError::NotStreamInfo);
            }
            body
        };
        let block = block.get(..STREAM_INFO_LEN).ok_or(FlacError::Truncated)?;
        // Block sizes (2 × 16 bits) and frame sizes (2 × 24), then 20 bits of rate, 3 of channels, 5 of depth.
        let sizes = [block[0], block[1], block[2], block[3]].map(u16::from);
        let (least, most) = (sizes[0] << 8 | sizes[1], sizes[2] << 8 | sizes[3]);
        let packed = u32::from_be_bytes([block[10], block[11], block[12], block[13]]);
        let sample_rate = packed >> 12;
        let channels = (packed >> 9 & 7) as u8 + 1;
        let bits_per_sample = (packed >> 4 & 0x1f) as u8 + 1;
        // §8.2: blocks have 16 samples or more; a rate of 0 is for what is not sound.
        if least < 16 || most < least || sample_rate == 0 || bits_per_sample < 4 {
            return Err(FlacError::Invalid);
        }
        Ok(FlacConfig { stream_info: Bytes::copy_from_slice(block), sample_rate, channels, bits_per_sample })
    }
}

/// Samples of one channel in a FLAC frame, from its header (§9.1); `None` for what is no frame.
pub fn flac_frame_samples(frame: &[u8]) -> Option<u32> {
    let &[sync, strategy, sizes, _, number, ..] = frame else { return None };
    // §9.1: 15 bits of sync code and one of strategy.
    if sync != 0xff || strategy & 0xfe != 0xf8 {
        return None;
    }
    // §9.1.5: the coded number has as many bytes as its first one has leading ones, or one.
    let number_len = match number.leading_ones() {
        0 => 1,
        len @ 2..=7 => len as usize,
        _ => return None,
    };
    let behind = frame.get(4 + number_len..)?;
    // §9.1.1.
    match sizes >> 4 {
        0 => None,
        1 => Some(192),
        code @ 2..=5 => Some(144 << code),
        6 => Some(u32::from(*behind.first()?) + 1),
        7 => Some(u32::from(u16::from_be_bytes(*behind.first_chunk()?)) + 1),
        code => Some(1 << code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libFLAC's streaminfo for 44.1 kHz stereo of 16 bits in blocks of 4,608 samples.
    const BLOCK: &[u8] = &[
        0x12, 0x00, 0x12, 0x00, 0x00, 0x00, 0x0e, 0x00, 0x2f, 0x40, 0x0a, 0xc4, 0x42, 0xf0, 0x00, 0x00, 0x00, 0x00, 1,
        2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ];

    #[test]
    fn the_block_is_read_in_each_wrapping() {
        let with_header = [&[0x80, 0, 0, 34], BLOCK].concat();
        for header in [BLOCK.to_vec(), with_header.clone(), [MARKER, &with_header].concat()] {
            let config = FlacConfig::parse(&header).expect("valid");
            assert_eq!((config.sample_rate, config.channels, config.bits_per_sample), (44_100, 2, 16));
            assert_eq!(config.stream_info, BLOCK);
            assert_eq!(FlacConfig::parse(&config.stream_info), Ok(config));
        }
    }

    #[test]
    fn bad_blocks_and_every_truncation_are_errors() {
        let whole = [MARKER, &[0x80, 0, 0, 34], BLOCK].concat();
        for len in 0..whole.len() {
            assert!(FlacConfig::parse(&whole[..len]).is_err(), "{len}");
        }
        let with = |at: usize, value: u8| {
            let mut header = whole.clone();
            header[at] = value;
            FlacConfig::parse(&header)
        };
        assert_eq!(with(4, 0x84), Err(FlacError::NotStreamInfo));
        assert_eq!(with(7, 35), Err(FlacError::NotStreamInfo));
        assert_eq!(with(8, 0), Err(FlacError::Invalid), "a block of no samples");
        assert_eq!(with(10, 1), Err(FlacError::Invalid), "a largest block below the least");
    }

    #[test]
    fn block_sizes_are_those_of_the_frame_header() {
        for (header, samples) in [
            (&[0xff, 0xf8, 0xc9, 0x18, 0x00, 0xc2][..], Some(4_096)),
            (&[0xff, 0xf8, 0x59, 0x18, 0x00, 0xc2], Some(4_608)),
            (&[0xff, 0xf8, 0x19, 0x18, 0x00, 0xc2], Some(192)),
            (&[0xff, 0xf9, 0x69, 0x18, 0xc2, 0x80, 99, 0], Some(100)),
            (&[0xff, 0xf8, 0x79, 0x18, 0x7f, 0x03, 0xff, 0], Some(1_024)),
            (&[0xff, 0xf8, 0xf9, 0x18, 0xfe, 1, 2, 3, 4, 5, 6, 7], Some(32_768)),
            (&[0xff, 0xf8, 0x09, 0x18, 0x00, 0xc2], None),
            (&[0xff, 0xfa, 0xc9, 0x18, 0x00, 0xc2], None),
            (&[0xff, 0xf8, 0xc9, 0x18, 0x80, 0xc2], None),
            (&[0xff, 0xf8, 0xc9, 0x18], None),
            (&[0xff, 0xf8, 0x79, 0x18, 0x00, 0x03], None),
        ] {
            assert_eq!(flac_frame_samples(header), samples, "{header:02x?}");
        }
    }
}
