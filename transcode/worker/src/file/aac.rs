//! AAC of a file as frames of fMP4: with its configuration told apart from them.

use telstar_media::codec::AacConfig;

/// ISO/IEC 13818-7 Table 35, sampling_frequency_index.
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Of an ADTS header without and with a checksum.
const HEADER_LEN: usize = 7;
const CHECKED_HEADER_LEN: usize = 9;
/// ISO/IEC 13818-7 Table 31: low complexity.
const PROFILE_LC: u8 = 1;

/// A frame without its ADTS header, and what that header says. `None`: there is none, or it is not of low complexity.
pub fn adts(packet: &[u8]) -> Option<(AacConfig, &[u8])> {
    let &[0xff, sync, kind, channels, ..] = packet.get(..HEADER_LEN)? else { return None };
    if sync & 0xf6 != 0xf0 || kind >> 6 != PROFILE_LC {
        return None;
    }
    let sample_rate = SAMPLE_RATES.get(usize::from(kind >> 2 & 0xf))?;
    let config = AacConfig::low_complexity(*sample_rate, (kind & 1) << 2 | channels >> 6)?;
    let header_len = if sync & 1 == 1 { HEADER_LEN } else { CHECKED_HEADER_LEN };
    Some((config, packet.get(header_len..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_the_frame_is() {
        let packet = [0xff, 0xf1, 0x50, 0x80, 0x01, 0x3f, 0xfc, 7, 8];
        let (config, frame) = adts(&packet).expect("LC");
        assert_eq!((config.sample_rate, config.channels, frame), (44_100, 2, &[7, 8][..]));
        let checked = [0xff, 0xf0, 0x4c, 0x40, 0x01, 0x3f, 0xfc, 0, 0, 9];
        let (config, frame) = adts(&checked).expect("LC");
        assert_eq!((config.sample_rate, config.channels, frame), (48_000, 1, &[9][..]));
        assert!(adts(&[0xff, 0xf1, 0x10, 0x80, 0, 0, 0, 0]).is_none(), "main profile");
        assert!(adts(&packet[..6]).is_none());
    }
}
