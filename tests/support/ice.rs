//! Half a peer: as much ICE as it takes to be heard by a media port, and an offer that lets it in.
//!
//! Out: bytes. The media threads' own tests and those of calls over sockets speak through it; none of them has DTLS.
#![allow(dead_code, reason = "tests that bring their own offer use the checks alone")]

use hmac::{KeyInit, Mac};

/// What every STUN message has (RFC 8489 §5).
pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The name fragment in [`OFFER`].
pub const UFRAG: &str = "them";
/// A microphone's offer, as short as it may be.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS *\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\n\
    a=ice-pwd:thempasswordthempassword\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=msid:s t\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
    a=ssrc:1234 cname:c\r\n";

/// A connectivity check (RFC 8445 §7.2.2) of a controlling peer that nominates: from `ours` to who has `ufrag` and `password`.
pub fn check((ufrag, password): (&str, &str), ours: &str, transaction: u32) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0];
    message.extend_from_slice(&COOKIE);
    message.extend_from_slice(&[9; 8]);
    message.extend_from_slice(&transaction.to_be_bytes());
    attribute(&mut message, 0x0006, format!("{ufrag}:{ours}").as_bytes());
    attribute(&mut message, 0x0024, &0x6e00_01ff_u32.to_be_bytes());
    attribute(&mut message, 0x802a, &7_u64.to_be_bytes());
    attribute(&mut message, 0x0025, &[]);
    set_length(&mut message, 24);
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(password.as_bytes()).expect("every length is a key");
    mac.update(&message);
    attribute(&mut message, 0x0008, &mac.finalize().into_bytes());
    set_length(&mut message, 8);
    let crc = crc32fast::hash(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &crc.to_be_bytes());
    message
}

/// The length counts what follows, up to and with the attribute that comes next (RFC 8489 §14.5).
fn set_length(message: &mut [u8], next: usize) {
    let length = (message.len() - 20 + next) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}
