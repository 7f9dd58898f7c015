//! The one door through which media leaves towards a subscriber: header, pacing, SRTP, resends, reports, and what its path carries.
//!
//! In: packets with their final numbers ([`Outgoing`]), the subscriber's SRTCP, `now`. Out: datagrams, requests for keyframes,
//! figures of the path, deadlines. Nothing in here knows the WebRTC engine; its connection gives the keys (`engine/keys.rs`).
//!
//! Everything above decides what to send. A packet waits in the pacer, is written and encrypted when it leaves, and then kept for
//! resends: payloads are shared by all subscribers until the one copy into the datagram.

pub(crate) mod buffers;
pub(crate) mod cache;
mod feedback;
pub(crate) mod header;
pub(crate) mod pacer;
pub(crate) mod rtcp;
pub(crate) mod srtp;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::egress::buffers::Buffers;
use crate::egress::cache::{Cache, Kept};
use crate::egress::feedback::{STATUSES_AT_ONCE, STATUSES_PER_SEC};
use crate::egress::header::Extensions;
use crate::egress::pacer::{Class, Pacer, Passage, QUEUE_PACKETS_MAX, Release};
use crate::egress::srtp::{Keys, Opener, Sealer};
use crate::egress::write::PACKET_OVERHEAD;
use crate::estimate::{Estimator, Kind as Sent};
use crate::police::TokenBucket;
use crate::rewrite::Patches;

/// How often what is known of the path is told. Lower sees a thin path sooner and costs more.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
const SAMPLES_PER_SECOND: u64 = 10;
/// How often sender reports leave (RFC 3550 §6.2 allows less than its five seconds). Lower brings sound and picture into step sooner.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// IPv4 and UDP: what a path carries counts them.
const PATH_OVERHEAD: usize = 28;
/// What is paced at for a peer that tells nothing of its path.
const UNKNOWN_BPS: u64 = 30_000_000;
/// A path that loses such a share is not padded. Higher looks for more on paths that are bad by themselves, lower leaves them sooner.
const LOSSY: f32 = 0.2;
/// What may be sent again at once, if that share of the last second is less. Higher heals the first losses of a thin path.
const RESEND_BYTES_MIN: usize = 3_000;
/// Packets that wait for the end of a batch. No batch brings so many to one subscriber; what is beyond is lost.
const READY_MAX: usize = 1_024;

/// A packet for a subscriber.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) payload_type: u8,
    /// Extended.
    pub(crate) sequence: u64,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    /// When it was taken, as far as the publisher's sender reports tell; never later than now.
    pub(crate) wall: Instant,
    /// Shared by all subscribers.
    pub(crate) payload: Arc<[u8]>,
    /// What changes in it for this one.
    pub(crate) patches: Patches,
    /// RFC 6464, with whether it is voice.
    pub(crate) level: Option<(u8, bool)>,
    /// 3GPP TS 26.114 §7.4.5.
    pub(crate) orientation: Option<u8>,
}

/// What was negotiated for one stream.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) ssrc: u32,
    /// The stream of its resends (RFC 4588), and their payload type for each of its own.
    pub(crate) resend: Option<u32>,
    pub(crate) resend_types: Vec<(u8, u8)>,
    pub(crate) extensions: Extensions,
    pub(crate) clock_rate: u32,
    /// Whether it is paced, and resent on request. Sound is neither: it is small, and late sound is lost sound.
    pub(crate) is_video: bool,
}

impl Section {
    /// The stream and payload type that resends of a payload type have.
    fn resend_as(&self, payload_type: u8) -> Option<(u32, u8)> {
        let resent = self.resend_types.iter().find(|(own, _)| *own == payload_type)?.1;
        Some((self.resend?, resent))
    }
}

/// What is known of the path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    /// `None` while the peer tells nothing of what arrives.
    pub(crate) estimate_bps: Option<u64>,
    pub(crate) bytes_sent: u64,
    pub(crate) round_trip: Option<Duration>,
    /// A share.
    pub(crate) loss: Option<f32>,
}

struct Stream {
    section: Section,
    cache: Cache,
    /// Of its resends.
    resend_sequence: u64,
    packets: u32,
    bytes: u32,
    /// Of its last packet: when it was taken, its time, when it left, its payload type.
    last: Option<(Instant, u32, Instant, u8)>,
}

struct Waiting {
    stream: usize,
    is_resend: bool,
    kept: Kept,
    /// Of sound.
    level: Option<(u8, bool)>,
    wall: Instant,
}

/// All media towards one subscriber.
pub(crate) struct Egress {
    began: Instant,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    /// By the index of its slot.
    streams: Vec<Option<Stream>>,
    /// What the pacer lets pass, and sound, which is not paced; with the probe that it is part of.
    ready: VecDeque<(Waiting, Option<u32>)>,
    pacer: Pacer<Waiting>,
    estimator: Estimator,
    /// Packets that left, counted over all streams: what transport feedback is about.
    number: u64,
    reports: u32,
    report_at: Instant,
    sample_at: Instant,
    sampled: bool,
    /// What is filled up to, and looked for.
    wanted: (u64, u64),
    bytes_sent: u64,
    /// Bytes that left in the last second, about, and all until the last sample.
    recent: (u64, u64),
    /// Bytes that may be sent again, times 100.
    resend_credit: usize,
    /// How many packets the peer may tell of.
    statuses: TokenBucket,
    /// The number of the last transport feedback, and where it ended.
    fed: Option<(u8, u16)>,
    /// From receiver reports: round trip and loss of what is not told about otherwise.
    reported: (Option<Duration>, Option<f32>),
    /// Slots whose pictures cannot be decoded.
    keyframes: Vec<usize>,
    control: Vec<u8>,
    /// RTCP that waits to leave: at most one second's.
    reporting: Vec<Vec<u8>>,
}

impl Egress {
    pub(crate) fn new(now: Instant, start_bps: u64) -> Egress {
        Egress {
            began: now,
            sealer: None,
            opener: None,
            streams: Vec::new(),
            ready: VecDeque::new(),
            pacer: Pacer::new(now),
            estimator: Estimator::new(now, start_bps),
            number: 0,
            reports: 0,
            report_at: now,
            sample_at: now + SAMPLE_INTERVAL,
            sampled: false,
            wanted: (0, 0),
            bytes_sent: 0,
            recent: (0, 0),
            resend_credit: RESEND_BYTES_MIN * 100,
            statuses: TokenBucket::new(STATUSES_PER_SEC, STATUSES_AT_ONCE, now),
            fed: None,
            reported: (None, None),
            keyframes: Vec::new(),
            control: Vec::new(),
            reporting: Vec::new(),
        }
    }

    /// The handshake is done: from now on media can leave.
    pub(crate) fn open(&mut self, now: Instant, ours: &Keys, theirs: &Keys) {
        self.sealer = Some(Sealer::new(ours));
        self.opener = Some(Opener::new(theirs));
        self.estimator.set_estimate(now, self.estimator.estimate_bps());
        self.set_bitrate(now, self.wanted.0, self.wanted.1);
        self.sample_at = now + SAMPLE_INTERVAL;
    }

    /// What was negotiated for a slot. What was sent under it does not change any more: nonces are made of its numbers.
    pub(crate) fn set_section(&mut self, slot: usize, section: Section) {
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
        }
        self.streams[slot].get_or_insert_with(|| Stream {
            section,
            cache: Cache::new(),
            resend_sequence: 0,
            packets: 0,
            bytes: 0,
            last: None,
        });
    }

    /// Takes a packet. Sound leaves with the next [`Egress::poll_datagram`], pictures when the pacer lets them. False when it cannot be
    /// sent: nothing is negotiated, or too much waits.
    pub(crate) fn send(&mut self, now: Instant, slot: usize, packet: Outgoing) -> bool {
        let Some(Some(stream)) = self.streams.get(slot) else { return false };
        if self.sealer.is_none() {
            return false;
        }
        let is_video = stream.section.is_video;
        let bytes = packet.payload.len() + PACKET_OVERHEAD;
        let kept = Kept {
            sequence: packet.sequence,
            time: packet.time,
            marker: packet.marker,
            payload_type: packet.payload_type,
            payload: packet.payload,
            patches: packet.patches,
            orientation: packet.orientation,
            transport: 0,
        };
        let waiting = Waiting { stream: slot, is_resend: false, kept, level: packet.level, wall: packet.wall };
        if self.ready.len() >= READY_MAX {
            return false;
        }
        let probe = match is_video.then(|| self.pacer.pass(now, bytes)) {
            Some(Passage::Wait) => return self.pacer.push(now, Class::Video, bytes, waiting),
            Some(Passage::Free(probe)) => probe,
            None => {
                self.pacer.handle_sent(now, bytes);
                None
            }
        };
        self.ready.push_back((waiting, probe));
        true
    }

    /// How many pictures' packets it takes now.
    pub(crate) fn room(&self) -> usize {
        QUEUE_PACKETS_MAX.saturating_sub(self.pacer.queued())
    }

    /// What may be sent again at once at most, in bytes times 100.
    fn resend_credit_max(&self) -> usize {
        (self.recent.0 as usize * write::RESEND_PERCENT).max(RESEND_BYTES_MIN * 100)
    }

    /// What was sent of a slot is not sent again.
    pub(crate) fn forget_sent(&mut self, slot: usize) {
        if let Some(Some(stream)) = self.streams.get_mut(slot) {
            stream.cache.clear();
        }
    }

    /// What the path is filled up to with padding, and what is looked for on it.
    pub(crate) fn set_bitrate(&mut self, now: Instant, least_bps: u64, desired_bps: u64) {
        self.wanted = (least_bps.min(desired_bps), desired_bps);
        // Nothing can be found out by what cannot be sent.
        let can_pad = self.sealer.is_some() && self.is_told();
        self.estimator.set_wanted(now, if can_pad { desired_bps } else { 0 });
        self.set_rate(now);
    }

    /// The estimator begins anew.
    pub(crate) fn set_estimate(&mut self, now: Instant, bps: u64) {
        self.estimator.set_estimate(now, bps);
        self.set_rate(now);
    }

    /// SRTCP came. Whatever is not the subscriber's is passed over.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        let Some(opener) = &mut self.opener else { return };
        let mut control = std::mem::take(&mut self.control);
        if opener.open_rtcp(datagram, &mut control) {
            for message in rtcp::read(&control) {
                self.told(now, message);
            }
            self.set_rate(now);
        }
        self.control = control;
    }

    /// Time passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.sealer.is_none() {
            return;
        }
        if self.estimator.poll_timeout().is_some_and(|at| at <= now) {
            self.estimator.handle_timeout(now);
            self.set_rate(now);
        }
        // One at a time: the second of a pair waits with the estimator, which may think better of it.
        if !self.pacer.is_probing()
            && let Some(probe) = self.estimator.poll_probe(now)
        {
            self.pacer.start_probe(now, probe.id, probe.bps, probe.packets, probe.bytes);
        }
        if self.report_at <= now {
            self.report_at = now + REPORT_INTERVAL;
            self.reporting = self.reports(now);
        }
        if self.sample_at <= now {
            self.sample_at = now + SAMPLE_INTERVAL;
            self.sampled = true;
            // A mean that forgets: about what left in the last second.
            let newly = self.bytes_sent - self.recent.1;
            self.recent = (self.recent.0 - self.recent.0 / SAMPLES_PER_SECOND + newly, self.bytes_sent);
        }
    }

    /// When [`Egress::handle_timeout`] is to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sealer.as_ref()?;
        let times =
            [self.pacer.poll_timeout(), self.estimator.poll_timeout(), Some(self.report_at), Some(self.sample_at)];
        times.into_iter().flatten().min()
    }

    /// What is known of the path, once per interval.
    pub(crate) fn poll_known(&mut self) -> Option<Known> {
        std::mem::take(&mut self.sampled).then(|| Known {
            estimate_bps: self.is_told().then(|| self.estimator.estimate_bps()),
            bytes_sent: self.bytes_sent,
            round_trip: self.round_trip(),
            loss: self.estimator.loss().or(self.reported.1),
        })
    }

    /// A slot whose picture the peer cannot decode.
    pub(crate) fn poll_keyframe(&mut self) -> Option<usize> {
        self.keyframes.pop()
    }

    /// The next datagram that may leave now.
    pub(crate) fn poll_datagram(&mut self, now: Instant, buffers: &mut Buffers) -> Option<Vec<u8>> {
        if let Some(report) = self.reporting.pop() {
            return Some(report);
        }
        while let Some((waiting, probe)) = self.ready.pop_front() {
            let datagram = self.write(now, waiting, probe, buffers.take());
            if datagram.is_some() {
                return datagram;
            }
        }
        loop {
            let datagram = match self.pacer.poll(now)? {
                Release::Send(waiting, probe) if waiting.is_resend => {
                    self.write_again(now, waiting.stream, &waiting.kept, Sent::Media, probe, buffers.take())
                }
                Release::Send(waiting, probe) => self.write(now, waiting, probe, buffers.take()),
                Release::Padding { bytes, probe } => {
                    let datagram = self.write_padding(now, bytes, probe, buffers.take());
                    let padded = datagram.as_ref().map_or(0, |datagram| datagram.len() + PATH_OVERHEAD);
                    self.pacer.handle_padding(now, padded);
                    datagram
                }
            };
            if datagram.is_some() {
                return datagram;
            }
        }
    }

    /// What tells the peer that it is over (RFC 3550 §6.6).
    pub(crate) fn bye(&mut self) -> Option<Vec<u8>> {
        let ssrcs: Vec<u32> = self.streams.iter().flatten().map(|stream| stream.section.ssrc).collect();
        if ssrcs.is_empty() {
            return None;
        }
        let mut packet = Vec::with_capacity(8 + ssrcs.len() * 4 + PACKET_OVERHEAD);
        rtcp::write_bye(&mut packet, &ssrcs);
        self.seal_report(packet)
    }
}

impl Egress {
    fn slot(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.as_ref().is_some_and(|stream| stream.section.ssrc == ssrc))
    }

    /// Whether the peer tells what arrives.
    fn is_told(&self) -> bool {
        self.streams.iter().flatten().any(|stream| stream.section.extensions.transport.is_some())
    }

    fn round_trip(&self) -> Option<Duration> {
        self.estimator.round_trip().or(self.reported.0)
    }

    fn set_rate(&mut self, now: Instant) {
        if self.is_told() {
            // Padding into a queue makes it longer, and what loses so much carries no more.
            let estimate_bps = self.estimator.estimate_bps();
            let is_lossy = self.estimator.loss().is_some_and(|loss| loss >= LOSSY);
            let is_full = self.estimator.is_overusing() || is_lossy;
            let padding_bps = if is_full { 0 } else { self.wanted.0.min(estimate_bps) };
            self.pacer.set_rate(now, estimate_bps, padding_bps);
        } else {
            self.pacer.set_rate(now, UNKNOWN_BPS, 0);
        }
    }
}

#[cfg(test)]
mod tests;
