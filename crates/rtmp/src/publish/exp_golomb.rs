//! The few Exp-Golomb codes (ITU-T H.264 §9.1) at the front of NAL units that tell parameter sets and slices apart.

/// `seq_parameter_set_id` or `pic_parameter_set_id`, the first code behind `offset` bytes.
pub(super) fn parameter_set_id(unit: &[u8], offset: usize) -> Option<u32> {
    unsigned(unit.get(offset..)?, &mut 0)
}

/// True when `slice_type` (§7.4.3) says that the slice is intra coded. False for one that cannot be read.
pub(super) fn slice_is_intra(unit: &[u8]) -> bool {
    let mut bit = 0;
    let Some(bytes) = unit.get(1..) else { return false };
    let _first_macroblock = unsigned(bytes, &mut bit);
    // I and SI, and the same where all slices of the picture agree.
    matches!(unsigned(bytes, &mut bit), Some(2 | 4 | 7 | 9))
}

/// ue(v) at bit position `bit`, which moves behind it. Codes of more than 24 bits do not occur here.
fn unsigned(bytes: &[u8], bit: &mut usize) -> Option<u32> {
    let mut next = || {
        let value = bytes.get(*bit / 8).map(|byte| u32::from(byte >> (7 - *bit % 8) & 1));
        *bit += 1;
        value
    };
    let mut zeros = 0;
    while next()? == 0 {
        zeros += 1;
        if zeros > 24 {
            return None;
        }
    }
    let mut value = 1u32;
    for _ in 0..zeros {
        value = value << 1 | next()?;
    }
    Some(value - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_types_are_read_behind_the_first_macroblock() {
        // 1 | 011 = first 0, type 2; 1 | 00110 = first 0, type 5 (P); 1 | 0001000 = first 0, type 7.
        assert!(slice_is_intra(&[0x65, 0b1011_0000]));
        assert!(!slice_is_intra(&[0x41, 0b1001_1000]));
        assert!(slice_is_intra(&[0x41, 0b1000_1000]));
        assert!(!slice_is_intra(&[0x41]));
        assert!(!slice_is_intra(&[0x41, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn ids_of_parameter_sets() {
        assert_eq!(parameter_set_id(&[0x67, 0x64, 0, 0x1f, 0b1010_0000], 4), Some(0));
        assert_eq!(parameter_set_id(&[0x68, 0b0101_0000], 1), Some(1));
        assert_eq!(parameter_set_id(&[0x68], 1), None);
    }
}
