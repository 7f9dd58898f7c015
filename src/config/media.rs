//! The section `[media]`: the port of WebRTC, and how peers are told to reach it.

use std::net::{IpAddr, SocketAddr};

use super::address::Listen;
use super::section::section;
use super::value::{ListItem, word};

/// WebRTC's port. There is no usual one; this is easy to remember and outside of the ephemeral range.
const MEDIA_PORT: u16 = 10_000;

word! {
    /// Who checks connectivity.
    IceLite {
        /// Only the peers where they reach the advertised addresses as they stand, else both sides.
        Auto = "auto",
        /// Only the peers.
        On = "on",
        /// Both sides.
        Off = "off",
    }
}

/// An address that peers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advertised {
    /// With the port that the server listens on.
    Ip(IpAddr),
    /// With the port that a router forwards.
    Address(SocketAddr),
}

impl ListItem for Advertised {
    fn parse_item(text: &str) -> Option<Self> {
        let advertised = text.parse().map(Advertised::Ip).or_else(|_| text.parse().map(Advertised::Address)).ok()?;
        let ip = match advertised {
            Advertised::Ip(ip) => ip,
            Advertised::Address(address) => address.ip(),
        };
        // Nobody can send to these.
        (!ip.is_unspecified() && !ip.is_multicast()).then_some(advertised)
    }
    fn allowed_item() -> &'static str {
        r#"addresses such as "203.0.113.7" or "203.0.113.7:10000""#
    }
    fn print_item(&self) -> String {
        match self {
            Advertised::Ip(ip) => ip.to_string(),
            Advertised::Address(address) => address.to_string(),
        }
    }
}

section! {
    /// Calls: where their media arrives and how much of it there may be. The flag of `listen` is `--media`, its variable
    /// `TELSTAR_MEDIA`.
    Media {
        /// Where WebRTC listens, over UDP and TCP on the same port, for everybody. `off` is a server without calls.
        listen: Listen = Listen::Everywhere(MEDIA_PORT),
        /// The addresses that peers are told. Empty: those of this machine's interfaces, and what `public_url` resolves to
        /// when all of them are private. Behind a 1:1 NAT set its public address.
        advertise: Vec<Advertised> = Vec::new(),
        /// Whether peers alone check connectivity (ICE-lite), which is quicker. It needs an advertised address that they
        /// reach as it stands; `auto` finds out.
        ice_lite: IceLite = IceLite::Auto,
        /// Media sections of a subscriber's connection. Higher shows more tiles at once and makes offers longer.
        slots: u32 = 30 => 1..=100,
        /// How many of them carry sound. In a larger room the loudest speakers have them.
        audio_slots: u32 = 10 => 1..=50,
        /// The most that one subscriber is sent.
        send_max_kbps: u32 = 30_000 => 100..=1_000_000,
        /// The most that one publisher may send. More is dropped.
        receive_max_kbps: u32 = 20_000 => 100..=1_000_000,
        /// ICE-TCP connections at once. Beyond it a new one is closed. They are for networks that block UDP.
        tcp_connections_max: u32 = 2_000 => 1..=100_000,
        /// Such connections at once from one address, an IPv6 /64 counting as one. Beyond it a new one is closed.
        tcp_connections_per_address_max: u32 = 200 => 1..=100_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertised_addresses_are_those_that_one_can_send_to() {
        for (text, expect) in [
            ("203.0.113.7", true),
            ("203.0.113.7:10000", true),
            ("2001:db8::1", true),
            ("[2001:db8::1]:10000", true),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("[::]:1", false),
            ("media.example.org", false),
            ("", false),
        ] {
            let parsed = Advertised::parse_item(text);
            assert_eq!(parsed.is_some(), expect, "{text}");
            assert!(parsed.is_none_or(|advertised| advertised.print_item() == text));
        }
    }
}
