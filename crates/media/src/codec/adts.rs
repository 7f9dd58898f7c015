//! AAC frames as a stream of their own: ADTS, ISO/IEC 14496-3 §1.A.2.2.

use super::AacConfig;

/// Without a checksum.
pub const ADTS_HEADER_LEN: usize = 7;
/// aac_frame_length has 13 bits and counts the header.
const FRAME_LEN_MAX: usize = (1 << 13) - 1;

/// The header that goes before a frame of `frame_len` bytes. `None` where ADTS cannot say what `config` does (a program
/// config element, frames of 960 samples, a rate of its own), and for a frame that is longer than AAC has any.
pub fn adts_header(config: &AacConfig, frame_len: usize) -> Option<[u8; ADTS_HEADER_LEN]> {
    let [object_type, index, channels] = config.short_form()?;
    let len = ADTS_HEADER_LEN + frame_len;
    (len <= FRAME_LEN_MAX).then_some([
        0xff,
        // MPEG-4, no checksum.
        0xf1,
        (object_type - 1) << 6 | index << 2 | channels >> 2,
        (channels & 3) << 6 | (len >> 11) as u8,
        (len >> 3) as u8,
        // The fullness of the buffer is not told; one block of data.
        (len << 5) as u8 | 0x1f,
        0xfc,
    ])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn headers_are_those_of_ffmpeg() {
        let check = |asc: &'static [u8], len: usize, expect: Option<[u8; 7]>| {
            let config = AacConfig::parse(Bytes::from_static(asc)).expect("valid");
            assert_eq!(adts_header(&config, len), expect, "{asc:02x?} {len}");
        };
        check(&[0x11, 0x90], 363, Some([0xff, 0xf1, 0x4c, 0x80, 0x2e, 0x5f, 0xfc]));
        check(&[0x12, 0x08], 6, Some([0xff, 0xf1, 0x50, 0x40, 0x01, 0xbf, 0xfc]));
        check(&[0x11, 0xb0], 8_184, Some([0xff, 0xf1, 0x4d, 0x83, 0xff, 0xff, 0xfc]));
        check(&[0x11, 0xb0], 8_185, None);
        // HE-AAC goes by its core; 960 samples, a program config element and a rate of its own have no header.
        check(&[0x2b, 0x11, 0x88, 0x00], 1, Some([0xff, 0xf1, 0x58, 0x80, 0x01, 0x1f, 0xfc]));
        check(&[0x12, 0x14], 1, None);
        check(&[0x12, 0x00], 1, None);
        check(&[0x17, 0x80, 0x3c, 0x00, 0x10], 1, None);
    }
}
