//! The handshake with HMAC-SHA256 digests that Flash Player 9 introduced and some encoders still insist on.
//!
//! There is no specification. Followed are the notes that all servers follow (RTMPE.txt of the rtmpdump project) and
//! what ffmpeg's librtmp replacement (libavformat/rtmpproto.c) checks.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::PACKET_LEN;

const DIGEST_LEN: usize = 32;
/// The 30 bytes that sign the first packet of a client.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// The 36 bytes that sign the first packet of a server.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// Follows either key where second packets are signed.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e, 0xec, 0x5d,
    0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Where the digest's position is written: two layouts exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The four position bytes are at 8.
    At8,
    /// The four position bytes are at 772.
    At772,
}

/// A client's digest and the layout it was found in.
pub(super) struct ClientDigest {
    pub(super) scheme: Scheme,
    pub(super) digest: [u8; DIGEST_LEN],
}

/// The digest of `c1`, or `None` for a plain client.
pub(super) fn find(c1: &[u8]) -> Option<ClientDigest> {
    [Scheme::At772, Scheme::At8].into_iter().find_map(|scheme| {
        let at = digest_position(c1, scheme);
        let digest = digest_of(c1, at, CLIENT_KEY);
        (c1[at..at + DIGEST_LEN] == digest).then_some(ClientDigest { scheme, digest })
    })
}

/// Writes the server's digest into `s1`.
pub(super) fn sign_s1(s1: &mut [u8; PACKET_LEN], scheme: Scheme) {
    let at = digest_position(s1, scheme);
    let digest = digest_of(s1, at, SERVER_KEY);
    s1[at..at + DIGEST_LEN].copy_from_slice(&digest);
}

/// Signs `s2` at its end, with a key made from the client's digest.
pub(super) fn sign_s2(s2: &mut [u8; PACKET_LEN], client_digest: &[u8; DIGEST_LEN]) {
    let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[client_digest]);
    let (body, signature) = s2.split_at_mut(PACKET_LEN - DIGEST_LEN);
    signature.copy_from_slice(&hmac(&key, &[body]));
}

fn digest_position(packet: &[u8], scheme: Scheme) -> usize {
    let base = match scheme {
        Scheme::At8 => 8,
        Scheme::At772 => 772,
    };
    let sum: usize = packet[base..base + 4].iter().map(|byte| usize::from(*byte)).sum();
    // The digest lies within the 764 bytes of its block, behind the four position bytes.
    base + 4 + sum % 728
}

/// The HMAC of `packet` without the 32 bytes at `at`.
fn digest_of(packet: &[u8], at: usize, key: &[u8]) -> [u8; DIGEST_LEN] {
    hmac(key, &[&packet[..at], &packet[at + DIGEST_LEN..]])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_LEN] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::handshake::Handshake;

    #[test]
    fn a_digest_client_of_either_layout_gets_signed_answers() {
        for scheme in [Scheme::At8, Scheme::At772] {
            let mut c1 = [0u8; PACKET_LEN];
            c1.iter_mut().enumerate().for_each(|(index, byte)| *byte = (index * 31) as u8);
            let at = digest_position(&c1, scheme);
            let digest = digest_of(&c1, at, CLIENT_KEY);
            c1[at..at + DIGEST_LEN].copy_from_slice(&digest);
            assert_eq!(find(&c1).map(|found| found.scheme), Some(scheme));

            let mut out = BytesMut::new();
            let input = [&[3], &c1[..]].concat();
            Handshake::new([1; 32]).read(&mut &input[..], &mut out).expect("valid");
            let (s1, s2) = (&out[1..=PACKET_LEN], &out[1 + PACKET_LEN..]);
            let at = digest_position(s1, scheme);
            assert_eq!(s1[at..at + DIGEST_LEN], digest_of(s1, at, SERVER_KEY), "{scheme:?}");
            let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&digest]);
            assert_eq!(s2[PACKET_LEN - DIGEST_LEN..], hmac(&key, &[&s2[..PACKET_LEN - DIGEST_LEN]]));
        }
    }
}
