//! What a subscriber says about what it got: transport feedback, reports, requests for what is missing.
//!
//! In: RTCP messages. Out: what the estimator learns, packets to be sent again, requests for keyframes.

use std::time::{Duration, Instant};

use super::pacer::Class;
use super::rtcp::{Block, Message, TransportFeedback};
use super::write::PACKET_OVERHEAD;
use super::{Egress, Waiting};

/// Packets between two reports of what arrived that count as lost. More is a jump that nobody can make sense of.
const PASSED_OVER_MAX: u16 = 500;
/// Packets that a subscriber may tell of in a second, and at once. 50 Mbit/s are 5,000; higher lets whoever tells of packets that never
/// were take more of a thread.
pub(super) const STATUSES_PER_SEC: u64 = 20_000;
pub(super) const STATUSES_AT_ONCE: u64 = 40_000;
/// Of what may be sent again, this share is for packets that were not sent again yet: some receivers ask ten times for what
/// they have, and would get nothing that they lack. Higher leaves less to who lost a packet twice.
const FIRST_COPIES_PERCENT: usize = 75;
/// No packet is larger.
const PACKET_BYTES_MAX: usize = 1_500;

impl Egress {
    pub(super) fn told(&mut self, now: Instant, message: Message<'_>) {
        match message {
            Message::Transport(feedback) => self.arrived(now, &feedback),
            Message::Nack { ssrc, lost } => {
                let Some(slot) = self.slot(ssrc) else { return };
                for sequence in lost {
                    self.resend(now, slot, sequence);
                }
            }
            Message::Pli { ssrc } | Message::Fir { ssrc } => {
                if let Some(slot) = self.slot(ssrc)
                    && !self.keyframes.contains(&slot)
                {
                    self.keyframes.push(slot);
                }
            }
            Message::Receiver(block) => self.reported(now, &block),
            Message::Bye => {}
        }
    }

    fn arrived(&mut self, now: Instant, feedback: &TransportFeedback<'_>) {
        // A few bytes can tell of thousands of packets, each of which is looked up.
        if !self.statuses.take(now, u64::from(feedback.count())) {
            return;
        }
        // Some receivers begin with what arrived: what they pass over between two reports was lost.
        let from = match self.fed {
            Some((number, end)) if number.wrapping_add(1) == feedback.number() => end,
            _ => feedback.base(),
        };
        let passed_over = feedback.base().wrapping_sub(from);
        let passed_over = if passed_over <= PASSED_OVER_MAX { passed_over } else { 0 };
        let first = feedback.base().wrapping_sub(passed_over);
        let lost = (0..passed_over).map(|index| (first.wrapping_add(index), None));
        self.estimator.handle_feedback(now, first, lost.chain(feedback.statuses()));
        self.fed = Some((feedback.number(), feedback.base().wrapping_add(feedback.count())));
    }

    fn reported(&mut self, now: Instant, block: &Block) {
        if self.slot(block.ssrc).is_none() {
            return;
        }
        self.reported.1 = Some(f32::from(block.fraction_lost) / 256.0);
        if block.last_report != 0 {
            // RFC 3550 §6.4.1: in units of 1/65,536 s. More than a minute is a mistake.
            let middle = (self.ntp(now) >> 16) as u32;
            let units = middle.wrapping_sub(block.last_report).wrapping_sub(block.delay);
            if units < 60 << 16 {
                self.reported.0 = Some(Duration::from_micros(u64::from(units) * 1_000_000 / 65_536));
            }
        }
    }

    fn resend(&mut self, now: Instant, slot: usize, sequence: u16) {
        let (round_trip, credit_max) = (self.round_trip(), self.resend_credit_max());
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        if !stream.section.is_video {
            return;
        }
        // Asked first: what is refused can be asked for again at once.
        if self.resend_credit < PACKET_BYTES_MAX * 100 {
            return;
        }
        let is_scarce = self.resend_credit * 100 < credit_max * FIRST_COPIES_PERCENT;
        let Some(kept) = stream.cache.take(now, sequence, round_trip, is_scarce) else { return };
        let (kept, bytes) = (kept.clone(), kept.payload.len() + PACKET_OVERHEAD);
        self.resend_credit = self.resend_credit.saturating_sub(bytes * 100);
        // What does not find room is asked for again.
        self.pacer.push(
            now,
            Class::Resend,
            bytes,
            Waiting { stream: slot, is_resend: true, kept, level: None, wall: now },
        );
    }
}
