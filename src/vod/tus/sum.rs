//! Checksums of bodies, counted as they come.

use sha2::Digest;

use super::headers::Algorithm;

/// A checksum under way.
pub enum Sum {
    /// SHA-1.
    Sha1(Box<sha1::Sha1>),
    /// SHA-256.
    Sha256(Box<sha2::Sha256>),
}

impl Sum {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Sum {
        match algorithm {
            Algorithm::Sha1 => Sum::Sha1(Box::default()),
            Algorithm::Sha256 => Sum::Sha256(Box::default()),
        }
    }

    /// With more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Sum::Sha1(sum) => sum.update(bytes),
            Sum::Sha256(sum) => sum.update(bytes),
        }
    }

    /// What it came to.
    pub fn digest(self) -> Vec<u8> {
        match self {
            Sum::Sha1(sum) => sum.finalize().to_vec(),
            Sum::Sha256(sum) => sum.finalize().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of `abc` of RFC 3174 §7.3 and FIPS 180-4's examples.
    #[test]
    fn sums_are_those_of_the_standards() {
        for (algorithm, begin) in
            [(Algorithm::Sha1, [0xa9, 0x99, 0x3e, 0x36]), (Algorithm::Sha256, [0xba, 0x78, 0x16, 0xbf])]
        {
            let mut sum = Sum::new(algorithm);
            [&b"a"[..], b"", b"bc"].iter().for_each(|bytes| sum.update(bytes));
            assert_eq!(sum.digest()[..4], begin);
        }
    }
}
