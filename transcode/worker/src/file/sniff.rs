//! What a file is by its first bytes, and which one of FFmpeg's demuxers may read it.
//!
//! FFmpeg would try all of its hundreds, among them those that open other files. Only what stands here is ever read,
//! and by the demuxer of its own kind alone.

/// Bytes that are looked at: seven packets of a transport stream of 204 bytes.
pub const SNIFFED_BYTES: usize = 2_048;

/// Each demuxer by its short name, and what people call what it reads.
const MOV: (&str, &str) = ("mov,mp4,m4a,3gp,3g2,mj2", "MP4");
const MATROSKA: (&str, &str) = ("matroska,webm", "Matroska");
const MPEG_TS: (&str, &str) = ("mpegts", "MPEG transport stream");

/// The name of a demuxer, as FFmpeg's whitelist has it, and what the file is called.
pub fn sniff(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    // ISO/IEC 14496-12 §4.2 and QuickTime: a size, then the type of the first box.
    let boxes: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"];
    if boxes.iter().any(|kind| at(4, *kind)) {
        return Some(MOV);
    }
    // RFC 8794 §11.2.1.
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        return Some(MATROSKA);
    }
    if at(0, b"FLV\x01") {
        return Some(("flv", "FLV"));
    }
    if at(0, b"RIFF") || at(0, b"RF64") {
        return match head.get(8..12) {
            Some(b"AVI ") => Some(("avi", "AVI")),
            Some(b"WAVE") => Some(("wav", "WAV")),
            _ => None,
        };
    }
    if at(0, b"OggS") {
        return Some(("ogg", "Ogg"));
    }
    if at(0, b"fLaC") {
        return Some(("flac", "FLAC"));
    }
    if at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]) {
        return Some(("asf", "Windows Media"));
    }
    if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        return Some(("aiff", "AIFF"));
    }
    if at(0, &[0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01]) {
        return Some(("mxf", "MXF"));
    }
    // ISO/IEC 13818-1 §2.5.3.4.
    if at(0, &[0, 0, 1, 0xba]) {
        return Some(("mpeg", "MPEG program stream"));
    }
    if is_transport_stream(head) {
        return Some(MPEG_TS);
    }
    let sound = if at(0, b"ID3") { after_id3(head)? } else { head };
    match sound {
        // ISO/IEC 13818-7 §6.2 (ADTS) and ISO/IEC 11172-3 §2.4.1.3, whose layer is never 0.
        [0xff, byte, ..] if byte & 0xf6 == 0xf0 => Some(("aac", "AAC")),
        [0xff, byte, ..] if byte & 0xe0 == 0xe0 && byte & 0x06 != 0 => Some(("mp3", "MP3")),
        // The tag is longer than what was looked at; only MP3 has pictures of that size in it.
        [] if !head.is_empty() => Some(("mp3", "MP3")),
        _ => None,
    }
}

/// Packets of 188 bytes, or of 192 with a time or 204 with a checksum, each beginning with 0x47.
fn is_transport_stream(head: &[u8]) -> bool {
    [(188, 0), (192, 4), (204, 0)].into_iter().any(|(packet, offset)| {
        let marks = head.iter().skip(offset).step_by(packet);
        marks.clone().count() >= 3 && marks.take(5).all(|byte| *byte == 0x47)
    })
}

/// What follows an ID3v2 tag (its §3.1): a size of four times seven bits, behind six bytes.
fn after_id3(head: &[u8]) -> Option<&[u8]> {
    let seven = |size: usize, byte: &u8| (byte & 0x80 == 0).then_some(size << 7 | usize::from(*byte));
    let size = head.get(6..10)?.iter().try_fold(0, seven)?;
    Some(head.get(10 + size..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let name = |head: &[u8]| sniff(head).map(|(_, name)| name);
        assert_eq!(name(b"\0\0\0\x20ftypisom\0\0\x02\0"), Some("MP4"));
        assert_eq!(name(b"\0\0\0\x08wide\0\0\0\0mdat"), Some("MP4"));
        assert_eq!(name(&[0x1a, 0x45, 0xdf, 0xa3, 0x01]), Some("Matroska"));
        assert_eq!(name(b"RIFF\x10\0\0\0AVI LIST"), Some("AVI"));
        assert_eq!(name(b"RIFF\x10\0\0\0WEBP"), None, "a picture");
        let mut packets = vec![0; 188 * 3];
        [0, 188, 376].iter().for_each(|at| packets[*at] = 0x47);
        assert_eq!(name(&packets), Some("MPEG transport stream"));
        assert_eq!(name(&[0xff, 0xf1, 0x50, 0x80]), Some("AAC"));
        assert_eq!(name(&[0xff, 0xfb, 0x90, 0x00]), Some("MP3"));
        assert_eq!(name(b"ID3\x04\0\0\0\0\0\x02xx\xff\xfb\x90"), Some("MP3"));
        assert_eq!(name(b"ID3\x04\0\0\0\x7f\x7f\x7f"), Some("MP3"), "a long tag");
    }

    #[test]
    fn what_would_make_ffmpeg_open_something_else_is_nothing() {
        for text in [
            &b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:///etc/passwd\n"[..],
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            b"<?xml version=\"1.0\"?><MPD></MPD>",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>",
            b"%!PS-Adobe",
            b"\x89PNG\r\n\x1a\n",
            b"PK\x03\x04",
            b"",
            b"\0",
        ] {
            assert_eq!(sniff(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }

    /// What is cut off is the same kind, or none, but for a tag of which nobody knows yet what follows.
    #[test]
    fn a_head_that_is_cut_off_anywhere_is_no_other_kind() {
        let mut packets = vec![0; 204 * 5];
        (0..5).for_each(|at| packets[204 * at] = 0x47);
        for whole in [
            b"\0\0\0\x20ftypisom\0\0\x02\0",
            &[0x1a, 0x45, 0xdf, 0xa3, 0x01, 0, 0, 0][..],
            b"FLV\x01\x05\0\0\0\x09",
            b"RIFF\x10\0\0\0WAVEfmt ",
            b"FORM\0\0\0\x10AIFFCOMM",
            b"OggS\0\x02",
            b"fLaC\0\0\0\x22",
            &[0, 0, 1, 0xba, 0x44],
            &packets,
            b"ID3\x04\0\0\0\0\0\x02xx\xff\xf1\x50",
        ] {
            let kind = sniff(whole).expect("it is one");
            for len in 0..whole.len() {
                let cut = sniff(&whole[..len]);
                let is_tag = whole.starts_with(b"ID3") && cut.is_some_and(|(_, name)| name == "MP3");
                assert!(cut.is_none() || cut == Some(kind) || is_tag, "{kind:?}, {len}: {cut:?}");
            }
        }
    }
}
