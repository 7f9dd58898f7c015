//! What an [`crate::Sfu`] is made with: addresses, limits, the certificate that all its peers share.

use std::time::Duration;

use crate::api::LocalCandidate;
use crate::engine::Certificate;

/// How an [`crate::Sfu`] is set up.
#[derive(Clone)]
pub struct SfuConfig {
    /// The addresses that peers are offered.
    pub candidates: Vec<LocalCandidate>,
    /// Answer connectivity checks only (RFC 8445 §2.5). Right when peers reach the advertised addresses as they
    /// stand; otherwise this server sends checks of its own.
    pub ice_lite: bool,
    /// How much of everything.
    pub limits: Limits,
    /// What every peer's DTLS shows. Making one costs a millisecond, hence one for all.
    pub certificate: Certificate,
}

/// How much of everything a peer may have. The fields are what an operator may want to change; what follows from
/// protocols is a constant beside its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Media sections of a subscriber's connection. Higher shows more tiles at once and makes offers and
    /// answers longer; tracks beyond the limit have to wait for a slot.
    pub slots: usize,
    /// How many of the slots carry sound. In a larger room the loudest speakers have them.
    pub audio_slots: usize,
    /// Tracks of one publisher. Higher lets one connection fill a room.
    pub tracks: usize,
    /// Encodings of one track. Browsers send three at most.
    pub layers: usize,
    /// What one subscriber is sent at most. A subscriber that reports more than its path carries would otherwise make
    /// this server flood it.
    pub send_bps_max: u64,
    /// What one publisher may send. More is dropped before decryption. A camera with three layers and a screen stay
    /// under 8 Mbit/s.
    pub receive_bps_max: u64,
    /// As `receive_bps_max`, in packets: 2,000 packets a second are 19 Mbit/s of full ones.
    pub receive_packets_max: u64,
    /// How long a connection may take until ICE and DTLS are up. Higher lets idle ones be hoarded; 30 s is what
    /// browsers give ICE.
    pub connect_timeout: Duration,
    /// How long after its last sign of life a connection is kept (RFC 7675 §5.1: consent ends after 30 s).
    pub consent_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            slots: 30,
            audio_slots: 10,
            tracks: 12,
            layers: 4,
            send_bps_max: 30_000_000,
            receive_bps_max: 20_000_000,
            receive_packets_max: 4_000,
            connect_timeout: Duration::from_secs(30),
            consent_timeout: Duration::from_secs(30),
        }
    }
}
