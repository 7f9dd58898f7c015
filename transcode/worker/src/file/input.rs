//! A file as FFmpeg reads it: by one demuxer, through a descriptor, with nothing else within reach.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ffmpeg::codec::packet::side_data;
use ffmpeg::format::context::{Input, StreamIo};
use ffmpeg::{Dictionary, Packet, format};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::Limits;

use super::boxes::{self, Looked, Problem};
use super::elements;
use super::sniff::{SNIFFED_BYTES, sniff};
use crate::failure::Failure;

/// Read at once by FFmpeg.
const READ_BYTES: usize = 256 * 1_024;
/// What FFmpeg may read to find out what streams there are, in bytes. Its own 5 MB is too little where an index stands
/// behind large pictures.
const PROBE_BYTES: &str = "20000000";
/// And in microseconds of the streams.
const ANALYSE_MICROS: &str = "10000000";
/// Packets in a row that cannot be read; what is left of the file is then given up. Of a file whose end is missing each
/// packet that its index names is one.
const BROKEN_MAX: usize = 100_000;

/// A source, which can be opened again and again.
pub struct Source {
    file: Arc<File>,
    len: u64,
    demuxer: &'static str,
    /// What people call its container.
    pub container: &'static str,
    /// Its index has several configurations for a track.
    changes: bool,
    aspects: Vec<Option<u32>>,
    streams_max: u16,
}

/// FFmpeg's view of a source.
pub struct OpenFile {
    /// FFmpeg's.
    pub input: Input,
}

/// Reads at a place of its own.
struct Cursor {
    file: Arc<File>,
    at: u64,
    len: u64,
}

impl Source {
    /// Looks at its first bytes; nothing else has seen it yet.
    pub fn new(mut file: File, limits: &Limits) -> Result<Source, Failure> {
        let unreadable = |error| Failure::broken("source", error);
        let len = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        if len == 0 {
            return Err(Failure::source("the file is empty"));
        }
        let mut cursor = Cursor { file: Arc::new(file), at: 0, len };
        let mut head = Vec::with_capacity(SNIFFED_BYTES);
        cursor.by_ref().take(SNIFFED_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
        let unknown = || Failure::source("the file is neither a video nor sound of a kind that is known");
        let (demuxer, container) = sniff(&head).ok_or_else(unknown)?;
        let looked = match demuxer.starts_with("mov") {
            true => boxes::look(&mut cursor, len).map_err(unreadable)?,
            false if demuxer.starts_with("matroska") => {
                let aspects = elements::aspects(&mut cursor).map_err(unreadable)?;
                Looked { aspects, ..Looked::default() }
            }
            false => Looked::default(),
        };
        if let Some(problem) = looked.problem {
            return Err(Failure::source(match problem {
                Problem::Encrypted => "the file is encrypted: only who has the key can play it",
                Problem::Table | Problem::Samples => "the index of the file says that more is in it than there is",
                Problem::Depth => "the index of the file is deeper than any real one",
            }));
        }
        let (Looked { changes, aspects, .. }, streams_max) = (looked, limits.streams_max);
        Ok(Source { file: cursor.file, len, demuxer, container, changes, aspects, streams_max })
    }

    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// H.264 stands between start codes in it (ITU-T H.264, Annex B).
    pub fn has_byte_streams(&self) -> bool {
        matches!(self.demuxer, "mpegts" | "mpeg" | "avi")
    }

    /// Each frame of AAC brings its configuration (ADTS).
    pub fn has_adts(&self) -> bool {
        matches!(self.demuxer, "mpegts" | "mpeg" | "aac")
    }

    /// Its index says where every sample is, and seeking costs nothing; and what is true of some samples is of all.
    pub fn has_index(&self) -> bool {
        self.demuxer.starts_with("mov") && !self.changes
    }

    /// Width to height of a stream's pixels in thousandths, where the container says so.
    pub fn aspect_millis(&self, stream: usize) -> Option<u32> {
        self.aspects.get(stream).copied().flatten()
    }

    /// Opens it from the beginning.
    pub fn open(&self) -> Result<OpenFile, Failure> {
        let mut options = Dictionary::new();
        options.set("format_whitelist", self.demuxer);
        // There is none that it could use; whatever names another file gets no answer.
        options.set("protocol_whitelist", "none");
        // One more, so that it is seen that there are too many. Each takes a decoder's memory.
        options.set("max_streams", &(u32::from(self.streams_max) + 1).to_string());
        options.set("probesize", PROBE_BYTES);
        options.set("analyzeduration", ANALYSE_MICROS);
        let cursor = Cursor { file: Arc::clone(&self.file), at: 0, len: self.len };
        let io = StreamIo::from_read_seek_with_capacity(cursor, READ_BYTES);
        let io = io.map_err(|error| Failure::broken("source", error))?;
        let unreadable = |error| {
            let why = match error {
                ffmpeg::Error::Eof => "it ends too early".to_owned(),
                ffmpeg::Error::PatchWelcome => "it has something in it that is not known".to_owned(),
                // So FFmpeg refuses streams beyond the limit as well.
                ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM } => {
                    format!("it has more than {} streams, or asks for more memory than is allowed", self.streams_max)
                }
                _ => "it is broken".to_owned(),
            };
            Failure::source(format!("the {} file cannot be read: {why}", self.container))
        };
        let input = format::input_from_stream(io, None, Some(options)).map_err(unreadable)?;
        Ok(OpenFile { input })
    }
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Places that no file has are an error to the system, and to a reader the end.
        if self.at >= self.len {
            return Ok(0);
        }
        let len = self.file.read_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// The configuration that is in force from this packet on, where the container says so.
pub fn new_config(packet: &Packet) -> Option<Vec<u8>> {
    let found = packet.side_data().find(|data| data.kind() == side_data::Type::NewExtraData);
    found.map(|data| data.data().to_vec())
}

/// The next packet; none at the end. What is broken is skipped.
pub fn next_packet(input: &mut Input) -> Option<Packet> {
    for _ in 0..BROKEN_MAX {
        // A packet that is read into again leaks what it had.
        let mut packet = Packet::empty();
        match packet.read(input) {
            Ok(()) => return Some(packet),
            Err(ffmpeg::Error::InvalidData) => {}
            // A file that ends in the middle ends there.
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn source(bytes: &[u8]) -> Result<Source, String> {
        let mut file = tempfile::tempfile().expect("a temporary folder");
        file.write_all(bytes).expect("a small file");
        let limits = Limits {
            pixels_max: 1,
            side_max: 1,
            fps_max: 1,
            duration_secs_max: 1,
            streams_max: 1,
            output_bytes_max: 1,
            threads: 1,
        };
        Source::new(file, &limits).map_err(|failure| failure.to_string())
    }

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
    }

    #[test]
    fn what_is_encrypted_or_no_media_is_refused_before_ffmpeg_sees_it() {
        let entry = |kind: &[u8; 4]| {
            let table = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(kind, &[0; 20])].concat());
            [boxed(b"ftyp", b"isomisom"), boxed(b"free", &[0; 9]), boxed(b"moov", &boxed(b"trak", &table))].concat()
        };
        assert!(source(&entry(b"avc1")).is_ok());
        for kind in [b"encv", b"enca"] {
            assert!(source(&entry(kind)).is_err_and(|text| text.contains("encrypted")));
        }
        assert!(source(b"").is_err_and(|text| text.contains("empty")));
        assert!(source(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n").is_err_and(|text| text.contains("neither")));
        assert!(source(&boxed(b"ftyp", b"isom")[..9]).is_ok(), "for FFmpeg to say what is wrong");
    }
}
