//! Between an [`crate::Sfu`] and the sockets: addresses, ways and datagrams.

use std::net::SocketAddr;

/// What a datagram travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// UDP.
    Udp,
    /// ICE-TCP (RFC 6544), passive on our side; the shell adds and removes the framing of RFC 4571.
    Tcp,
}

/// The way of a datagram between this server and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// UDP or TCP.
    pub transport: Transport,
    /// Our address, as the candidate says it that the peer was offered.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// A datagram to send.
#[derive(Debug)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// An address that peers are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalCandidate {
    /// UDP or TCP.
    pub transport: Transport,
    /// The address that packets arrive at, on this machine.
    pub base: SocketAddr,
    /// The address that peers are told: another one behind a 1:1 NAT.
    pub advertised: SocketAddr,
}
