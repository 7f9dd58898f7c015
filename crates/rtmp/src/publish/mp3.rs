//! MP3: frames that carry their configuration in their first four bytes (ISO/IEC 11172-3 §2.4.1.3, 13818-3 §2.4.2.3).

use std::sync::Arc;

use bytes::Bytes;
use telstar_media::CodecConfig;

use super::decoder::{Configured, Sound, SoundCodec};
use super::output::{Outputs, TrackNumber, WarningKind};

/// kbit/s of layer III by index, MPEG-1 and MPEG-2 (and 2.5). 0 is free format, which nobody sends.
const BITRATES_MPEG1: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const BITRATES_MPEG2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const SAMPLE_RATES_MPEG1: [u32; 3] = [44_100, 48_000, 32_000];

/// The state of one MP3 track.
#[derive(Default)]
pub(super) struct Mp3Track {
    current: Option<Sound>,
}

/// What a frame header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    sample_rate: u32,
    channels: u8,
    samples: u32,
    len: usize,
}

impl SoundCodec for Mp3Track {
    /// There is no record: Enhanced RTMP's sequence start of MP3 is empty.
    fn configure(&mut self, _record: &Bytes, _outputs: &mut Outputs) -> Configured {
        Ok(None)
    }

    /// The configuration of the first frame in `payload`.
    fn configure_in_band(&mut self, payload: &[u8], outputs: &mut Outputs) -> Option<Arc<CodecConfig>> {
        let Header { sample_rate, channels, .. } = Header::parse(payload)?;
        let config = CodecConfig::Mp3 { sample_rate, channels };
        let known = self.current.as_ref().is_some_and(|sound| *sound.config() == config);
        (!known).then(|| Sound::change(&mut self.current, config, outputs))
    }

    /// The frames of one message; FLV allows several.
    fn frames(&mut self, track: TrackNumber, wire_ms: i64, mut payload: Bytes, outputs: &mut Outputs) {
        let Some(sound) = &mut self.current else { return outputs.drop_frame(WarningKind::NoConfiguration) };
        let sample_rate = sound.config().sample_rate();
        let mut later_ms = 0;
        while let Some(header) = Header::parse(&payload).filter(|header| Some(header.sample_rate) == sample_rate) {
            // A last frame may be cut by an encoder that counts its padding differently.
            let frame = payload.split_to(header.len.min(payload.len()));
            sound.frame(track, wire_ms + later_ms, header.samples, frame, outputs);
            later_ms += i64::from(header.samples * 1_000 / header.sample_rate);
        }
        if !payload.is_empty() {
            outputs.drop_frame(WarningKind::MalformedFrame);
        }
    }

    fn sound(&mut self) -> Option<&mut Sound> {
        self.current.as_mut()
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Header> {
        let &[sync, second, third, fourth, ..] = bytes else { return None };
        let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
        // Eleven bits of sync, not the reserved version, layer III.
        if sync != 0xff || second < 0xe0 || version == 1 || layer != 1 {
            return None;
        }
        let is_mpeg1 = version == 3;
        let bitrates = if is_mpeg1 { BITRATES_MPEG1 } else { BITRATES_MPEG2 };
        let bitrate = *bitrates.get(usize::from(third >> 4)).filter(|rate| **rate > 0)? * 1_000;
        let divisor = match version {
            3 => 1,
            2 => 2,
            _ => 4,
        };
        let sample_rate = *SAMPLE_RATES_MPEG1.get(usize::from(third >> 2 & 3))? / divisor;
        let samples = if is_mpeg1 { 1_152 } else { 576 };
        let padding = usize::from(third >> 1 & 1);
        let len = (samples / 8 * bitrate / sample_rate) as usize + padding;
        let channels = if fourth >> 6 == 3 { 1 } else { 2 };
        Some(Header { sample_rate, channels, samples, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_headers_of_each_version() {
        let header = |bytes: [u8; 4]| Header::parse(&bytes).map(|h| (h.sample_rate, h.channels, h.samples, h.len));
        assert_eq!(header([0xff, 0xfb, 0x90, 0x00]), Some((44_100, 2, 1_152, 417)));
        assert_eq!(header([0xff, 0xfb, 0x92, 0xc0]), Some((44_100, 1, 1_152, 418)));
        assert_eq!(header([0xff, 0xf3, 0x80, 0x00]), Some((22_050, 2, 576, 208)));
        assert_eq!(header([0xff, 0xe3, 0x80, 0x00]), Some((11_025, 2, 576, 417)));
        for bad in [
            [0xfe, 0xfb, 0x90, 0],
            [0xff, 0xeb, 0x90, 0],
            [0xff, 0xfd, 0x90, 0],
            [0xff, 0xfb, 0xf0, 0],
            [0xff, 0xfb, 0x9c, 0],
            [0xff, 0xfb, 0x00, 0],
        ] {
            assert_eq!(header(bad), None, "{bad:02x?}");
        }
    }
}
