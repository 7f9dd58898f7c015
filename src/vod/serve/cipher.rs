//! AES-128 of segments (RFC 8216bis §4.4.4.4): CBC with PKCS #7 padding, the initialisation vector the number of the
//! segment.
//!
//! In: the pieces of a segment, in their order. Out: the same encrypted. A segment is encrypted anew each time it is
//! sent, so that blobs hold one thing whatever is configured.

use std::ops::Range;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

/// Bytes of a block.
pub const BLOCK_LEN: usize = 16;

/// How many bytes a segment has once it is encrypted: padding always adds some.
pub fn sealed_len(len: u64) -> u64 {
    (len / BLOCK_LEN as u64 + 1) * BLOCK_LEN as u64
}

/// A segment on its way through the cipher.
pub struct Sealing {
    cipher: Aes128,
    chain: [u8; BLOCK_LEN],
}

impl Sealing {
    /// Of the segment of this number.
    pub fn new(key: &[u8; BLOCK_LEN], number: u64) -> Sealing {
        Sealing { cipher: Aes128::new(&(*key).into()), chain: u128::from(number).to_be_bytes() }
    }

    /// Encrypts the next piece in place. Each but the last has whole blocks; the last is padded.
    pub fn seal(&mut self, piece: &mut Vec<u8>, is_last: bool) {
        if is_last {
            let padding = BLOCK_LEN - piece.len() % BLOCK_LEN;
            // From 1 to 16.
            piece.resize(piece.len() + padding, padding as u8);
        }
        for block in piece.chunks_exact_mut(BLOCK_LEN) {
            let mut mixed = self.chain;
            mixed.iter_mut().zip(&*block).for_each(|(mixed, byte)| *mixed ^= byte);
            let mut sealed = mixed.into();
            self.cipher.encrypt_block(&mut sealed);
            self.chain = sealed.into();
            block.copy_from_slice(&self.chain);
        }
    }
}

/// The part of `piece` that is in `wanted`, where the piece begins at `at`.
pub fn clip(piece: Vec<u8>, at: u64, wanted: &Range<u64>) -> Vec<u8> {
    let end = at + piece.len() as u64;
    let (from, to) = (wanted.start.clamp(at, end), wanted.end.clamp(at, end));
    if (from, to) == (at, end) {
        return piece;
    }
    piece[(from - at) as usize..(to - at) as usize].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn segments_are_encrypted_as_the_standard_says() {
        // NIST SP 800-38A, F.2.1: CBC-AES128.Encrypt, whose vector is no number of ours.
        let key: [u8; 16] = bytes("2b7e151628aed2a6abf7158809cf4f3c").try_into().expect("16 bytes");
        let mut sealing = Sealing::new(&key, 0);
        sealing.chain = bytes("000102030405060708090a0b0c0d0e0f").try_into().expect("16 bytes");
        let mut piece = bytes("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        sealing.seal(&mut piece, false);
        assert_eq!(piece, bytes("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"));
    }

    #[test]
    fn pieces_make_what_the_whole_makes() {
        let plain: Vec<u8> = (0..100).collect();
        for len in [0, 1, 15, 16, 17, 32, 100] {
            let mut whole = plain[..len].to_vec();
            Sealing::new(&[7; 16], 3).seal(&mut whole, true);
            assert_eq!(whole.len() as u64, sealed_len(len as u64), "{len}");
            let (mut sealing, mut joined) = (Sealing::new(&[7; 16], 3), Vec::new());
            let (head, tail) = plain[..len].split_at(len / 2 / BLOCK_LEN * BLOCK_LEN);
            for (piece, is_last) in [(head, false), (tail, true)] {
                let mut piece = piece.to_vec();
                sealing.seal(&mut piece, is_last);
                joined.extend(piece);
            }
            assert_eq!(joined, whole, "{len}");
        }
        let (mut third, mut fourth) = (plain.clone(), plain.clone());
        Sealing::new(&[7; 16], 3).seal(&mut third, true);
        Sealing::new(&[7; 16], 4).seal(&mut fourth, true);
        assert_ne!(third, fourth, "each segment has its own vector");
    }

    #[test]
    fn a_piece_is_cut_to_what_is_wanted() {
        for (at, wanted, expect) in
            [(0, 0..4, "abcd"), (0, 1..3, "bc"), (10, 0..12, "ab"), (10, 12..99, "cd"), (10, 0..5, "")]
        {
            assert_eq!(clip(b"abcd".to_vec(), at, &wanted), expect.as_bytes(), "{at} {wanted:?}");
        }
    }
}
