//! Session keys from a master key (RFC 3711 §4.3; RFC 7714 §11 and RFC 6188 §3 for AES-GCM).
//!
//! In: a master key and salt, what the key is for. Out: its bytes.
//!
//! The key derivation rate is zero, as in all of WebRTC: each key is derived once.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};

use super::Keys;

/// What three keys are for, by RFC 3711 §4.3.2's labels.
pub(super) struct Label {
    pub(super) cipher: u8,
    pub(super) authentication: u8,
    pub(super) salt: u8,
}

impl Label {
    pub(super) const RTP: Label = Label { cipher: 0, authentication: 1, salt: 2 };
    pub(super) const RTCP: Label = Label { cipher: 3, authentication: 4, salt: 5 };
}

/// The first bytes of the key stream that belongs to a label: AES in counter mode with the master key (§4.3.3). A salt of
/// 96 bits stands where the first 96 of 112 would.
pub(super) fn derive<const LENGTH: usize>(keys: &Keys, label: u8) -> [u8; LENGTH] {
    let mut iv = [0; 16];
    iv[..keys.salt().len()].copy_from_slice(keys.salt());
    iv[7] ^= label;
    let mut stream = [0; LENGTH];
    counter_key(keys.key())
        .less_safe_encrypt(&mut stream, EncryptionContext::Iv128(iv.into()))
        .expect("counter mode takes any length");
    stream
}

/// A key of 16 or 32 bytes for counter mode.
pub(super) fn counter_key(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let key = UnboundCipherKey::new(algorithm, key).expect("the key has the length of its algorithm");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}
