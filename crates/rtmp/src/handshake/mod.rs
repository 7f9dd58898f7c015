//! The server's side of the handshake, RTMP §5.2, with the digests of Flash-era clients.
//!
//! C0 to C2 go in, S0 to S2 come out. C2 is taken as it comes: several encoders send one that matches nothing.

mod digest;

use bytes::{BufMut, BytesMut};
use sha2::{Digest, Sha256};

use crate::error::{Error, ForeignProtocol};

/// Length of C1, C2, S1 and S2, RTMP §5.2.3.
pub const PACKET_LEN: usize = 1_536;
/// The only version that is not obsolete or reserved, RTMP §5.2.2.
const VERSION: u8 = 3;
/// What S1 and S2 report as the server's version when digests are used: any non-zero one of Adobe's.
const DIGEST_SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

/// The server's side of one handshake.
///
/// Feed it with [`read`](Self::read) until it is [done](Self::is_done), and send what it appended.
pub struct Handshake {
    state: State,
    seed: [u8; 32],
    sent_s1: bool,
}

enum State {
    Version,
    C1(BytesMut),
    C2 { left: usize },
    Done,
}

impl Handshake {
    /// A handshake whose random bytes come from `seed`, which must differ per connection.
    pub fn new(seed: [u8; 32]) -> Handshake {
        Handshake { state: State::Version, seed, sent_s1: false }
    }

    /// True when C2 has been read; the rest of the input is chunks.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// True when C0 has come, C1 has not, and S1 was not sent: [`send_early`](Self::send_early) would help a client
    /// that waits.
    pub fn may_send_early(&self) -> bool {
        matches!(self.state, State::C1(_)) && !self.sent_s1
    }

    /// Takes what belongs to the handshake from the front of `input` and appends answers to `out`.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<(), Error> {
        loop {
            match &mut self.state {
                State::Version => {
                    let Some((first, rest)) = input.split_first() else { return Ok(()) };
                    check_version(*first)?;
                    *input = rest;
                    self.state = State::C1(BytesMut::with_capacity(PACKET_LEN));
                }
                State::C1(c1) => {
                    let (now, later) = input.split_at(input.len().min(PACKET_LEN - c1.len()));
                    c1.extend_from_slice(now);
                    *input = later;
                    if c1.len() < PACKET_LEN {
                        return Ok(());
                    }
                    let c1 = c1.split();
                    self.answer(&c1, out);
                    self.state = State::C2 { left: PACKET_LEN };
                }
                State::C2 { left } => {
                    let take = input.len().min(*left);
                    *input = &input[take..];
                    *left -= take;
                    if *left > 0 {
                        return Ok(());
                    }
                    self.state = State::Done;
                }
                State::Done => return Ok(()),
            }
        }
    }

    /// S0 and S1 without waiting for C1.
    pub fn send_early(&mut self, out: &mut BytesMut) {
        if self.may_send_early() {
            self.put_s0_s1(None, out);
        }
    }

    /// S0, S1 and S2 in one go: some clients wait for S2 before they send C2.
    fn answer(&mut self, c1: &[u8], out: &mut BytesMut) {
        let client = digest::find(c1);
        if !self.sent_s1 {
            self.put_s0_s1(client.as_ref().map(|client| client.scheme), out);
        }
        match client {
            // RTMP §5.2.4: S2 echoes C1, with the time at which it was read.
            None => {
                out.put_slice(&c1[..4]);
                out.put_u32(0);
                out.put_slice(&c1[8..]);
            }
            Some(client) => {
                let mut s2 = self.random_packet(1);
                digest::sign_s2(&mut s2, &client.digest);
                out.put_slice(&s2);
            }
        }
    }

    fn put_s0_s1(&mut self, scheme: Option<digest::Scheme>, out: &mut BytesMut) {
        let mut s1 = self.random_packet(0);
        // Time zero, then four zeros (RTMP §5.2.3) or, where digests are spoken, a version.
        s1[..8].fill(0);
        if let Some(scheme) = scheme {
            s1[4..8].copy_from_slice(&DIGEST_SERVER_VERSION);
            digest::sign_s1(&mut s1, scheme);
        }
        out.put_u8(VERSION);
        out.put_slice(&s1);
        self.sent_s1 = true;
    }

    /// The bytes only have to differ between connections (RTMP §5.2.3), so a hash in counter mode will do.
    fn random_packet(&self, number: u8) -> [u8; PACKET_LEN] {
        let mut packet = [0; PACKET_LEN];
        for (counter, block) in (0u8..).zip(packet.chunks_mut(32)) {
            let hash = Sha256::new().chain_update(self.seed).chain_update([number, counter]).finalize();
            block.copy_from_slice(&hash[..block.len()]);
        }
        packet
    }
}

fn check_version(first_byte: u8) -> Result<(), Error> {
    match (first_byte, ForeignProtocol::of(first_byte)) {
        (VERSION, _) => Ok(()),
        (_, Some(protocol)) => Err(Error::ForeignProtocol { protocol, first_byte }),
        (_, None) => Err(Error::Version(first_byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a handshake over `input` cut into pieces of `piece` bytes and returns what was answered and left over.
    fn run(input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, bool), Error> {
        let mut handshake = Handshake::new([7; 32]);
        let (mut out, mut left_over) = (BytesMut::new(), Vec::new());
        for mut part in input.chunks(piece) {
            handshake.read(&mut part, &mut out)?;
            left_over.extend_from_slice(part);
        }
        Ok((out.to_vec(), left_over, handshake.is_done()))
    }

    fn plain_c0_c1() -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, 9, 0, 0, 0, 0];
        bytes.extend((0..PACKET_LEN - 8).map(|index| index as u8));
        bytes
    }

    #[test]
    fn a_plain_client_gets_its_own_bytes_back() {
        let mut input = plain_c0_c1();
        input.extend([0; PACKET_LEN]);
        input.extend(b"chunks");
        for piece in [1, 7, 1_536, 10_000] {
            let (out, left_over, done) = run(&input, piece).expect("valid");
            assert_eq!(out.len(), 1 + 2 * PACKET_LEN);
            assert_eq!(out[..9], [3, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(out[1 + PACKET_LEN..][..8], [0, 0, 0, 9, 0, 0, 0, 0]);
            assert_eq!(out[1 + PACKET_LEN + 8..], input[9..1 + PACKET_LEN]);
            assert_eq!((left_over.as_slice(), done), (&b"chunks"[..], true));
        }
    }

    #[test]
    fn a_client_that_waits_for_s1_gets_it_before_c1() {
        let mut handshake = Handshake::new([7; 32]);
        let mut out = BytesMut::new();
        handshake.send_early(&mut out);
        assert!(out.is_empty(), "not before C0");
        handshake.read(&mut &[3][..], &mut out).expect("valid");
        assert!(handshake.may_send_early());
        handshake.send_early(&mut out);
        handshake.send_early(&mut out);
        assert_eq!(out.len(), 1 + PACKET_LEN);
        handshake.read(&mut &plain_c0_c1()[1..], &mut out).expect("valid");
        assert_eq!(out.len(), 1 + 2 * PACKET_LEN, "only S2 is added");
    }

    #[test]
    fn foreign_protocols_are_named() {
        for (first, text) in [
            (0x16, "this is TLS, not RTMP (first byte 22): use the rtmps address, or rtmp without s for this port"),
            (b'P', "this is HTTP, not RTMP (first byte 80): pages and playlists are on the HTTP address"),
            (b'G', "this is HTTP, not RTMP (first byte 71): pages and playlists are on the HTTP address"),
            (6, "this is RTMPE, not RTMP (first byte 6): use rtmp or rtmps"),
            (0, "unexpected RTMP version: 0"),
            (255, "unexpected RTMP version: 255"),
        ] {
            assert_eq!(run(&[first, 0, 0], 3).expect_err("not RTMP").to_string(), text);
        }
    }

    #[test]
    fn connections_with_other_seeds_get_other_bytes() {
        let s1 = |seed| {
            let mut out = BytesMut::new();
            Handshake::new([seed; 32]).read(&mut &plain_c0_c1()[..], &mut out).expect("valid");
            out[9..1 + PACKET_LEN].to_vec()
        };
        assert_eq!(s1(1), s1(1));
        assert_ne!(s1(1), s1(2));
    }
}
