//! AC-3 and E-AC-3: what the header of a sync frame says (ETSI TS 102 366 §4.3 and §E.1.2). Neither has a record: each
//! frame carries its configuration.

use super::bits::BitReader;

/// §4.3.1.
const SYNC_WORD: u32 = 0x0b77;
/// §4.3.1.3, fscod. §E.1.3.1.5: halved by fscod2.
const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Table 4.13: kbit/s by half of frmsizecod.
const BITRATES_KBPS: [u16; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Table 4.3: channels by acmod, without the one for low frequencies.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Samples in a block.
const BLOCK_SAMPLES: u32 = 256;
/// Blocks in a frame of AC-3, and in a sample of E-AC-3 in an ISO file (§F.5).
const BLOCKS: u8 = 6;
/// Table E.1.4: blocks by numblkscod.
const BLOCKS_BY_CODE: [u8; 4] = [1, 2, 3, 6];
/// Frames in one access unit of E-AC-3: eight independent substreams with eight dependent ones each. Bounds a loop.
const SUBSTREAMS_MAX: usize = 72;

/// What an access unit of AC-3 or E-AC-3 says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ac3Config {
    /// E-AC-3.
    pub enhanced: bool,
    /// In Hz.
    pub sample_rate: u32,
    /// Output channels.
    pub channels: u8,
    /// `fscod`, `bsid`, `bsmod`, `acmod` and `lfeon`, which containers repeat.
    pub fscod: u8,
    /// See `fscod`.
    pub bsid: u8,
    /// See `fscod`.
    pub bsmod: u8,
    /// See `fscod`.
    pub acmod: u8,
    /// See `fscod`.
    pub lfeon: bool,
    /// AC-3: `bit_rate_code`, half of `frmsizecod`.
    pub bit_rate_code: u8,
    /// In kbit/s.
    pub bitrate_kbps: u16,
    /// Blocks of the access unit.
    pub blocks: u8,
    /// There is more than one independent substream: other channels, or another programme.
    pub has_substreams: bool,
}

/// One sync frame.
struct SyncFrame {
    config: Ac3Config,
    len: usize,
}

impl Ac3Config {
    /// Reads the first sync frame of an access unit, and counts those behind it. `None` for what is none.
    pub fn parse(unit: &[u8]) -> Option<Ac3Config> {
        let SyncFrame { mut config, mut len } = sync_frame(unit)?;
        for _ in 0..SUBSTREAMS_MAX {
            let Some(next) = unit.get(len..).and_then(sync_frame) else { break };
            // A frame of the same substream adds its blocks, one of another its channels.
            match (next.config.enhanced, next.config.has_substreams) {
                (true, false) => config.blocks = config.blocks.saturating_add(next.config.blocks),
                _ => config.has_substreams = true,
            }
            len += next.len;
        }
        Some(config)
    }

    /// Samples of one channel in the access unit.
    pub fn samples(&self) -> u32 {
        u32::from(self.blocks) * BLOCK_SAMPLES
    }

    /// An ISO file can carry it as it is: its access units have six blocks, and its box describes all channels.
    pub fn fits_iso(&self) -> bool {
        self.blocks == BLOCKS && !self.has_substreams
    }
}

fn sync_frame(bytes: &[u8]) -> Option<SyncFrame> {
    let mut reader = BitReader::new(bytes);
    if reader.bits(16)? != SYNC_WORD {
        return None;
    }
    // §E.1.3.1.6: bsid stands at the same place in both, and tells them apart.
    let bsid = bytes.get(5)? >> 3;
    match bsid {
        0..=10 => ac3(&mut reader),
        11..=16 => eac3(&mut reader),
        _ => None,
    }
}

/// §4.3.1.2 to §4.3.2.7.
fn ac3(reader: &mut BitReader<'_>) -> Option<SyncFrame> {
    reader.skip(16)?;
    let (fscod, size_code) = (reader.bits(2)? as u8, reader.bits(6)? as u8);
    let (bsid, bsmod, acmod) = (reader.bits(5)? as u8, reader.bits(3)? as u8, reader.bits(3)? as u8);
    let has_centre = acmod & 1 != 0 && acmod != 1;
    let has_surround = acmod & 4 != 0;
    reader.skip(2 * [has_centre, has_surround, acmod == 2].into_iter().filter(|flag| *flag).count())?;
    let lfeon = reader.bit()?;
    let sample_rate = *SAMPLE_RATES.get(usize::from(fscod))?;
    let kbps = *BITRATES_KBPS.get(usize::from(size_code / 2))?;
    // §4.3.1.4: words of a frame; at 44.1 kHz rounded down, and the odd codes have one more.
    let words = u32::from(kbps) * 1_000 / 8 * BLOCK_SAMPLES * u32::from(BLOCKS) / sample_rate / 2;
    let padding = u32::from(fscod == 1 && size_code & 1 == 1);
    let config = Ac3Config {
        enhanced: false,
        sample_rate,
        channels: CHANNELS[usize::from(acmod)] + u8::from(lfeon),
        fscod,
        bsid,
        bsmod,
        acmod,
        lfeon,
        bit_rate_code: size_code / 2,
        bitrate_kbps: kbps,
        blocks: BLOCKS,
        has_substreams: false,
    };
    Some(SyncFrame { config, len: 2 * (words + padding) as usize })
}

/// §E.1.2.2 up to bsid.
fn eac3(reader: &mut BitReader<'_>) -> Option<SyncFrame> {
    const DEPENDENT: u32 = 1;
    let (kind, substream) = (reader.bits(2)?, reader.bits(3)?);
    let len = 2 * (reader.bits(11)? as usize + 1);
    let fscod = reader.bits(2)? as u8;
    let code = reader.bits(2)? as usize;
    let (sample_rate, blocks) = match SAMPLE_RATES.get(usize::from(fscod)) {
        Some(rate) => (*rate, BLOCKS_BY_CODE[code]),
        None => (SAMPLE_RATES.get(code)? / 2, BLOCKS),
    };
    let (acmod, lfeon, bsid) = (reader.bits(3)? as u8, reader.bit()?, reader.bits(5)? as u8);
    let kbps = len as u64 * 8 * u64::from(sample_rate) / (u64::from(blocks) * u64::from(BLOCK_SAMPLES)) / 1_000;
    let config = Ac3Config {
        enhanced: true,
        sample_rate,
        channels: CHANNELS[usize::from(acmod)] + u8::from(lfeon),
        fscod,
        bsid,
        // §E.1.2.2: it stands far behind, and is 0, "complete main", where it is left out.
        bsmod: 0,
        acmod,
        lfeon,
        bit_rate_code: 0,
        bitrate_kbps: u16::try_from(kbps).unwrap_or(u16::MAX),
        blocks,
        has_substreams: kind == DEPENDENT || substream != 0,
    };
    Some(SyncFrame { config, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_frames_say_rate_channels_and_samples() {
        // 5.1 at 48 kHz and 448 kbit/s; stereo at 44.1 kHz and 192 kbit/s.
        let surround = Ac3Config::parse(&[0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0]).expect("AC-3");
        assert_eq!(
            (surround.sample_rate, surround.channels, surround.lfeon, surround.bitrate_kbps),
            (48_000, 6, true, 448)
        );
        let stereo = Ac3Config::parse(&[0x0b, 0x77, 0, 0, 0x54, 0x40, 0x40, 0]).expect("AC-3");
        assert_eq!((stereo.sample_rate, stereo.channels, stereo.bitrate_kbps), (44_100, 2, 192));
        assert_eq!((stereo.samples(), stereo.fits_iso()), (1_536, true));
        // E-AC-3: independent substream 0, 768 bytes, 48 kHz, six blocks, 3/2 with low frequencies, bsid 16.
        let frame = [0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x80, 0, 0];
        let enhanced = Ac3Config::parse(&frame).expect("E-AC-3");
        assert_eq!((enhanced.enhanced, enhanced.sample_rate, enhanced.channels), (true, 48_000, 6));
        assert_eq!((enhanced.bitrate_kbps, enhanced.samples(), enhanced.fits_iso()), (192, 1_536, true));
    }

    #[test]
    fn frames_behind_the_first_are_seen() {
        let frame = |kind: u8, substream: u8, blocks_code: u8| {
            // Eight bytes long: frmsiz is 3.
            vec![0x0b, 0x77, kind << 6 | substream << 3, 3, blocks_code << 4 | 0x04, 0x80, 0, 0]
        };
        let halves = [frame(0, 0, 2), frame(0, 0, 2)].concat();
        assert!(Ac3Config::parse(&halves).is_some_and(|config| config.fits_iso()));
        let dependent = [frame(0, 0, 3), frame(1, 0, 3)].concat();
        assert!(Ac3Config::parse(&dependent).is_some_and(|config| !config.fits_iso() && config.samples() == 1_536));
        let short = Ac3Config::parse(&frame(0, 0, 0)).expect("one block");
        assert_eq!((short.samples(), short.fits_iso()), (256, false));
    }

    #[test]
    fn what_is_no_frame_is_none_at_every_length() {
        let whole = [0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0];
        for len in 0..6 {
            assert_eq!(Ac3Config::parse(&whole[..len]), None);
        }
        assert_eq!(Ac3Config::parse(&[0x0b, 0x77, 0, 0, 0xde, 0x40, 0xe1, 0]), None, "a reserved rate");
        assert_eq!(Ac3Config::parse(&[0x0b, 0x77, 0, 0, 0x26, 0x40, 0xe1, 0]), None, "a reserved size");
        assert_eq!(Ac3Config::parse(&[0x0b, 0x77, 0, 0, 0x1e, 0x88, 0xe1, 0]), None, "a later bsid");
    }
}
