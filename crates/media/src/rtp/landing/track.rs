//! One track: the streams that it consists of one after another, their clocks, and what becomes of their packets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use telstar_units::{Timescale, TrackId, rescale};

use super::buffer::Buffer;
use super::{Arrived, KEYFRAME_REPEAT, Landed};
use crate::codec::{Codec, MediaKind, OPUS_SAMPLE_RATE};
use crate::frame::{Frame, KeyframeMode, Origin, Packet, TrackInfo};
use crate::rtp::Depacketiser;
use crate::timeline::{JUMP_MS, RtpClock, SenderReport};

#[derive(Debug)]
pub(super) struct Track {
    info: TrackInfo,
    zero: Instant,
    wait: Duration,
    announced: bool,
    depacketiser: Depacketiser,
    stream: Option<Stream>,
    /// The stream before: which, and its highest number.
    left: Option<(u32, u64)>,
    /// The number that the depacketiser is given next, over all streams.
    next_number: u64,
    last_dts: Option<i64>,
    /// Where the last frame ends as far as is known: the next stream begins there or later.
    end: i64,
    keyframe_wanted_at: Option<Instant>,
    dropped: u64,
    /// As told.
    dropped_told: u64,
    /// Of the last packet only, emptied before the next.
    frames: Vec<Frame>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    highest: u64,
    buffer: Buffer,
    clock: RtpClock,
    report: Option<(u64, u32)>,
    /// What is added to the stream's numbers, modulo 2^64, for those of the depacketiser.
    renumber: Option<u64>,
    /// RTP time and arrival of the last packet that left the buffer.
    last: Option<(u32, Instant)>,
}

impl Track {
    /// `None`: frames of this codec cannot be made.
    pub(super) fn new(id: TrackId, codec: Codec, zero: Instant, wait: Duration) -> Option<Track> {
        let depacketiser = Depacketiser::new(codec)?;
        let (timescale, keyframes) = match codec.kind() {
            MediaKind::Video => (Timescale::VIDEO, KeyframeMode::OnRequest),
            MediaKind::Audio => (Timescale::new(OPUS_SAMPLE_RATE)?, KeyframeMode::None),
        };
        Some(Track {
            info: TrackInfo { id, codec, timescale, keyframes, origin: Origin::Publisher },
            zero,
            wait,
            announced: false,
            depacketiser,
            stream: None,
            left: None,
            next_number: 0,
            last_dts: None,
            end: i64::MIN,
            keyframe_wanted_at: None,
            dropped: 0,
            dropped_told: 0,
            frames: Vec::new(),
        })
    }

    /// It takes the place of another one, whose frames went before.
    pub(super) fn replace(mut self, other: &Track) -> Track {
        (self.last_dts, self.end) = (other.last_dts, other.end);
        self
    }

    pub(super) fn codec(&self) -> Codec {
        self.info.codec
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.stream.as_ref().and_then(|stream| stream.buffer.timeout())
    }

    pub(super) fn push(
        &mut self,
        now: Instant,
        packet: Arrived,
        ntp_zero: &mut Option<i64>,
        ready: &mut VecDeque<Landed>,
    ) {
        if self.left.is_some_and(|(ssrc, highest)| ssrc == packet.ssrc && packet.sequence <= highest) {
            return; // A late one of the stream that was left does not bring it back.
        }
        if self.stream.as_ref().is_none_or(|stream| stream.ssrc != packet.ssrc) {
            self.flush(ntp_zero, ready);
            self.left = self.stream.take().map(|stream| (stream.ssrc, stream.highest));
        }
        let stream = self.stream.get_or_insert_with(|| Stream {
            ssrc: packet.ssrc,
            highest: packet.sequence,
            buffer: Buffer::new(self.wait),
            clock: RtpClock::following(self.info.timescale, self.zero, self.end),
            report: None,
            renumber: None,
            last: None,
        });
        stream.highest = stream.highest.max(packet.sequence);
        stream.buffer.push(packet);
        self.release(now, ntp_zero, ready);
    }

    /// Everything that need not wait.
    pub(super) fn release(&mut self, now: Instant, ntp_zero: &mut Option<i64>, ready: &mut VecDeque<Landed>) {
        while let Some(packet) = self.stream.as_mut().and_then(|stream| stream.buffer.pop(now)) {
            self.take(packet, ntp_zero, ready);
        }
    }

    /// Everything that waits.
    pub(super) fn flush(&mut self, ntp_zero: &mut Option<i64>, ready: &mut VecDeque<Landed>) {
        while let Some(packet) = self.stream.as_mut().and_then(|stream| stream.buffer.pop_first()) {
            self.take(packet, ntp_zero, ready);
        }
    }

    /// The next packet in order.
    fn take(&mut self, packet: Arrived, ntp_zero: &mut Option<i64>, ready: &mut VecDeque<Landed>) {
        let Some(stream) = &mut self.stream else { return };
        // A stream that follows another is behind a hole: its first picture must be a keyframe.
        let next_number = self.next_number;
        let renumber = *stream.renumber.get_or_insert_with(|| (next_number + 1).wrapping_sub(packet.sequence));
        let sequence = packet.sequence.wrapping_add(renumber);
        self.next_number = sequence.saturating_add(1);
        if stream.jumps(&packet, self.info.timescale) {
            stream.clock = RtpClock::following(self.info.timescale, self.zero, self.end);
        }
        stream.last = Some((packet.time, packet.arrived));
        let time = stream.time(&packet, self.info.timescale, ntp_zero);
        let packet_of_track = Packet { sequence, time, marker: packet.marker, key: false, payload: packet.payload };
        self.depacketiser.push(&packet_of_track, &mut self.frames);
        self.pass_on(packet.arrived, ready);
    }

    /// Tells what became of a packet that came at `arrived`.
    fn pass_on(&mut self, arrived: Instant, ready: &mut VecDeque<Landed>) {
        let mut frames = std::mem::take(&mut self.frames);
        for frame in frames.drain(..) {
            // Sound, which no depacketiser compares with what came before.
            if self.last_dts.is_some_and(|last| frame.dts <= last) {
                self.dropped += 1;
                continue;
            }
            self.last_dts = Some(frame.dts);
            self.end = frame.dts + i64::from(frame.duration).max(1);
            if !self.announced {
                self.announced = true;
                ready.push_back(Landed::Track(self.info.clone()));
            }
            ready.push_back(Landed::Frame(self.info.id, frame));
        }
        self.frames = frames;
        let dropped = self.dropped + self.depacketiser.frames_dropped();
        if dropped > self.dropped_told {
            ready.push_back(Landed::Dropped(dropped - self.dropped_told));
            self.dropped_told = dropped;
            let asked_lately = self.keyframe_wanted_at.is_some_and(|at| arrived < at + KEYFRAME_REPEAT);
            if self.depacketiser.waits_for_key() && !asked_lately {
                self.keyframe_wanted_at = Some(arrived);
                ready.push_back(Landed::KeyframeWanted(self.info.id));
            }
        }
    }
}

impl Stream {
    /// RTP time went on by much more or less than the world since the last packet: a broken or restarted sender.
    fn jumps(&self, packet: &Arrived, timescale: Timescale) -> bool {
        let Some((time, arrived)) = self.last else { return false };
        let ticks = i64::from(packet.time.wrapping_sub(time) as i32);
        let elapsed_ms = packet.arrived.saturating_duration_since(arrived).as_millis() as i64;
        (rescale(ticks, timescale, Timescale::MILLIS) - elapsed_ms).abs() > JUMP_MS
    }

    /// Where the packet lies on the participant's timeline.
    fn time(&mut self, packet: &Arrived, timescale: Timescale, ntp_zero: &mut Option<i64>) -> i64 {
        if let Some((ntp, rtp_time)) = packet.report.filter(|report| self.report != Some(*report)) {
            self.report = packet.report;
            let report = SenderReport::from_wire(ntp, rtp_time);
            let clock = &mut self.clock;
            let ntp_zero = *ntp_zero.get_or_insert_with(|| clock.ntp_zero_of(report, packet.time, packet.arrived));
            // Somebody has set the sender's calendar: what is in force stays so, for all of its tracks.
            let error = clock.error(report, ntp_zero, packet.time, packet.arrived);
            if rescale(error, timescale, Timescale::MILLIS).abs() <= JUMP_MS {
                clock.handle_sender_report(report, ntp_zero);
            }
        }
        self.clock.time(packet.time, packet.arrived)
    }
}
