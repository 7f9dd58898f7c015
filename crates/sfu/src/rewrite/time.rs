//! RTP timestamps that go on over sources, and the sender's clock behind them.
//!
//! Where both sources belong to one sender and its reports are known, a new source's times are placed by when its
//! sender captured them, so that lip synchronisation holds over a switch. Otherwise they are placed by when they
//! arrived.

use std::time::Instant;

use super::Incoming;

/// Sender reports that would place a source further than this from where its arrival does are not believed.
const WALL_ERROR_SECS_MAX: i64 = 2;
/// Each frame moves the belief about arrival by this part of its error. Larger follows a drifting clock faster, smaller
/// smooths jitter more; 1/32 is a second's frames.
const ARRIVAL_SHARE: i64 = 32;

/// When a packet was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Whose clock: times of different clocks are never compared. A participant's number.
    pub clock: u64,
    /// Microseconds of that clock.
    pub micros: i64,
}

/// What the sender reports of one source say about its clock (RFC 3550 §6.4.1).
#[derive(Clone, Debug)]
pub struct SenderClock {
    clock_rate_hz: u32,
    report: Option<(i64, u32)>,
}

impl SenderClock {
    /// A source that has not reported.
    pub fn new(clock_rate_hz: u32) -> SenderClock {
        SenderClock { clock_rate_hz: clock_rate_hz.max(1), report: None }
    }

    /// A sender report: NTP time in its 64-bit format, and the RTP time of the same moment.
    pub fn handle_report(&mut self, ntp: u64, rtp: u32) {
        let micros = (ntp >> 32) * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32);
        self.report = Some((micros as i64, rtp));
    }

    /// When a packet with this RTP time was captured, in microseconds of its sender's clock.
    pub fn micros(&self, time: u32) -> Option<i64> {
        let (micros, rtp) = self.report?;
        let ticks = i64::from(time.wrapping_sub(rtp) as i32);
        Some(micros + ticks * 1_000_000 / i64::from(self.clock_rate_hz))
    }
}

/// The outgoing times of one slot, extended over roll-overs.
#[derive(Debug)]
pub(super) struct TimeLine {
    clock_rate_hz: i64,
    /// Outgoing minus incoming time of the current source.
    offset: i64,
    /// The newest time of the current source.
    newest_in: i64,
    /// The highest time that was sent.
    highest_out: Option<i64>,
    first_out: i64,
    /// How far the last two frames were apart.
    step: i64,
    /// An outgoing time, in [`ARRIVAL_SHARE`]ths of a tick, and when it would have arrived without jitter.
    arrival: Option<(Instant, i64)>,
    /// An outgoing time and when its sender captured it.
    wall: Option<(Wall, i64)>,
}

impl TimeLine {
    pub(super) fn new(clock_rate_hz: u32, first_time: u32) -> TimeLine {
        TimeLine {
            clock_rate_hz: i64::from(clock_rate_hz.max(1)),
            offset: 0,
            newest_in: 0,
            highest_out: None,
            first_out: i64::from(first_time),
            step: 1,
            arrival: None,
            wall: None,
        }
    }

    pub(super) fn newest(&self) -> u32 {
        self.highest_out.unwrap_or(self.first_out) as u32
    }

    /// The outgoing time of a packet; `begins`: it is the first of another source.
    pub(super) fn forward(&mut self, now: Instant, packet: &Incoming<'_>, begins: bool) -> u32 {
        if begins {
            self.newest_in = i64::from(packet.time);
            self.offset = self.place(now, packet) - self.newest_in;
        }
        let time = self.newest_in + i64::from(packet.time.wrapping_sub(self.newest_in as u32) as i32);
        self.newest_in = self.newest_in.max(time);
        let out = time + self.offset;
        if self.highest_out.is_none_or(|highest| out > highest) {
            self.step = self.highest_out.map_or(1, |highest| out - highest);
            self.highest_out = Some(out);
            self.learn_arrival(now, out);
        }
        self.learn_wall(packet.wall, out);
        out as u32
    }

    /// Where the first packet of a source belongs: where its clock says, behind everything that was sent.
    fn place(&self, now: Instant, packet: &Incoming<'_>) -> i64 {
        let (Some(highest), Some(by_arrival)) = (self.highest_out, self.by_arrival(now)) else { return self.first_out };
        let by_wall = self.by_wall(packet.wall).filter(|by_wall| self.is_near(*by_wall, by_arrival));
        // A picture may show the moment of the last one in another size: a tick later is another frame to a decoder and
        // the same to a viewer. Sound cannot overlap.
        let step = if packet.descriptor.is_some() { 1 } else { self.step.clamp(1, self.clock_rate_hz / 10) };
        by_wall.unwrap_or(by_arrival).max(highest + step)
    }

    fn is_near(&self, by_wall: i64, by_arrival: i64) -> bool {
        by_wall.abs_diff(by_arrival) <= (WALL_ERROR_SECS_MAX * self.clock_rate_hz) as u64
    }

    fn by_arrival(&self, now: Instant) -> Option<i64> {
        let (at, out) = self.arrival?;
        let micros = i64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(i64::MAX);
        Some(out / ARRIVAL_SHARE + ticks(micros, self.clock_rate_hz))
    }

    fn by_wall(&self, wall: Option<Wall>) -> Option<i64> {
        let (wall, (anchor, out)) = (wall?, self.wall?);
        let same = anchor.clock == wall.clock;
        same.then(|| out.saturating_add(ticks(wall.micros.saturating_sub(anchor.micros), self.clock_rate_hz)))
    }

    fn learn_arrival(&mut self, now: Instant, out: i64) {
        let expected = self.by_arrival(now);
        let (Some((_, believed)), Some(expected)) = (&mut self.arrival, expected) else {
            self.arrival = Some((now, out * ARRIVAL_SHARE));
            return;
        };
        let error = out - expected;
        if error.abs() > WALL_ERROR_SECS_MAX * self.clock_rate_hz {
            // The source's own clock jumped: what was believed is void.
            self.arrival = Some((now, out * ARRIVAL_SHARE));
        } else {
            *believed += error;
        }
    }

    fn learn_wall(&mut self, wall: Option<Wall>, out: i64) {
        let Some(wall) = wall else { return };
        // The anchor stays, so that errors of single switches do not add up; a clock that was set anew needs another.
        let known = self.by_wall(Some(wall)).is_some_and(|by_wall| self.is_near(by_wall, out));
        if !known {
            self.wall = Some((wall, out));
        }
    }
}

fn ticks(micros: i64, clock_rate_hz: i64) -> i64 {
    (i128::from(micros) * i128::from(clock_rate_hz) / 1_000_000)
        .clamp(i128::from(i32::MIN) << 24, i128::from(i32::MAX) << 24) as i64
}
