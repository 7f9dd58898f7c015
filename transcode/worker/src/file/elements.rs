//! The shape of pixels that a Matroska file tells of its tracks, where FFmpeg knows it and does not hand it on.
//!
//! In: a file. Out: for each track of pictures, sound or text, in their order, how wide a pixel is to its height. Whatever is not as
//! RFC 9559 has it says nothing.

use std::io::{self, Read, Seek, SeekFrom};

/// Elements at the top that are walked over on the way to the tracks.
const ELEMENTS_MAX: usize = 1_000;
/// Bytes of the tracks that are looked at. Real ones have some kilobytes.
const TRACKS_BYTES_MAX: u64 = 1024 * 1_024;
/// RFC 9559 §5.1.
const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const VIDEO: u32 = 0xe0;
const PIXEL_WIDTH: u32 = 0xb0;
const PIXEL_HEIGHT: u32 = 0xba;
const DISPLAY_WIDTH: u32 = 0x54b0;
const DISPLAY_HEIGHT: u32 = 0x54ba;
const DISPLAY_UNIT: u32 = 0x54b2;
/// The last unit that says something: pixels, centimetres, inches, or only the shape.
const UNIT_MAX: u64 = 3;

/// Width to height of a pixel in thousandths, of each track; none where nothing is said.
pub fn aspects(file: &mut (impl Read + Seek)) -> io::Result<Vec<Option<u32>>> {
    let mut at = 0_u64;
    for _ in 0..ELEMENTS_MAX {
        let mut header = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        file.by_ref().take(12).read_to_end(&mut header)?;
        let Some(Element { id, header_len, len }) = element(&header) else { break };
        let body = at + header_len as u64;
        match id {
            TRACKS => {
                let mut tracks = Vec::new();
                file.seek(SeekFrom::Start(body))?;
                file.take(len.min(TRACKS_BYTES_MAX)).read_to_end(&mut tracks)?;
                let entries = elements(&tracks).filter(|(id, _)| *id == TRACK_ENTRY);
                return Ok(entries.map(|(_, entry)| aspect(entry)).collect());
            }
            // What is in it follows.
            SEGMENT => at = body,
            _ => match body.checked_add(len) {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    Ok(Vec::new())
}

fn aspect(entry: &[u8]) -> Option<u32> {
    let (_, video) = elements(entry).find(|(id, _)| *id == VIDEO)?;
    let of = |wanted: u32| elements(video).find(|(id, _)| *id == wanted).map(|(_, body)| number(body));
    let (width, height) = (of(PIXEL_WIDTH)?, of(PIXEL_HEIGHT)?);
    // Who says one of the two means the other as it is coded.
    let (shown_width, shown_height) = match (of(DISPLAY_WIDTH), of(DISPLAY_HEIGHT)) {
        (None, None) => return None,
        (across, down) => (across.unwrap_or(width), down.unwrap_or(height)),
    };
    let is_known = of(DISPLAY_UNIT).unwrap_or(0) <= UNIT_MAX;
    let millis = u128::from(shown_width) * u128::from(height) * 1_000;
    let millis = millis.checked_div(u128::from(shown_height) * u128::from(width)).filter(|_| is_known)?;
    u32::try_from(millis).ok().filter(|millis| *millis > 0)
}

struct Element {
    id: u32,
    header_len: usize,
    len: u64,
}

/// The header of an element (RFC 8794 §4, §5). None: there is none.
fn element(bytes: &[u8]) -> Option<Element> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    let id = bytes.get(..id_len).filter(|_| id_len <= 4)?;
    let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let size = &bytes[id_len..];
    let size_len = size.first()?.leading_zeros() as usize + 1;
    let size = size.get(..size_len).filter(|_| size_len <= 8)?;
    let value = size.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    // The marker that says how long it is.
    let len = value & ((1 << (7 * size_len)) - 1);
    Some(Element { id, header_len: id_len + size_len, len })
}

/// Those at one level.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let Element { id, header_len, len } = element(bytes)?;
        let end = usize::try_from(len).ok().and_then(|len| header_len.checked_add(len))?;
        let body = bytes.get(header_len..end)?;
        bytes = &bytes[end..];
        Some((id, body))
    })
}

fn number(bytes: &[u8]) -> u64 {
    // Longer ones are none (RFC 8794 §7.2).
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn made(id: u32, body: &[u8]) -> Vec<u8> {
        let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        [&id[..], &[0x40 | (body.len() >> 8) as u8, body.len() as u8], body].concat()
    }

    fn file(video: &[(u32, u16)]) -> Vec<u8> {
        let video: Vec<u8> = video.iter().flat_map(|(id, value)| made(*id, &value.to_be_bytes())).collect();
        let entries = [
            made(TRACK_ENTRY, &made(0x83, &[2])),
            made(TRACK_ENTRY, &[made(0x83, &[1]), made(VIDEO, &video)].concat()),
        ];
        let segment = [made(0x114d_9b74, &[0; 20]), made(TRACKS, &entries.concat())].concat();
        [made(0x1a45_dfa3, &[0; 5]), made(SEGMENT, &segment)].concat()
    }

    #[test]
    fn a_track_says_how_wide_its_pixels_are() {
        let coded = [(PIXEL_WIDTH, 720), (PIXEL_HEIGHT, 576)];
        let with = |more: &[(u32, u16)]| {
            let all = [&coded[..], more].concat();
            aspects(&mut Cursor::new(file(&all))).expect("memory can be read")
        };
        assert_eq!(with(&[]), [None, None]);
        assert_eq!(with(&[(DISPLAY_WIDTH, 1_024), (DISPLAY_HEIGHT, 576)]), [None, Some(1_422)]);
        assert_eq!(with(&[(DISPLAY_WIDTH, 16), (DISPLAY_HEIGHT, 9), (DISPLAY_UNIT, 3)]), [None, Some(1_422)]);
        assert_eq!(with(&[(DISPLAY_WIDTH, 16), (DISPLAY_HEIGHT, 9), (DISPLAY_UNIT, 4)]), [None, None]);
        assert_eq!(with(&[(DISPLAY_WIDTH, 0), (DISPLAY_HEIGHT, 0)]), [None, None]);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_says_what_is_left_of_it() {
        let whole = file(&[(PIXEL_WIDTH, 720), (PIXEL_HEIGHT, 576), (DISPLAY_WIDTH, 16), (DISPLAY_HEIGHT, 9)]);
        let all = aspects(&mut Cursor::new(&whole)).expect("memory can be read");
        assert_eq!(all, [None, Some(1_422)]);
        for len in 0..whole.len() {
            let told = aspects(&mut Cursor::new(&whole[..len])).expect("memory can be read");
            assert!(told.len() < all.len() && told == all[..told.len()], "{len}: {told:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let segment = [&[0x18, 0x53, 0x80, 0x67, 0xff][..], &made(TRACKS, &bytes)].concat();
            aspects(&mut Cursor::new(&segment)).expect("memory can be read");
            aspects(&mut Cursor::new(&bytes)).expect("memory can be read");
        }
    }
}
