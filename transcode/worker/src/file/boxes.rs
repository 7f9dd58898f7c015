//! The index of an MP4, before FFmpeg sees it: whether its tables are as long as they say, and whether what it names is encrypted.
//!
//! FFmpeg takes memory for what a table says of itself, and hides encryption where it can, to decode noise. Only what matters for
//! that is read here; whatever else is wrong is FFmpeg's to say.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of an index that are looked at: ten hours of pictures and sound have some 30 MiB. What is behind them is for the limits on
/// memory.
const INDEX_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Boxes at the top of a file that are walked over on the way to its index.
const BOXES_MAX: usize = 10_000;
/// Boxes within boxes. Sample tables are in the sixth: moov, trak, mdia, minf, stbl.
const DEPTH_MAX: usize = 8;
/// Boxes of an index that hold others (ISO/IEC 14496-12 §6.2.3).
const HOLDERS: [&[u8; 4]; 7] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"edts"];
/// A visual sample entry with its header, before the boxes in it (ISO/IEC 14496-12 §12.1.3.2).
const VISUAL_ENTRY_LEN: usize = 86;
/// Of sound a sample may have less than a byte: old codecs count those that come out. No codec of that kind packs tighter.
const SOUND_PACKED_MAX: u64 = 16;

/// What an index says that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Sample entries are encrypted (ISO/IEC 23001-7 §4.2).
    Encrypted,
    /// A table has fewer entries than it says.
    Table,
    /// It names more samples than the file has bytes for.
    Samples,
    /// It is deeper than any real one.
    Depth,
}

/// What an index is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What is wrong with it.
    pub problem: Option<Problem>,
    /// A track changes its configuration on the way: it has several.
    pub changes: bool,
    /// Width to height of a pixel in thousandths, of each track in their order; none where nothing is said.
    pub aspects: Vec<Option<u32>>,
}

/// Looks at the index of `file`, which has `len` bytes, if there is one.
pub fn look(file: &mut (impl Read + Seek), len: u64) -> io::Result<Looked> {
    let mut at = 0_u64;
    for _ in 0..BOXES_MAX {
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Looked::default()),
            other => other?,
        }
        let Some(Header { kind, size, .. }) = header_of(&header, len.saturating_sub(at)) else {
            return Ok(Looked::default());
        };
        if &kind == b"moov" {
            let mut index = Vec::new();
            file.seek(SeekFrom::Start(at))?;
            file.take(size.min(INDEX_BYTES_MAX)).read_to_end(&mut index)?;
            let mut walk = Walk { file_len: len, is_sound: false, changes: false, aspects: Vec::new() };
            let problem = walk.boxes(&index, 0);
            return Ok(Looked { problem, changes: walk.changes, aspects: walk.aspects });
        }
        let Some(next) = at.checked_add(size) else { break };
        at = next;
    }
    Ok(Looked::default())
}

struct Header {
    kind: [u8; 4],
    /// Of the header.
    len: usize,
    /// Of all.
    size: u64,
}

/// The header of a box. None: there is none, or it does not hold itself.
fn header_of(bytes: &[u8], left: u64) -> Option<Header> {
    let (size, kind) = (number(bytes, 0)?, *bytes.get(4..8)?.first_chunk()?);
    let (len, size) = match size {
        0 => (8, left),
        1 => (16, u64::from(number(bytes, 8)?) << 32 | u64::from(number(bytes, 12)?)),
        size => (8, size.into()),
    };
    (size >= len as u64).then_some(Header { kind, len, size })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

struct Walk {
    file_len: u64,
    /// The track under way is one of sound, as far as is known.
    is_sound: bool,
    changes: bool,
    aspects: Vec<Option<u32>>,
}

impl Walk {
    fn boxes(&mut self, mut bytes: &[u8], depth: usize) -> Option<Problem> {
        if depth > DEPTH_MAX {
            return Some(Problem::Depth);
        }
        while let Some(Header { kind, len, size }) = header_of(bytes, bytes.len() as u64) {
            // What is longer than what holds it was cut off, here or in the file.
            let end = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
            let body = bytes.get(len..end).unwrap_or_default();
            if &kind == b"trak" {
                self.aspects.push(None);
            }
            let problem = match HOLDERS.contains(&&kind) {
                true => self.boxes(body, depth + 1),
                false => self.table(&kind, body, end < usize::try_from(size).unwrap_or(usize::MAX)),
            };
            if problem.is_some() {
                return problem;
            }
            bytes = &bytes[end..];
        }
        None
    }

    /// A box that holds no others. Of one that was cut off nobody knows what it has.
    fn table(&mut self, kind: &[u8; 4], body: &[u8], is_cut: bool) -> Option<Problem> {
        let entry_len = match kind {
            b"hdlr" => {
                self.is_sound = body.get(8..12) == Some(b"soun");
                return None;
            }
            b"stsd" => return self.entries(body.get(8..).unwrap_or_default()),
            b"stsz" => return self.sizes(body, is_cut),
            b"stts" | b"ctts" | b"co64" => 8,
            b"stsc" | b"elst" => 12,
            b"stco" | b"stss" => 4,
            _ => return None,
        };
        let count = u64::from(number(body, 4)?);
        let room = body.len().saturating_sub(8) as u64;
        (!is_cut && count.saturating_mul(entry_len) > room).then_some(Problem::Table)
    }

    /// Sample entries, each a box.
    fn entries(&mut self, mut entries: &[u8]) -> Option<Problem> {
        let mut count = 0;
        while let Some(Header { kind, size, .. }) = header_of(entries, entries.len() as u64) {
            if matches!(&kind, b"encv" | b"enca" | b"drmi" | b"drms") {
                return Some(Problem::Encrypted);
            }
            count += 1;
            if count == 1
                && !self.is_sound
                && let Some(aspect) = self.aspects.last_mut()
            {
                *aspect = pixel_aspect(entries);
            }
            entries = entries.get(usize::try_from(size).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        self.changes |= count > 1;
        None
    }

    /// ISO/IEC 14496-12 §8.7.3.2: one size for all, or one for each.
    fn sizes(&self, body: &[u8], is_cut: bool) -> Option<Problem> {
        let (size, count) = (u64::from(number(body, 4)?), u64::from(number(body, 8)?));
        if size == 0 {
            let room = body.len().saturating_sub(12) as u64;
            return (!is_cut && count.saturating_mul(4) > room).then_some(Problem::Table);
        }
        let packed = if self.is_sound { SOUND_PACKED_MAX } else { 1 };
        (count.saturating_mul(size) > self.file_len.saturating_mul(packed)).then_some(Problem::Samples)
    }
}

/// ISO/IEC 14496-12 §12.1.4: `pasp`, among the boxes of a visual sample entry.
fn pixel_aspect(entry: &[u8]) -> Option<u32> {
    let Header { size, .. } = header_of(entry, entry.len() as u64)?;
    let mut boxes = entry.get(VISUAL_ENTRY_LEN..usize::try_from(size).ok()?.min(entry.len()))?;
    while let Some(Header { kind, len, size }) = header_of(boxes, boxes.len() as u64) {
        if &kind == b"pasp" {
            let (across, down) = (number(boxes, len)?, number(boxes, len + 4)?);
            let millis = (u64::from(across) * 1_000).checked_div(down.into())?;
            return u32::try_from(millis).ok().filter(|millis| *millis > 0);
        }
        boxes = boxes.get(usize::try_from(size).ok()?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
    }

    fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// A file with this in its only sample table, of pictures or of sound.
    fn file(handler: &[u8; 4], table: &[u8]) -> Vec<u8> {
        let handler = boxed(b"hdlr", &[&[0; 8][..], handler, &[0; 12]].concat());
        let media = [handler, boxed(b"minf", &boxed(b"stbl", table))].concat();
        let index = boxed(b"moov", &boxed(b"trak", &boxed(b"mdia", &media)));
        [boxed(b"ftyp", b"isomisom"), boxed(b"free", &[0; 9]), index, boxed(b"mdat", &[7; 100])].concat()
    }

    fn checked(bytes: &[u8]) -> Option<Problem> {
        look(&mut Cursor::new(bytes), bytes.len() as u64).expect("memory can be read").problem
    }

    #[test]
    fn tables_have_what_they_say() {
        for (kind, numbers, expect) in [
            (b"stsz", &[0, 0, 2, 5, 5][..], None),
            (b"stsz", &[0, 0, 3, 5, 5], Some(Problem::Table)),
            (b"stsz", &[0, 0, u32::MAX], Some(Problem::Table)),
            (b"stsz", &[0, 1, 200], None),
            (b"stsz", &[0, 1, u32::MAX], Some(Problem::Samples)),
            (b"stts", &[0, 1, 1_000, 1], None),
            (b"stts", &[0, 2, 1_000, 1], Some(Problem::Table)),
            (b"ctts", &[0, u32::MAX], Some(Problem::Table)),
            (b"stsc", &[0, 1, 1, 1, 1], None),
            (b"stsc", &[0, 1, 1, 1], Some(Problem::Table)),
            (b"stco", &[0, 0x4000_0000], Some(Problem::Table)),
            (b"co64", &[0, 1, 0, 1], None),
            (b"stsz", &[0], None),
        ] {
            assert_eq!(checked(&file(b"vide", &boxed(kind, &words(numbers)))), expect, "{kind:?} {numbers:?}");
        }
        let packed = boxed(b"stsz", &words(&[0, 1, 2_000]));
        assert_eq!(checked(&file(b"soun", &packed)), None, "more samples than bytes");
        assert_eq!(checked(&file(b"vide", &packed)), Some(Problem::Samples));
    }

    #[test]
    fn what_is_encrypted_or_too_deep_is_seen() {
        let entry = |kind| boxed(b"stsd", &[&words(&[0, 1])[..], &boxed(kind, &[0; 20])].concat());
        for kind in [b"encv", b"enca", b"drms"] {
            assert_eq!(checked(&file(b"vide", &entry(kind))), Some(Problem::Encrypted));
        }
        let plain = file(b"vide", &entry(b"avc1"));
        assert_eq!(
            look(&mut Cursor::new(&plain), plain.len() as u64).expect("memory"),
            Looked { aspects: vec![None], ..Looked::default() }
        );
        let entries = [&words(&[0, 2])[..], &boxed(b"avc1", &[0; 20]), &boxed(b"avc1", &[1; 20])].concat();
        let two = file(b"vide", &boxed(b"stsd", &entries));
        let looked = look(&mut Cursor::new(&two), two.len() as u64).expect("memory");
        assert_eq!(looked, Looked { changes: true, aspects: vec![None], ..Looked::default() });
        let deep = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| boxed(b"trak", &inner));
        assert_eq!(checked(&boxed(b"moov", &deep)), Some(Problem::Depth));
    }

    #[test]
    fn pixels_need_not_be_square() {
        let shape = |across, down| {
            let entry = boxed(
                b"avc1",
                &[&[0; 78][..], &boxed(b"avcC", &[1]), &boxed(b"pasp", &words(&[across, down]))].concat(),
            );
            let whole = file(b"vide", &boxed(b"stsd", &[&words(&[0, 1])[..], &entry].concat()));
            look(&mut Cursor::new(&whole), whole.len() as u64).expect("memory").aspects
        };
        assert_eq!(shape(4, 3), [Some(1_333)]);
        assert_eq!((shape(0, 1), shape(1, 0)), (vec![None], vec![None]));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_not_called_a_bomb() {
        let whole = file(b"vide", &boxed(b"stts", &words(&[0, 2, 10, 1, 10, 2])));
        for len in 0..whole.len() {
            assert_eq!(checked(&whole[..len]), None, "{len}");
        }
        let long = [&[0, 0, 0, 1][..], b"mdat", &u64::MAX.to_be_bytes(), &[0; 8]].concat();
        assert_eq!(checked(&long), None, "a size that no file has");
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let index = [&(bytes.len() as u32 + 8).to_be_bytes()[..], b"moov", &bytes].concat();
            checked(&index);
            checked(&bytes);
        }
    }
}
