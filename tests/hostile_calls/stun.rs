//! STUN by hand (RFC 8489): connectivity checks as a browser sends them, and with anything wrong.

#[path = "../support/ice.rs"]
mod ice;

pub use ice::COOKIE;

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
    ice::check((&of.ufrag, &of.password), super::peer::UFRAG, transaction)
}
