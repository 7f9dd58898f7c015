//! Bits into bytes, the most significant first.

/// Bytes under way.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are used; 0 when it is full or there is none.
    used: u32,
}

impl BitWriter {
    /// Appends the `count` lowest bits of `value`.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// Appends whole bytes wherever it stands.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        if self.used == 0 {
            return self.bytes.extend_from_slice(bytes);
        }
        self.bytes.reserve(bytes.len());
        for byte in bytes {
            if let Some(last) = self.bytes.last_mut() {
                *last |= byte >> self.used;
            }
            self.bytes.push(byte << (8 - self.used));
        }
    }

    /// What was written, filled up with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_bytes_follow_each_other_without_a_hole() {
        let mut writer = BitWriter::default();
        writer.put(0b101, 3);
        writer.put_bytes(&[0xff, 0x00]);
        writer.put(1, 1);
        assert_eq!(writer.into_bytes(), [0b1011_1111, 0b1110_0000, 0b0001_0000]);
        let mut aligned = BitWriter::default();
        aligned.put(0x2b7, 16);
        aligned.put_bytes(&[7]);
        assert_eq!(aligned.into_bytes(), [0x02, 0xb7, 7]);
    }
}
