//! RTP time to timeline: by sender reports per SSRC, by arrival until the first, then slewed, stepped forward where time was
//! left out, never stepped back.

use std::time::{Duration, Instant};

use telstar_units::{Timescale, rescale};

use super::WrapExtender;

/// How fast the mapping may be slewed towards a newer sender report, in parts per million of elapsed media time.
///
/// Higher corrects lip sync sooner but bends frame durations visibly; lower leaves a wrong first guess standing for
/// longer. 5,000 ppm moves 5 ms a second and changes a 33 ms frame by 0.17 ms (guess, to be measured with calls).
pub const SLEW_PPM_MAX: i64 = 5_000;
/// A newer report that puts the stream later by more than this is followed at once: its source left time out, as a sound device
/// does that stood still, and slewing to there would leave lips out of step for minutes.
///
/// Lower puts holes where a report was only imprecise (guess: browsers' are surer than this). Higher leaves more than this out of
/// step for as long as the slew takes, here 12 s: sound that is 45 ms early is noticed (ITU-R BT.1359).
const STEP_MIN_MS: i64 = 60;

/// The pair of clocks in an RTCP sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// NTP time as microseconds on the sender's clock.
    pub ntp_micros: i64,
    /// RTP time at the same instant.
    pub rtp_time: u32,
}

impl SenderReport {
    /// From the wire's NTP time: seconds in the upper 32 bits, their fraction in the lower.
    pub fn from_wire(ntp: u64, rtp_time: u32) -> SenderReport {
        let micros = (ntp >> 32) * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32);
        SenderReport { ntp_micros: micros as i64, rtp_time }
    }

    /// The NTP time in microseconds of another RTP time of the same stream.
    fn ntp_of(self, rtp_time: u32, timescale: Timescale) -> i64 {
        let since = i64::from(rtp_time.wrapping_sub(self.rtp_time) as i32);
        self.ntp_micros + rescale(since, timescale, Timescale::MICROS)
    }
}

/// Maps one SSRC's RTP times to the participant's timeline.
///
/// All clocks of a participant share `zero` (the instant of its first packet) and, through sender reports, the
/// sender's NTP clock: `ntp_zero` is the NTP time that stands for `zero`, fixed by the participant's first report.
#[derive(Clone, Debug)]
pub struct RtpClock {
    timescale: Timescale,
    zero: Instant,
    /// No time lies before it.
    floor: i64,
    extender: WrapExtender,
    /// Timeline ticks minus extended RTP ticks now in force.
    offset: Option<i64>,
    /// Where the newest sender report wants the offset to be.
    target: Option<i64>,
    last_rtp: Option<i64>,
}

impl RtpClock {
    /// A clock for an SSRC with `timescale`, on the timeline that began at `zero`.
    pub fn new(timescale: Timescale, zero: Instant) -> RtpClock {
        RtpClock::following(timescale, zero, i64::MIN)
    }

    /// A clock for an SSRC that goes on where another one of the same track has ended: its first time is not before
    /// `floor`, wherever arrival or a report would put it, and is slewed to there.
    pub fn following(timescale: Timescale, zero: Instant, floor: i64) -> RtpClock {
        let extender = WrapExtender::default();
        RtpClock { timescale, zero, floor, extender, offset: None, target: None, last_rtp: None }
    }

    /// Takes a sender report. `ntp_zero` is the participant's common base; the first report of any of its SSRCs
    /// defines it with [`RtpClock::ntp_zero_of`].
    pub fn handle_sender_report(&mut self, report: SenderReport, ntp_zero: i64) {
        if self.last_rtp.is_none() {
            // The first packet may lie on the other side of the wrap.
            self.extender.extend(report.rtp_time);
        }
        let rtp = self.peek(report.rtp_time);
        self.target = Some(self.ticks_since(ntp_zero, report.ntp_micros) - rtp);
    }

    /// The NTP time that stands for the timeline's zero, if this report is the participant's first: it leaves the
    /// packet with `rtp_time` that arrived `now` where it would be without one.
    pub fn ntp_zero_of(&self, report: SenderReport, rtp_time: u32, now: Instant) -> i64 {
        let time = rescale(self.place(rtp_time, now), self.timescale, Timescale::MICROS);
        report.ntp_of(rtp_time, self.timescale) - time
    }

    /// By how many ticks this report would have the packet with `rtp_time` that arrived `now` lie later than it does.
    pub fn error(&self, report: SenderReport, ntp_zero: i64, rtp_time: u32, now: Instant) -> i64 {
        self.ticks_since(ntp_zero, report.ntp_of(rtp_time, self.timescale)) - self.place(rtp_time, now)
    }

    /// The timeline ticks of a packet with `rtp_time` that arrived `now`.
    pub fn time(&mut self, rtp_time: u32, now: Instant) -> i64 {
        let rtp = self.extender.extend(rtp_time);
        let offset = match self.offset {
            Some(offset) => self.slewed(offset, rtp),
            None => self.first_offset(rtp, now),
        };
        self.offset = Some(offset);
        self.last_rtp = Some(self.last_rtp.map_or(rtp, |last| last.max(rtp)));
        rtp + offset
    }

    /// What [`RtpClock::time`] would say, without a report that is not in force yet.
    fn place(&self, rtp_time: u32, now: Instant) -> i64 {
        let rtp = self.peek(rtp_time);
        rtp + self.offset.unwrap_or_else(|| self.first_offset(rtp, now))
    }

    /// By the report if there was one, by arrival otherwise.
    fn first_offset(&self, rtp: i64, now: Instant) -> i64 {
        let arrival = || ticks_of(now.saturating_duration_since(self.zero), self.timescale) - rtp;
        self.target.unwrap_or_else(arrival).max(self.floor.saturating_sub(rtp))
    }

    /// Moves `offset` towards the target by at most the slew rate times the media time since the last packet, or to a much
    /// later one at once.
    fn slewed(&self, offset: i64, rtp: i64) -> i64 {
        let target = self.target.unwrap_or(offset);
        if target - offset > rescale(STEP_MIN_MS, Timescale::MILLIS, self.timescale) {
            return target;
        }
        let elapsed = self.last_rtp.map_or(0, |last| (rtp - last).max(0));
        let step = elapsed * SLEW_PPM_MAX / 1_000_000;
        offset + (target - offset).clamp(-step, step)
    }

    /// Extends without moving the extender: reports may lie ahead of or behind the packets.
    fn peek(&self, rtp_time: u32) -> i64 {
        let mut extender = self.extender;
        extender.extend(rtp_time)
    }

    fn ticks_since(&self, ntp_zero: i64, ntp_micros: i64) -> i64 {
        rescale(ntp_micros.saturating_sub(ntp_zero), Timescale::MICROS, self.timescale)
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
    fn a_source_that_left_time_out_is_followed_at_once_and_one_that_is_early_is_slewed_to() {
        let zero = Instant::now();
        let mut clock = RtpClock::new(Timescale::VIDEO, zero);
        clock.time(0, zero);
        // It stood still for 50 ms, in which its clock did not run: nobody notices while it is made up for.
        clock.handle_sender_report(SenderReport { ntp_micros: 1_050_000, rtp_time: SECOND }, 0);
        assert_eq!(clock.time(SECOND, zero), i64::from(SECOND) + 450, "5 ms a second");
        // It stood still for 1.3 s.
        clock.handle_sender_report(SenderReport { ntp_micros: 3_300_000, rtp_time: 2 * SECOND }, 0);
        assert_eq!(clock.time(2 * SECOND + 3_000, zero), i64::from(2 * SECOND + 3_000) + 117_000);
        // Back by as much: time does not go back.
        clock.handle_sender_report(SenderReport { ntp_micros: 3_000_000, rtp_time: 3 * SECOND }, 0);
        let mut last = 0;
        for frame in 0..300 {
            let time = clock.time(3 * SECOND + frame * 3_000, zero);
            assert!(time > last, "frame {frame}: {time} after {last}");
            last = time;
        }
        assert!(last > i64::from(13 * SECOND) + 100_000, "slowly: {last}");
    }

    #[test]
    fn audio_and_video_of_one_participant_meet_on_one_ntp_base() {
        let zero = Instant::now();
        let now = zero + Duration::from_millis(500);
        let report = SenderReport { ntp_micros: 7_000_000_000, rtp_time: 45_000 };
        let mut video = RtpClock::new(Timescale::VIDEO, zero);
        let ntp_zero = video.ntp_zero_of(report, 45_000, now);
        let mut audio = RtpClock::new(Timescale::new(48_000).expect("not zero"), zero);
        video.handle_sender_report(report, ntp_zero);
        audio.handle_sender_report(SenderReport { ntp_micros: 7_000_250_000, rtp_time: 96_000 }, ntp_zero);
        assert_eq!(video.time(45_000, now), 45_000);
        assert_eq!(audio.time(96_000, now), 36_000, "a quarter of a second later, whatever the arrival");
    }

    #[test]
    fn the_first_report_moves_nothing_however_old_it_is() {
        let zero = Instant::now();
        let now = zero + Duration::from_secs(20);
        let mut clock = RtpClock::new(Timescale::VIDEO, zero);
        // Five seconds old, on the other side of the wrap.
        let report = SenderReport { ntp_micros: 9_000_000, rtp_time: 0u32.wrapping_sub(2 * SECOND) };
        let ntp_zero = clock.ntp_zero_of(report, 3 * SECOND, now);
        clock.handle_sender_report(report, ntp_zero);
        assert_eq!(clock.error(report, ntp_zero, 3 * SECOND, now), 0);
        assert_eq!(clock.time(3 * SECOND, now), i64::from(20 * SECOND));
    }

    #[test]
    fn a_stream_that_follows_another_begins_behind_it_and_is_slewed_back() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut clock = RtpClock::following(Timescale::VIDEO, zero, i64::from(SECOND));
        assert_eq!(clock.time(7, at(990)), i64::from(SECOND));
        let report = SenderReport { ntp_micros: 990_000, rtp_time: 7 };
        clock.handle_sender_report(report, 0);
        assert_eq!(clock.error(report, 0, 7, at(990)), -900);
        let times: Vec<i64> = (1..=90).map(|frame| clock.time(7 + frame * 3_000, at(0))).collect();
        assert!(times.is_sorted_by(|earlier, later| earlier < later));
        assert_eq!(times.last(), Some(&(i64::from(4 * SECOND) - 900)), "10 ms take two seconds");
    }

    #[test]
    fn the_wire_counts_fractions_of_a_second() {
        assert_eq!(SenderReport::from_wire(3 << 32 | 0x8000_0000, 1).ntp_micros, 3_500_000);
        assert!(SenderReport::from_wire(u64::MAX, 1).ntp_micros > 0);
    }
}
