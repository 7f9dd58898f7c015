//! NAL units as ISO samples hold them, each behind its length, and as byte streams hold them, between start codes.

/// A length that is longer than what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the length of a NAL unit overruns the access unit")]
pub struct UnitOverrun;

/// Walks NAL units behind `length_size`-byte lengths. Stops with an error item at the first length that overruns.
pub fn nal_units(payload: &[u8], length_size: u8) -> impl Iterator<Item = Result<&[u8], UnitOverrun>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let unit = next_unit(rest, usize::from(length_size));
        rest = unit.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(unit.map(|(unit, _)| unit))
    })
}

fn next_unit(bytes: &[u8], length_size: usize) -> Result<(&[u8], &[u8]), UnitOverrun> {
    let (len, rest) = bytes.split_at_checked(length_size).ok_or(UnitOverrun)?;
    let len = len.iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte));
    rest.split_at_checked(len).ok_or(UnitOverrun)
}

/// Whether `bytes` begin with a start code of three or four bytes (ITU-T H.265 §B.2.1), as no record and no length of
/// a unit that fits does.
pub(crate) fn is_byte_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// Walks the NAL units between start codes, without the zeros around them.
pub(crate) fn byte_stream_units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START_CODE: [u8; 3] = [0, 0, 1];
    let find = |bytes: &[u8]| bytes.windows(3).position(|window| window == START_CODE);
    let mut rest = find(bytes).map_or(&[][..], |at| &bytes[at + 3..]);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (unit, next) = match find(rest) {
            Some(at) => (&rest[..at], &rest[at + 3..]),
            None => (rest, &[][..]),
        };
        rest = next;
        // A unit never ends in a zero byte (§7.4.1.1): what does belongs to the next start code or is padding.
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&unit[..len])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_between_start_codes_are_those_between_lengths() {
        let stream = [0, 0, 0, 1, 0x40, 1, 9, 0, 0, 1, 0x42, 1, 0, 0, 3, 7, 0, 0, 0, 0, 1, 0x44, 1, 0, 0];
        let units: Vec<&[u8]> = byte_stream_units(&stream).collect();
        assert_eq!(units, [&[0x40u8, 1, 9][..], &[0x42, 1, 0, 0, 3, 7], &[0x44, 1]]);
        assert!(is_byte_stream(&stream) && is_byte_stream(&stream[1..]) && !is_byte_stream(&stream[2..]));
        for len in 0..stream.len() {
            byte_stream_units(&stream[..len]).for_each(drop);
        }
        assert_eq!(byte_stream_units(&[]).count(), 0);
    }
}
