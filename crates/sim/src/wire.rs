//! Rules that hold after each step, whatever happens: what is on the wire, and what is allocated.
//!
//! In: every datagram of the server, its estimates and allocations. Out: the first rule that was broken.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use telstar_sfu::{Allocated, PeerId, Role, Sfu};

use crate::client::Client;

/// An allocation may be so much older than the estimate: the server allocates ten times a second.
const ALLOCATION_LAGS: Duration = Duration::from_millis(200);
/// What sound is counted as, per slot; it is never held back.
const SOUND_BPS: u64 = 40_000;

/// Sequence numbers of one stream of one connection.
#[derive(Default)]
struct Stream {
    highest: u64,
    used: HashSet<u64>,
    bytes: u64,
}

impl Stream {
    /// Notes a number of 16 bits. False if it was used before.
    fn take(&mut self, number: u16) -> bool {
        if self.used.is_empty() {
            // In the second cycle, so that what came before the first does not go below zero.
            self.highest = 0x1_0000 + u64::from(number);
            return self.used.insert(self.highest);
        }
        let step = i64::from(number.wrapping_sub(self.highest as u16) as i16);
        let extended = self.highest.saturating_add_signed(step);
        self.highest = self.highest.max(extended);
        self.used.insert(extended)
    }
}

/// What the server put on the wire.
#[derive(Default)]
pub struct Wire {
    streams: HashMap<(PeerId, u32), Stream>,
    estimates: BTreeMap<PeerId, VecDeque<(Instant, Allocated)>>,
    /// Bytes of RTP to each client.
    pub sent: BTreeMap<PeerId, u64>,
    /// The first rule that was broken.
    pub broken: Option<String>,
    /// Of every datagram in both directions: when, whose, how long. Equal for two runs of one seed.
    pub digest: u64,
}

impl Wire {
    /// A datagram set out.
    pub(crate) fn fold(&mut self, at: Duration, peer: PeerId, bytes: &[u8]) {
        // RFC 7983 §7: a handshake's signatures are now and then a byte shorter, whatever the seed.
        let len = if matches!(bytes.first(), Some(20..=22)) { 0 } else { bytes.len() };
        for value in [at.as_nanos() as u64, peer.0, len as u64] {
            // FNV-1a, by words.
            self.digest = (self.digest ^ value).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// A datagram of the server to a client.
    pub(crate) fn note(&mut self, at: Duration, peer: PeerId, bytes: &[u8]) {
        self.fold(at, peer, bytes);
        // RFC 7983 §7 and RFC 5761 §4: 128 to 191 is RTP and RTCP, payload types 64 to 95 are RTCP's.
        let is_rtp = bytes.len() >= 12 && bytes[0] >> 6 == 2 && !(64..96).contains(&(bytes[1] & 0x7f));
        if !is_rtp {
            return;
        }
        *self.sent.entry(peer).or_default() += bytes.len() as u64;
        let number = u16::from_be_bytes([bytes[2], bytes[3]]);
        let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        // RFC 3711 §9.1: with one key the same number must never be used for two packets.
        let stream = self.streams.entry((peer, ssrc)).or_default();
        stream.bytes += bytes.len() as u64;
        if !stream.take(number) {
            self.break_rule(format!("number {number} of stream {ssrc:08x} was sent to {peer:?} twice"));
        }
    }

    /// Bytes of each stream to a client, lost ones included.
    pub fn bytes_to(&self, peer: PeerId) -> HashMap<u32, u64> {
        let streams = self.streams.iter().filter(|((whose, _), _)| *whose == peer);
        streams.map(|((_, ssrc), stream)| (*ssrc, stream.bytes)).collect()
    }

    /// What is allocated never exceeds what the path was believed to carry when it was. The exceptions are those of [`Allocated`]:
    /// lowest layers may be on credit, so long as nothing else is allocated, and sound is never held back.
    pub(crate) fn note_estimates(&mut self, now: Instant, sfu: &Sfu, clients: &BTreeMap<PeerId, Client>) {
        for client in clients.values().filter(|client| client.role != Role::Publisher) {
            let Some(share) = sfu.allocated(client.id) else { continue };
            let recent = self.estimates.entry(client.id).or_default();
            if recent.back().is_none_or(|(_, last)| *last != share) {
                recent.push_back((now, share));
            }
            // The last one before the period still held when it began.
            while recent.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= ALLOCATION_LAGS) {
                recent.pop_front();
            }
            let of_recent = |of: fn(&Allocated) -> u64| recent.iter().map(|(_, share)| of(share)).max().unwrap_or(0);
            let estimate = of_recent(|share| share.estimate_bps);
            let sound = client.sections.len().max(4) as u64 * SOUND_BPS;
            let on_credit = of_recent(|share| share.estimate_bps + share.lent_bps).max(sound);
            let is_lowest = share.allocated_bps <= share.lowest_bps;
            if share.allocated_bps > estimate && !(is_lowest && share.allocated_bps <= on_credit) {
                self.break_rule(format!("more is allocated to {:?} than its path carries: {share:?}", client.id));
                return;
            }
        }
    }

    fn break_rule(&mut self, rule: String) {
        self.broken.get_or_insert(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(number: u16) -> Vec<u8> {
        [&[0x80, 0x60], &number.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 7]].concat()
    }

    #[test]
    fn a_number_that_is_used_again_breaks_a_rule_and_one_of_the_next_cycle_does_not() {
        let mut wire = Wire::default();
        let mut send = |number: u16| {
            wire.note(Duration::ZERO, PeerId(1), &rtp(number));
            wire.broken.is_some()
        };
        assert!(![65_530, 65_535, 65_534, 0, 4].map(&mut send).contains(&true));
        assert!(!(5..=65_535).any(&mut send), "a whole cycle later");
        assert!(send(65_535));
    }
}
