//! STUN by hand (RFC 8489): connectivity checks as a browser sends them, and with anything wrong.

use hmac::{KeyInit, Mac};

pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
pub const SUCCESS: [u8; 2] = [1, 1];

/// Who is asked, and by whom.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub ufrag: String,
    pub password: String,
}

impl Credentials {
    /// Those in an SDP.
    pub fn of(sdp: &str) -> Credentials {
        let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).expect("it is in every SDP");
        Credentials { ufrag: value("a=ice-ufrag:").to_owned(), password: value("a=ice-pwd:").to_owned() }
    }
}

/// A connectivity check (RFC 8445 §7.2.2) of a controlling peer that nominates.
pub fn check(of: &Credentials, transaction: u32) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0];
    message.extend_from_slice(&COOKIE);
    message.extend_from_slice(&[9; 8]);
    message.extend_from_slice(&transaction.to_be_bytes());
    attribute(&mut message, 0x0006, format!("{}:{}", of.ufrag, super::peer::UFRAG).as_bytes());
    attribute(&mut message, 0x0024, &0x6e00_01ff_u32.to_be_bytes());
    attribute(&mut message, 0x802a, &7_u64.to_be_bytes());
    attribute(&mut message, 0x0025, &[]);
    // The length counts what follows, up to and with the attribute itself (RFC 8489 §14.5).
    let set_length = |message: &mut Vec<u8>, more: usize| {
        let length = (message.len() - 20 + more) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    };
    set_length(&mut message, 24);
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(of.password.as_bytes()).expect("every length is a key");
    mac.update(&message);
    attribute(&mut message, 0x0008, &mac.finalize().into_bytes());
    set_length(&mut message, 8);
    let crc = crc32fast::hash(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &crc.to_be_bytes());
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}
