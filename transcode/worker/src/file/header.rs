//! The configuration of a stream as its container holds it.
//!
//! FFmpeg keeps it where safe code cannot look ("extradata"), but writes it into the header of any file that it makes:
//! here into one in memory, whose box is then found again.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ffmpeg::format::context::StreamIo;
use ffmpeg::{Dictionary, Stream, format};
use ffmpeg_next as ffmpeg;
use telstar_media::codec::{AacConfig, H264Config};

/// ISO/IEC 14496-1 Table 1: the descriptors on the way to an AudioSpecificConfig, and bytes of each before those inside
/// it.
const ES_DESCRIPTOR: (u8, usize) = (0x03, 3);
const DECODER_CONFIG: (u8, usize) = (0x04, 13);
const DECODER_SPECIFIC: (u8, usize) = (0x05, 0);

/// The AVCDecoderConfigurationRecord of an H.264 stream.
pub fn h264(stream: &Stream<'_>) -> Result<H264Config, String> {
    let header = header(stream).map_err(|error| format!("its configuration cannot be read: {error}"))?;
    let record = boxed(&header, *b"avcC").ok_or("it has no configuration")?;
    H264Config::parse(record).map_err(|error| error.to_string())
}

/// The AudioSpecificConfig of an AAC stream.
pub fn aac(stream: &Stream<'_>) -> Result<AacConfig, String> {
    let header = header(stream).map_err(|error| format!("its configuration cannot be read: {error}"))?;
    // Version and flags stand before the descriptors.
    let descriptors = boxed(&header, *b"esds").and_then(|body| body.get(4..));
    let asc = descriptors.and_then(audio_specific_config).ok_or("it has no configuration")?;
    AacConfig::parse(Bytes::copy_from_slice(asc)).map_err(|error| error.to_string())
}

/// `ftyp` and `moov` of an MP4 with this stream alone and no samples.
fn header(stream: &Stream<'_>) -> Result<Vec<u8>, ffmpeg::Error> {
    let memory = Memory::default();
    let written = memory.0.clone();
    {
        let mut output = format::output_to_stream(StreamIo::from_write(memory)?, None, Some("mp4"))?;
        let mut copy = output.add_stream(None::<ffmpeg::Codec>)?;
        copy.set_parameters(stream.parameters());
        copy.set_time_base(stream.time_base());
        let mut options = Dictionary::new();
        options.set("movflags", "empty_moov+default_base_moof");
        // The tags of other containers are not those of MP4; FFmpeg finds its own.
        options.set("strict", "unofficial");
        output.write_header_with(options)?;
    }
    Ok(std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// What FFmpeg writes into.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of the only box of this kind in a file that FFmpeg has just made: no sample of anybody's can look like one.
fn boxed(file: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    let at = file.windows(4).position(|window| window == kind)?;
    let size = file.get(at.checked_sub(4)?..at)?;
    let size = size.iter().fold(0_usize, |size, byte| size << 8 | usize::from(*byte));
    file.get(at + 4..(at - 4).checked_add(size)?)
}

fn audio_specific_config(descriptors: &[u8]) -> Option<&[u8]> {
    let mut rest = descriptors;
    for (tag, skipped) in [ES_DESCRIPTOR, DECODER_CONFIG, DECODER_SPECIFIC] {
        rest = descriptor(rest, tag)?.get(skipped..)?;
    }
    Some(rest)
}

/// The body of a descriptor with this tag. Its length is in groups of seven bits (ISO/IEC 14496-1 §8.3.3).
fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (first, mut rest) = bytes.split_first()?;
    let mut len = 0_usize;
    for _ in 0..4 {
        let (byte, behind) = rest.split_first()?;
        (len, rest) = (len << 7 | usize::from(byte & 0x7f), behind);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.get(..len).filter(|_| *first == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audio_specific_config_is_inside_three_descriptors() {
        let specific = [&[0x05, 0x80, 0x80, 0x80, 2, 0x11, 0x90][..], &[0x06, 1, 2]].concat();
        let config = [&[0x04, (13 + specific.len()) as u8][..], &[0; 13], &specific].concat();
        let whole = [&[0x03, 0x80, (3 + config.len()) as u8][..], &[0; 3], &config].concat();
        assert_eq!(audio_specific_config(&whole), Some(&[0x11, 0x90][..]));
        for len in 0..whole.len() - 3 {
            assert_eq!(audio_specific_config(&whole[..len]), None);
        }
    }

    #[test]
    fn a_box_is_found_by_its_kind() {
        let file = [&[0, 0, 0, 16][..], b"stsd", &[0, 0, 0, 9], b"avcC", &[7]].concat();
        assert_eq!(boxed(&file, *b"avcC"), Some(&[7][..]));
        assert_eq!(boxed(&file, *b"esds"), None);
        assert_eq!(boxed(&file[..16], *b"avcC"), None, "cut off");
    }
}
