//! Session keys at work: counter mode with HMAC-SHA1 (RFC 3711 §4), or AES-GCM (RFC 7714).
//!
//! In: a packet, where its clear part ends, whose it is, its index. Out: the same buffer, sealed or open.
//!
//! Everything that depends on the key alone is done when it is made: AES's key schedule, GHASH's table, HMAC's first
//! block.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::{constant_time, hmac};

use super::derive::{Label, counter_key, derive};
use super::{Keys, Profile, RTCP_CLEAR, RTCP_INDEX};

/// Bytes of HMAC-SHA1, of which the first ten are the tag.
const SHA1_BYTES: usize = 20;
const COUNTER_TAG: usize = Profile::Aes128CmSha1_80.tag_bytes();
const GCM_TAG: usize = Profile::AeadAes128Gcm.tag_bytes();
/// Bits of an index: a roll-over counter of 32 and a sequence number of 16.
const INDEX_BITS: u32 = 48;

/// The keys for RTP or for RTCP, of one direction.
pub(super) enum Cipher {
    Counter(Box<Counter>),
    Gcm(Gcm),
}

impl Cipher {
    pub(super) fn new(keys: &Keys, label: &Label) -> Cipher {
        match keys.profile {
            Profile::Aes128CmSha1_80 => Cipher::counter(
                &derive::<16>(keys, label.cipher),
                &derive::<SHA1_BYTES>(keys, label.authentication),
                &derive(keys, label.salt),
            ),
            Profile::AeadAes128Gcm => Cipher::gcm(&derive::<16>(keys, label.cipher), &derive(keys, label.salt)),
            Profile::AeadAes256Gcm => Cipher::gcm(&derive::<32>(keys, label.cipher), &derive(keys, label.salt)),
        }
    }

    /// From session keys.
    pub(super) fn counter(key: &[u8], authentication: &[u8], salt: &[u8; 14]) -> Cipher {
        let mut padded = [0; 16];
        padded[2..].copy_from_slice(salt);
        Cipher::Counter(Box::new(Counter {
            key: counter_key(key),
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            salt: u128::from_be_bytes(padded),
        }))
    }

    /// From session keys.
    pub(super) fn gcm(key: &[u8], salt: &[u8; 12]) -> Cipher {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("the key has the length of its algorithm");
        let mut padded = [0; 16];
        padded[4..].copy_from_slice(salt);
        Cipher::Gcm(Gcm { key: LessSafeKey::new(key), salt: u128::from_be_bytes(padded) })
    }

    /// See [`super::Sealer::seal_rtp`].
    #[inline]
    pub(super) fn seal_rtp(&self, packet: &mut Vec<u8>, header: usize, ssrc: u32, index: u64) {
        match self {
            Cipher::Counter(counter) => {
                counter.apply(&mut packet[header..], place(ssrc, index));
                // What is authenticated ends with the roll-over counter, which is not sent (§4.2): the tag takes its place.
                let clear = packet.len();
                let rollovers = (index >> 16) as u32;
                packet.extend_from_slice(&rollovers.to_be_bytes());
                let tag = counter.tag(packet);
                packet.truncate(clear);
                packet.extend_from_slice(&tag);
            }
            Cipher::Gcm(gcm) => {
                let (header, payload) = packet.split_at_mut(header);
                let tag = gcm.seal(header, payload, place(ssrc, index));
                packet.extend_from_slice(&tag);
            }
        }
    }

    /// Seals behind the clear part; `word` is the index with its bit for encryption. Behind the ciphertext stand the index
    /// and the tag, with AES-GCM the other way round.
    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, word: u32) {
        let place = place(ssrc, rtcp_index(word));
        match self {
            Cipher::Counter(counter) => {
                counter.apply(&mut packet[RTCP_CLEAR..], place);
                packet.extend_from_slice(&word.to_be_bytes());
                let tag = counter.tag(packet);
                packet.extend_from_slice(&tag);
            }
            Cipher::Gcm(gcm) => {
                let (clear, secret) = packet.split_at_mut(RTCP_CLEAR);
                let tag = gcm.seal(&rtcp_associated(clear, word), secret, place);
                packet.extend_from_slice(&tag);
                packet.extend_from_slice(&word.to_be_bytes());
            }
        }
    }

    /// Index and bit of a sealed compound packet, of which nothing is known to be true yet.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let end = match self {
            Cipher::Counter(_) => packet.len().checked_sub(COUNTER_TAG)?,
            Cipher::Gcm(_) => packet.len(),
        };
        packet.get(end.checked_sub(RTCP_INDEX)?..end)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Opens what [`Cipher::seal_rtcp`] sealed, behind what is in `into`. False: too short, or the tag is wrong.
    pub(super) fn open_rtcp(&self, packet: &[u8], ssrc: u32, word: u32, into: &mut Vec<u8>) -> bool {
        let place = place(ssrc, rtcp_index(word));
        match self {
            Cipher::Counter(counter) => {
                let Some((authentic, tag)) = packet.split_last_chunk::<COUNTER_TAG>() else { return false };
                let Some((plain, _)) = authentic.split_last_chunk::<RTCP_INDEX>() else { return false };
                if plain.len() < RTCP_CLEAR || !equal(&counter.tag(authentic), tag) {
                    return false;
                }
                into.extend_from_slice(plain);
                let secret = into.len() - (plain.len() - RTCP_CLEAR);
                counter.apply(&mut into[secret..], place);
                true
            }
            Cipher::Gcm(gcm) => {
                let Some((sealed, _)) = packet.split_last_chunk::<RTCP_INDEX>() else { return false };
                let Some((plain, tag)) = sealed.split_last_chunk::<GCM_TAG>() else { return false };
                let Some((clear, secret)) = plain.split_at_checked(RTCP_CLEAR) else { return false };
                into.extend_from_slice(plain);
                let from = into.len() - secret.len();
                gcm.open(&rtcp_associated(clear, word), tag, &mut into[from..], place)
            }
        }
    }
}

/// AES in counter mode with HMAC-SHA1.
pub(super) struct Counter {
    key: EncryptingKey,
    authentication: hmac::Key,
    /// 112 bits.
    salt: u128,
}

impl Counter {
    /// Encrypts or decrypts (§4.1.1). The low 16 bits of the counter count blocks.
    #[inline]
    fn apply(&self, bytes: &mut [u8], place: u128) {
        let iv = ((self.salt ^ place) << 16).to_be_bytes();
        self.key.less_safe_encrypt(bytes, EncryptionContext::Iv128(iv.into())).expect("counter mode takes any length");
    }

    /// The tag of all of these bytes (§4.2).
    #[inline]
    fn tag(&self, bytes: &[u8]) -> [u8; COUNTER_TAG] {
        let mut whole = [0; SHA1_BYTES];
        hmac::sign_to_buffer(&self.authentication, bytes, &mut whole).expect("the buffer holds HMAC-SHA1");
        *whole.first_chunk().expect("ten bytes of twenty")
    }
}

/// AES-GCM.
pub(super) struct Gcm {
    key: LessSafeKey,
    /// 96 bits.
    salt: u128,
}

impl Gcm {
    /// RFC 7714 §8.1 and §9.1: the salt, with SSRC and index over it.
    #[inline]
    fn nonce(&self, place: u128) -> Nonce {
        let [_, _, _, _, nonce @ ..] = (self.salt ^ place).to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }

    #[inline]
    fn seal(&self, associated: &[u8], bytes: &mut [u8], place: u128) -> [u8; GCM_TAG] {
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(place), Aad::from(associated), bytes)
            .expect("a packet is shorter than the 64 GiB of one nonce");
        tag.as_ref().try_into().expect("GCM's tag has 16 bytes")
    }

    fn open(&self, associated: &[u8], tag: &[u8], bytes: &mut [u8], place: u128) -> bool {
        self.key.open_in_place_separate_tag(self.nonce(place), Aad::from(associated), tag, bytes).is_ok()
    }
}

/// SSRC and index as both ciphers lay them over their salt: 32 bits, 48 bits.
#[inline]
fn place(ssrc: u32, index: u64) -> u128 {
    u128::from(ssrc) << INDEX_BITS | u128::from(index & ((1 << INDEX_BITS) - 1))
}

/// The index of a compound packet, without the bit for encryption.
fn rtcp_index(word: u32) -> u64 {
    u64::from(word & !super::ENCRYPTED)
}

/// What AES-GCM authenticates of an encrypted compound packet beyond its ciphertext (RFC 7714 §9.2).
fn rtcp_associated(clear: &[u8], word: u32) -> [u8; RTCP_CLEAR + RTCP_INDEX] {
    let mut associated = [0; RTCP_CLEAR + RTCP_INDEX];
    associated[..RTCP_CLEAR].copy_from_slice(clear);
    associated[RTCP_CLEAR..].copy_from_slice(&word.to_be_bytes());
    associated
}

/// In a time that tells nothing of where they differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}
