//! What leaves, as bytes: packets with their headers, resends, padding, reports; encrypted.
//!
//! In: packets that may leave now. Out: datagrams, counted and told to the estimator.

use std::time::{Duration, Instant};

use super::cache::Kept;
use super::header::{self, Fields, Values};
use super::rtcp::{self, SenderReport};
use super::srtp::{OVERHEAD_MAX, Sealer};
use super::{Egress, PATH_OVERHEAD, Section, Sent, Stream, Waiting};

/// What a packet grows by at the most: header with its extensions, the number of a resend, the tag.
pub(super) const PACKET_OVERHEAD: usize = 64;
/// The most padding in one packet (RFC 3550 §5.1: its length is one byte).
const PADDING_MAX: usize = 255;
/// Of what is sent, so many percent may be sent again on request. Higher heals paths that lose more, and gives a receiver that asks for
/// everything more of the server's time.
pub(super) const RESEND_PERCENT: usize = 15;
/// A stream that sent nothing for so long reports nothing.
const REPORT_IDLE: Duration = Duration::from_secs(5);
/// NTP time of the first moment of a connection. Reports need a clock, not the time of day (RFC 3550 §4).
const NTP_BASE: u64 = 0xe000_0000_0000_0000;
/// The name of all streams in reports (RFC 3550 §6.5.1): they are of one clock.
const CNAME: &str = "telstar";
/// Bytes of a sender report (RFC 3550 §6.4.1).
const REPORT_BYTES: usize = 28;
/// SRTCP's index has 31 bits (RFC 3711 §3.4), and no value may come twice under one key: after so many reports none is sent, which is
/// after 68 years.
const INDEX_MAX: u32 = 0x7fff_ffff;

const _: () = assert!(header::HEADER_BYTES_MAX + 2 + OVERHEAD_MAX <= PACKET_OVERHEAD, "nothing is allocated twice");

/// A packet in a stream of resends.
struct Other {
    ssrc: u32,
    payload_type: u8,
    time: u32,
    marker: bool,
}

impl Egress {
    /// Writes and encrypts a packet of a stream, and keeps it for resends.
    pub(super) fn write(
        &mut self,
        now: Instant,
        waiting: Waiting,
        probe: Option<u32>,
        buffer: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let Waiting { stream, mut kept, level, wall, .. } = waiting;
        let credit_max = self.resend_credit_max();
        let stream = self.streams.get_mut(stream)?.as_mut()?;
        if stream.last.is_none() {
            // The first report tells what belongs together.
            self.report_at = now;
        }
        stream.last = Some((wall, kept.time, now, kept.payload_type));
        stream.packets = stream.packets.wrapping_add(1);
        stream.bytes = stream.bytes.wrapping_add(kept.payload.len() as u32);
        if stream.section.extensions.transport.is_some() {
            self.number += 1;
        }
        kept.transport = self.number as u16;
        let packet = self.sealer.as_mut().map(|sealer| seal(sealer, &stream.section, &kept, level, buffer))?;
        if stream.section.extensions.transport.is_some() {
            self.estimator.handle_sent(now, self.number, packet.len() + PATH_OVERHEAD, Sent::Media, probe);
        }
        self.resend_credit = (self.resend_credit + packet.len() * RESEND_PERCENT).min(credit_max);
        if stream.section.is_video {
            stream.cache.push(now, kept);
        }
        self.bytes_sent += packet.len() as u64;
        Some(packet)
    }

    /// Writes a packet that was sent before: as RFC 4588 has it, and to who does not know that the same bytes again.
    pub(super) fn write_again(
        &mut self,
        now: Instant,
        slot: usize,
        kept: &Kept,
        sort: Sent,
        probe: Option<u32>,
        buffer: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let section = &self.streams.get(slot)?.as_ref()?.section;
        let Some((ssrc, payload_type)) = section.resend_as(kept.payload_type) else {
            // The same numbers, the same bytes, the same nonce: nothing is told twice in different words.
            let packet = self.sealer.as_mut().map(|sealer| seal(sealer, section, kept, None, buffer))?;
            self.bytes_sent += packet.len() as u64;
            return Some(packet);
        };
        let other = Other { ssrc, payload_type, time: kept.time, marker: kept.marker };
        self.write_other(now, slot, other, (sort, probe), buffer, |packet| {
            packet.extend_from_slice(&(kept.sequence as u16).to_be_bytes());
            let begin = packet.len();
            packet.extend_from_slice(&kept.payload);
            kept.patches.apply(&mut packet[begin..]);
        })
    }

    /// Padding: what was sent before once more, which may even be of use, or else bytes that say nothing, in the stream of the
    /// resends. Without such a stream there is none: padding would need numbers of the pictures' own.
    pub(super) fn write_padding(
        &mut self,
        now: Instant,
        bytes: usize,
        probe: Option<u32>,
        buffer: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let able = |stream: &Stream| stream.section.resend.is_some() && !stream.section.resend_types.is_empty();
        let newest = |stream: &Stream| stream.last.map(|(.., left, _)| left);
        let streams = self.streams.iter().enumerate().filter_map(|(slot, stream)| Some((slot, stream.as_ref()?)));
        let (slot, stream) = streams.filter(|(_, stream)| able(stream)).max_by_key(|(_, stream)| newest(stream))?;
        // A packet is sent whole: for a little padding one of many bytes would be too much.
        if bytes > PADDING_MAX
            && let Some(kept) = stream.cache.padding().cloned()
        {
            return self.write_again(now, slot, &kept, Sent::Padding, probe, buffer);
        }
        let ssrc = stream.section.resend?;
        let time = stream.last.map_or(0, |(_, time, ..)| time);
        let own = stream.last.map(|(.., payload_type)| payload_type);
        let types = &stream.section.resend_types;
        let payload_type = types.iter().find(|(of, _)| Some(*of) == own).or(types.first())?.1;
        let padding = bytes.clamp(1, PADDING_MAX) as u8;
        let other = Other { ssrc, payload_type, time, marker: false };
        self.write_other(now, slot, other, (Sent::Padding, probe), buffer, |packet| {
            // RFC 3550 §5.1: the bit P, and the last byte says how many there are.
            packet[0] |= 0x20;
            packet.resize(packet.len() + usize::from(padding) - 1, 0);
            packet.push(padding);
        })
    }

    /// Writes a packet of a stream of resends.
    fn write_other(
        &mut self,
        now: Instant,
        slot: usize,
        other: Other,
        (sort, probe): (Sent, Option<u32>),
        mut packet: Vec<u8>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Vec<u8>> {
        let Other { ssrc, payload_type, time, marker } = other;
        let stream = self.streams.get_mut(slot)?.as_mut()?;
        let sealer = self.sealer.as_mut()?;
        stream.resend_sequence += 1;
        self.number += 1;
        let fields = Fields { payload_type, marker, sequence: stream.resend_sequence as u16, time, ssrc };
        let values = Values { transport: self.number as u16, level: None, orientation: None };
        let header = header::write(&mut packet, &fields, &stream.section.extensions, &values);
        payload(&mut packet);
        sealer.seal_rtp(&mut packet, header, ssrc, stream.resend_sequence);
        self.estimator.handle_sent(now, self.number, packet.len() + PATH_OVERHEAD, sort, probe);
        self.bytes_sent += packet.len() as u64;
        Some(packet)
    }

    /// The reports of the streams that send.
    pub(super) fn reports(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let ntp = self.ntp(now);
        let report = |stream: &Stream| {
            let (wall, time, left, _) = stream.last?;
            let is_sending = now.saturating_duration_since(left) < REPORT_IDLE;
            let passed = now.saturating_duration_since(wall).as_micros() as u64;
            let ticks = passed * u64::from(stream.section.clock_rate) / 1_000_000;
            is_sending.then(|| SenderReport {
                ssrc: stream.section.ssrc,
                ntp,
                rtp_time: time.wrapping_add(ticks as u32),
                packets: stream.packets,
                bytes: stream.bytes,
            })
        };
        let reports: Vec<SenderReport> = self.streams.iter().flatten().filter_map(report).collect();
        let write = |reports: &[SenderReport]| {
            let mut packet = Vec::with_capacity(reports.len() * REPORT_BYTES + PACKET_OVERHEAD);
            rtcp::write_reports(&mut packet, reports, CNAME);
            self.seal_report(packet)
        };
        reports.chunks(rtcp::REPORTS_MAX).filter_map(write).collect()
    }

    pub(super) fn seal_report(&mut self, mut packet: Vec<u8>) -> Option<Vec<u8>> {
        if self.reports >= INDEX_MAX {
            return None;
        }
        self.reports += 1;
        let index = self.reports;
        self.sealer.as_mut()?.seal_rtcp(&mut packet, index);
        self.bytes_sent += packet.len() as u64;
        Some(packet)
    }

    /// RFC 3550 §4: 32 bits of seconds, 32 of their fraction.
    pub(super) fn ntp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        NTP_BASE.wrapping_add((since.as_secs() << 32) | fraction)
    }
}

/// A packet of a stream, ready to leave. The same every time: its nonce is made of its numbers.
fn seal(
    sealer: &mut Sealer,
    section: &Section,
    kept: &Kept,
    level: Option<(u8, bool)>,
    mut packet: Vec<u8>,
) -> Vec<u8> {
    let fields = Fields {
        payload_type: kept.payload_type,
        marker: kept.marker,
        sequence: kept.sequence as u16,
        time: kept.time,
        ssrc: section.ssrc,
    };
    let values = Values { transport: kept.transport, level, orientation: kept.orientation };
    let header = header::write(&mut packet, &fields, &section.extensions, &values);
    packet.extend_from_slice(&kept.payload);
    kept.patches.apply(&mut packet[header..]);
    sealer.seal_rtp(&mut packet, header, section.ssrc, kept.sequence);
    packet
}
