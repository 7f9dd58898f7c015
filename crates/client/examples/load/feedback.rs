//! What a receiver tells a sender: transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01) and
//! receiver reports (RFC 3550 §6.4.2). In: times of arrival. Out: RTCP packets.
//!
//! Of its own, because the engine's chain costs this process more for each packet than a server should.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rtc::rtcp::Packet;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
    TransportLayerCc,
};

use crate::stream::Counter;

/// As browsers do.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Gaps longer than this are taken for a new start.
const GAP_MAX: i64 = 1000;
/// Symbols of two bits in one chunk.
const SYMBOLS: usize = 7;
const TICK_US: i64 = 250;
const REFERENCE_US: i64 = 64_000;
/// The largest small delta, in ticks.
const SMALL_TICKS: i64 = 255;

pub struct Feedback {
    ssrc: u32,
    begin: Instant,
    /// Numbers without wraps, and microseconds since the beginning.
    arrivals: Vec<(i64, i64)>,
    /// The number after the last one that was reported.
    next: Option<i64>,
    media_ssrc: u32,
    count: u8,
    feedback_due: Instant,
    report_due: Instant,
}

impl Feedback {
    pub fn new(ssrc: u32, now: Instant) -> Feedback {
        let (arrivals, feedback_due, report_due) = (Vec::new(), now + FEEDBACK_INTERVAL, now + REPORT_INTERVAL);
        Feedback { ssrc, begin: now, arrivals, next: None, media_ssrc: 0, count: 0, feedback_due, report_due }
    }

    pub fn add(&mut self, ssrc: u32, number: u16, at: Instant) {
        self.media_ssrc = ssrc;
        let near = self.arrivals.last().map(|last| last.0).or(self.next).unwrap_or(i64::from(number));
        let number = near + i64::from(number.wrapping_sub(near as u16) as i16);
        self.arrivals.push((number, at.saturating_duration_since(self.begin).as_micros() as i64));
    }

    pub fn due(&self) -> Instant {
        self.feedback_due.min(self.report_due)
    }

    /// What is due.
    pub fn take(&mut self, now: Instant, streams: &HashMap<u32, Counter>) -> Vec<Box<dyn Packet>> {
        let mut packets: Vec<Box<dyn Packet>> = Vec::new();
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            packets.push(Box::new(self.report(streams)));
        }
        if now >= self.feedback_due {
            self.feedback_due = now + FEEDBACK_INTERVAL;
            if let Some(feedback) = self.feedback() {
                packets.push(Box::new(feedback));
            }
        }
        packets
    }

    fn report(&self, streams: &HashMap<u32, Counter>) -> ReceiverReport {
        let reports = streams.iter().take(31).map(|(ssrc, counter)| ReceptionReport {
            ssrc: *ssrc,
            total_lost: counter.lost() as u32,
            last_sequence_number: counter.highest() as u32,
            ..Default::default()
        });
        ReceiverReport { ssrc: self.ssrc, reports: reports.collect(), ..Default::default() }
    }

    fn feedback(&mut self) -> Option<TransportLayerCc> {
        self.arrivals.sort_unstable();
        self.arrivals.dedup_by_key(|arrival| arrival.0);
        let (first, first_at) = *self.arrivals.first()?;
        let last = self.arrivals.last()?.0;
        let base = self.next.filter(|next| *next <= first && first - next < GAP_MAX).unwrap_or(first);
        if last - base > GAP_MAX {
            self.arrivals.clear();
            self.next = None;
            return None;
        }
        let reference = first_at / REFERENCE_US;
        let mut time = reference * REFERENCE_US / TICK_US;
        let (mut symbols, mut recv_deltas) = (Vec::new(), Vec::new());
        let mut number = base;
        for (arrived, at) in self.arrivals.drain(..) {
            symbols.extend((number..arrived).map(|_| SymbolTypeTcc::PacketNotReceived));
            let ticks = at / TICK_US - time;
            time = at / TICK_US;
            let symbol = match (0..=SMALL_TICKS).contains(&ticks) {
                true => SymbolTypeTcc::PacketReceivedSmallDelta,
                false => SymbolTypeTcc::PacketReceivedLargeDelta,
            };
            recv_deltas.push(RecvDelta { type_tcc_packet: symbol, delta: ticks * TICK_US });
            symbols.push(symbol);
            number = arrived + 1;
        }
        self.next = Some(number);
        self.count = self.count.wrapping_add(1);
        Some(TransportLayerCc {
            sender_ssrc: self.ssrc,
            media_ssrc: self.media_ssrc,
            base_sequence_number: base as u16,
            packet_status_count: symbols.len() as u16,
            reference_time: (reference & 0xff_ffff) as u32,
            fb_pkt_count: self.count.wrapping_sub(1),
            packet_chunks: symbols.chunks(SYMBOLS).map(chunk).collect(),
            recv_deltas,
        })
    }
}

fn chunk(symbols: &[SymbolTypeTcc]) -> PacketStatusChunk {
    let mut symbol_list = symbols.to_vec();
    symbol_list.resize(SYMBOLS, SymbolTypeTcc::PacketNotReceived);
    PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
        type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
        symbol_size: SymbolSizeTypeTcc::TwoBit,
        symbol_list,
    })
}
