//! SRTP and SRTCP of one connection (RFC 3711, RFC 7714), with the keys of its DTLS handshake (RFC 5764 §4.2).
//!
//! In: packets in the clear, their SSRC and index; SRTCP as it comes. Out: the same buffers, sealed; RTCP in the clear.
//!
//! What differs from what a general SRTP does: the caller counts. It numbers its own packets, so nothing here guesses
//! roll-overs, and one key serves any number of streams. Keys are expanded once; sealing allocates nothing when the
//! packet's capacity holds [`OVERHEAD_MAX`] bytes more.
//!
//! Not here, because WebRTC has no use for it: key identifiers (MKI), rekeying by lifetime (a stream
//! sends 2⁴⁸ packets in some thousand years), SRTCP that is only authenticated (RFC 8827 §6.5 forbids ciphers without encryption).

mod cipher;
mod derive;
mod replay;
#[cfg(test)]
pub(super) mod tests;

use std::fmt;

use cipher::Cipher;
use derive::Label;
use replay::Senders;

/// What sealing appends at most: the tag of AES-GCM, and SRTCP's index.
pub(crate) const OVERHEAD_MAX: usize = 20;
/// Bytes of an RTCP packet that stay clear: its header and the SSRC of its sender (RFC 3711 §3.4).
const RTCP_CLEAR: usize = 8;
/// Bytes of SRTCP's index with its bit that says whether the packet is encrypted.
const RTCP_INDEX: usize = 4;
/// That bit (RFC 3711 §3.4, "E-flag").
const ENCRYPTED: u32 = 1 << 31;

/// What DTLS negotiates (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// AES in counter mode, HMAC-SHA1 of ten bytes. Every WebRTC implementation has it.
    Aes128CmSha1_80,
    /// AES-GCM with a key of 128 bits.
    AeadAes128Gcm,
    /// AES-GCM with a key of 256 bits.
    AeadAes256Gcm,
}

impl Profile {
    /// Bytes to export from DTLS: two keys, two salts.
    pub(crate) const fn material_bytes(self) -> usize {
        2 * (self.key_bytes() + self.salt_bytes())
    }

    const fn key_bytes(self) -> usize {
        match self {
            Profile::Aes128CmSha1_80 | Profile::AeadAes128Gcm => 16,
            Profile::AeadAes256Gcm => 32,
        }
    }

    const fn salt_bytes(self) -> usize {
        match self {
            Profile::Aes128CmSha1_80 => 14,
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 12,
        }
    }

    const fn tag_bytes(self) -> usize {
        match self {
            Profile::Aes128CmSha1_80 => 10,
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 16,
        }
    }
}

/// One direction's master key and salt.
#[derive(Clone)]
pub(crate) struct Keys {
    profile: Profile,
    /// As many bytes as the profile has, the rest zero.
    key: [u8; 32],
    /// The same.
    salt: [u8; 14],
}

impl Keys {
    /// From what DTLS exported: the client's key, the server's, the client's salt, the server's (RFC 5764 §4.2). Gives the
    /// client's direction, then the server's; `None` if the length is wrong.
    pub(crate) fn split(profile: Profile, material: &[u8]) -> Option<(Keys, Keys)> {
        if material.len() != profile.material_bytes() {
            return None;
        }
        let (keys, salts) = material.split_at(2 * profile.key_bytes());
        let (client_key, server_key) = keys.split_at(profile.key_bytes());
        let (client_salt, server_salt) = salts.split_at(profile.salt_bytes());
        Some((Keys::new(profile, client_key, client_salt), Keys::new(profile, server_key, server_salt)))
    }

    fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Keys {
        let mut keys = Keys { profile, key: [0; 32], salt: [0; 14] };
        keys.key[..key.len()].copy_from_slice(key);
        keys.salt[..salt.len()].copy_from_slice(salt);
        keys
    }

    fn key(&self) -> &[u8] {
        &self.key[..self.profile.key_bytes()]
    }

    fn salt(&self) -> &[u8] {
        &self.salt[..self.profile.salt_bytes()]
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Seals what is sent.
pub(crate) struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    profile: Profile,
}

impl Sealer {
    /// With the keys of the direction away from here.
    pub(crate) fn new(keys: &Keys) -> Sealer {
        Sealer { rtp: Cipher::new(keys, &Label::RTP), rtcp: Cipher::new(keys, &Label::RTCP), profile: keys.profile }
    }

    /// Encrypts `packet` in place from `header` on and appends the tag, which covers all of it (RFC 3711 §3.3, RFC 7714
    /// §5). `index` is the roll-over counter << 16 | the sequence number, of this SSRC; the same index twice with other
    /// bytes gives both away.
    ///
    /// # Panics
    ///
    /// If the packet is shorter than its header.
    pub(crate) fn seal_rtp(&mut self, packet: &mut Vec<u8>, header: usize, ssrc: u32, index: u64) {
        self.rtp.seal_rtp(packet, header, ssrc, index);
    }

    /// Encrypts a compound packet in place behind its first eight bytes; appends index and tag (RFC 3711 §3.4, RFC 7714
    /// §9.1). `index` has 31 bits and is never the same twice under one key.
    ///
    /// # Panics
    ///
    /// If there is no RTCP header with an SSRC.
    pub(crate) fn seal_rtcp(&mut self, packet: &mut Vec<u8>, index: u32) {
        let ssrc = rtcp_ssrc(packet).expect("what is sent has a header and an SSRC");
        self.rtcp.seal_rtcp(packet, ssrc, index | ENCRYPTED);
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Opens SRTCP that comes.
pub(crate) struct Opener {
    rtcp: Cipher,
    profile: Profile,
    senders: Senders,
}

impl Opener {
    /// With the keys of the direction to here.
    pub(crate) fn new(keys: &Keys) -> Opener {
        Opener { rtcp: Cipher::new(keys, &Label::RTCP), profile: keys.profile, senders: Senders::default() }
    }

    /// Puts the compound packet in the clear into `into`, which is cleared first and stays empty if this is false: the
    /// packet is too short, not encrypted, forged, or was here before (RFC 3711 §3.3.2).
    pub(crate) fn open_rtcp(&mut self, packet: &[u8], into: &mut Vec<u8>) -> bool {
        into.clear();
        if packet.len() < RTCP_CLEAR + RTCP_INDEX + self.profile.tag_bytes() {
            return false;
        }
        let Some(ssrc) = rtcp_ssrc(packet) else { return false };
        let Some(word) = self.rtcp.rtcp_index(packet) else { return false };
        let index = word & !ENCRYPTED;
        // Before the tag, because looking costs less; what came is written down after it.
        if word & ENCRYPTED == 0 || !self.senders.is_new(ssrc, index) {
            return false;
        }
        if !self.rtcp.open_rtcp(packet, ssrc, word, into) {
            into.clear();
            return false;
        }
        self.senders.handle_opened(ssrc, index);
        true
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The SSRC of the sender of a compound packet (RFC 3550 §6.4).
fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    packet.get(4..RTCP_CLEAR)?.try_into().ok().map(u32::from_be_bytes)
}
