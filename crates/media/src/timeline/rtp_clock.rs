//! RTP time to timeline: by sender reports per SSRC, by arrival until the first, then slewed, never stepped back.

use std::time::{Duration, Instant};

use telstar_units::{Timescale, rescale};

use super::WrapExtender;

/// How fast the mapping may be slewed towards a newer sender report, in parts per million of elapsed media time.
///
/// Higher corrects lip sync sooner but bends frame durations visibly; lower leaves a wrong first guess standing for
/// longer. 5,000 ppm moves 5 ms a second and changes a 33 ms frame by 0.17 ms (guess, to be measured with calls).
pub const SLEW_PPM_MAX: i64 = 5_000;

/// The pair of clocks in an RTCP sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct SenderReport {
    /// NTP time as microseconds on the sender's clock.
    pub ntp_micros: i64,
    /// RTP time at the same instant.
    pub rtp_time: u32,
}

/// Maps one SSRC's RTP times to the participant's timeline.
///
/// All clocks of a participant share `zero` (the instant of its first packet) and, through sender reports, the
/// sender's NTP clock: `ntp_zero` is the NTP time that stands for `zero`, fixed by the participant's first report.
#[derive(Clone, Debug)]
pub struct RtpClock {
    timescale: Timescale,
    zero: Instant,
    extender: WrapExtender,
    /// Timeline ticks minus extended RTP ticks now in force.
    offset: Option<i64>,
    /// Where the newest sender report wants the offset to be.
    target: Option<i64>,
    last_rtp: i64,
    last_time: Option<i64>,
}

impl RtpClock {
    /// A clock for an SSRC with `timescale`, on the timeline that began at `zero`.
    pub fn new(timescale: Timescale, zero: Instant) -> RtpClock {
        let extender = WrapExtender::default();
        RtpClock { timescale, zero, extender, offset: None, target: None, last_rtp: 0, last_time: None }
    }

    /// Takes a sender report. `ntp_zero` is the participant's common base; the first report of any of its SSRCs
    /// defines it with [`RtpClock::ntp_zero_of`].
    pub fn handle_sender_report(&mut self, report: SenderReport, ntp_zero: i64) {
        let rtp = self.peek(report.rtp_time);
        let wanted = rescale(report.ntp_micros - ntp_zero, Timescale::MICROS, self.timescale);
        self.target = Some(wanted - rtp);
        if self.offset.is_none() {
            self.offset = self.target;
        }
    }

    /// The NTP time that stands for the timeline's zero, if this report, seen `now`, is the participant's first.
    pub fn ntp_zero_of(report: SenderReport, zero: Instant, now: Instant) -> i64 {
        report.ntp_micros - now.saturating_duration_since(zero).as_micros() as i64
    }

    /// The timeline ticks of a packet with `rtp_time` that arrived `now`.
    pub fn time(&mut self, rtp_time: u32, now: Instant) -> i64 {
        let rtp = self.extender.extend(rtp_time);
        let offset = match self.offset {
            Some(offset) => offset,
            None => ticks_of(now.saturating_duration_since(self.zero), self.timescale) - rtp,
        };
        let offset = self.slewed(offset, rtp);
        self.offset = Some(offset);
        self.last_rtp = self.last_rtp.max(rtp);
        let time = rtp + offset;
        self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        time
    }

    /// Moves `offset` towards the target by at most the slew rate times the media time since the last packet.
    fn slewed(&self, offset: i64, rtp: i64) -> i64 {
        let (Some(target), Some(_)) = (self.target, self.last_time) else {
            return self.target.unwrap_or(offset);
        };
        let elapsed = (rtp - self.last_rtp).max(0);
        let step = elapsed * SLEW_PPM_MAX / 1_000_000;
        offset + (target - offset).clamp(-step, step)
    }

    /// Extends without moving the extender: reports may lie ahead of or behind the packets.
    fn peek(&self, rtp_time: u32) -> i64 {
        let mut extender = self.extender;
        extender.extend(rtp_time)
    }
}

fn ticks_of(duration: Duration, timescale: Timescale) -> i64 {
    rescale(duration.as_micros() as i64, Timescale::MICROS, timescale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u32 = 90_000;

    #[test]
    fn until_the_first_report_arrival_anchors_and_rtp_counts() {
        let zero = Instant::now();
        let mut clock = RtpClock::new(Timescale::VIDEO, zero);
        assert_eq!(clock.time(u32::MAX - 100, zero + Duration::from_millis(20)), 1_800);
        // Arrival jitter does not matter any more, and the RTP clock wraps.
        assert_eq!(clock.time(3_000 - 101, zero + Duration::from_millis(90)), 4_800);
    }

    #[test]
    fn a_report_is_slewed_to_and_time_never_steps_back() {
        let zero = Instant::now();
        let mut clock = RtpClock::new(Timescale::VIDEO, zero);
        let mut last = clock.time(0, zero + Duration::from_millis(100));
        // The report says that RTP 0 was at the timeline's 40 ms: 60 ms earlier than arrival made it.
        clock.handle_sender_report(SenderReport { ntp_micros: 1_040_000, rtp_time: 0 }, 1_000_000);
        for frame in 1..=30 * 30 {
            let time = clock.time(frame * SECOND / 30, zero);
            assert!(time > last, "frame {frame}: {time} after {last}");
            last = time;
        }
        assert_eq!(last, i64::from(30 * SECOND) + 3_600, "60 ms take 12 s at 5 ms a second");
    }

    #[test]
    fn audio_and_video_of_one_participant_meet_on_one_ntp_base() {
        let zero = Instant::now();
        let now = zero + Duration::from_millis(500);
        let report = SenderReport { ntp_micros: 7_000_000_000, rtp_time: 45_000 };
        let ntp_zero = RtpClock::ntp_zero_of(report, zero, now);
        let mut video = RtpClock::new(Timescale::VIDEO, zero);
        let mut audio = RtpClock::new(Timescale::new(48_000).expect("not zero"), zero);
        video.handle_sender_report(report, ntp_zero);
        audio.handle_sender_report(SenderReport { ntp_micros: 7_000_250_000, rtp_time: 96_000 }, ntp_zero);
        assert_eq!(video.time(45_000, now), 45_000);
        assert_eq!(audio.time(96_000, now), 36_000, "a quarter of a second later, whatever the arrival");
    }
}
