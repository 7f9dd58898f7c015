//! One source: its numbers, its times, and what it carries now.

use std::time::{Duration, Instant};

use telstar_media::hub::{Item, SubscriberId};
use telstar_media::{Codec, MediaKind, Packet, TrackInfo};
use telstar_sfu::FeedPacket;
use telstar_units::{Timescale, TrackId, rescale};

/// RTP's clock of Opus (RFC 7587 §4.1), and with it of every sound that a source carries.
const SOUND_HZ: u32 = 48_000;
/// Times of a new timeline begin at least so much behind the last ones of the one before: about a frame.
const STEP_MICROS: i64 = 20_000;

/// What a source is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// The main picture.
    Picture,
    /// The main sound.
    Sound,
    /// The main picture in the other codec.
    Alternate,
}

/// One source.
pub(super) struct Lane {
    pub(super) role: Role,
    pub(super) source: TrackId,
    /// Somebody watches it.
    pub(super) wanted: bool,
    pub(super) carried: Option<Carried>,
    /// As what the SFU knows it.
    pub(super) told: Option<Codec>,
    /// Of the next packet.
    sequence: u64,
    /// Of the last packet, in ticks of its RTP clock.
    last_time: Option<i64>,
}

/// The track that a source carries now.
pub(super) struct Carried {
    pub(super) track: TrackId,
    pub(super) subscriber: SubscriberId,
    timescale: Timescale,
    kind: MediaKind,
    /// What came in this turn.
    packets: Vec<Packet>,
    /// Nothing of it was sent yet: it begins with a keyframe behind what was sent before.
    begins: bool,
}

impl Carried {
    pub(super) fn new(info: &TrackInfo, subscriber: SubscriberId) -> Carried {
        let (track, timescale, kind) = (info.id, info.timescale, info.kind());
        Carried { track, subscriber, timescale, kind, packets: Vec::new(), begins: true }
    }

    pub(super) fn take(&mut self, items: &mut Vec<Item>) {
        self.packets.extend(items.drain(..).filter_map(|item| match item {
            Item::Packet(_, packet) => Some(packet),
            Item::Frame(..) | Item::Ended => None,
        }));
    }

    /// The first and the last time of what came.
    pub(super) fn span_micros(&self) -> impl Iterator<Item = i64> {
        let ends = [self.packets.first(), self.packets.last()].into_iter().flatten();
        ends.map(|packet| rescale(packet.time, self.timescale, Timescale::MICROS))
    }
}

impl Lane {
    pub(super) fn new(role: Role, source: TrackId) -> Lane {
        Lane { role, source, wanted: false, carried: None, told: None, sequence: 0, last_time: None }
    }

    /// What came in this turn, as the SFU takes it.
    pub(super) fn packets(&mut self, shift_micros: i64) -> Vec<FeedPacket> {
        let Some(carried) = &mut self.carried else { return Vec::new() };
        let clock = match carried.kind {
            MediaKind::Video => Timescale::VIDEO,
            MediaKind::Audio => Timescale::new(SOUND_HZ).expect("it is not zero"),
        };
        let shift = rescale(shift_micros, Timescale::MICROS, clock);
        let mut packets = Vec::with_capacity(carried.packets.len());
        for packet in carried.packets.drain(..) {
            let time = rescale(packet.time, carried.timescale, clock) + shift;
            if carried.begins {
                // A conversion is behind the track that it takes the place of: pictures that were seen are not shown again.
                if !packet.key || self.last_time.is_some_and(|last| time <= last) {
                    continue;
                }
                carried.begins = false;
            }
            self.last_time = self.last_time.max(Some(time));
            let (sequence, marker, key) = (self.sequence, packet.marker, packet.key);
            packets.push(FeedPacket { sequence, time, marker, key, payload: packet.payload.as_ref().into() });
            self.sequence += 1;
        }
        packets
    }
}

/// From the timelines of one encoder after the other to that of the sources, which has one zero for as long as they live.
#[derive(Default)]
pub(in super::super) struct FeedClock {
    /// What is added to the times of the present timeline; `None` before its first packet.
    shift_micros: Option<i64>,
    /// The newest time that was sent, and when.
    last: Option<(i64, Instant)>,
    arrivals: Arrivals,
    /// The zero as last told.
    told: Option<Instant>,
}

/// Where the zero of a timeline lies on our clock, as the frames that came fastest say: what comes of a conversion says
/// nothing, because it comes late, and all at once when it begins.
#[derive(Default)]
struct Arrivals {
    /// By the frames of the window before and of this one.
    zeros: [Option<Instant>; 2],
    /// When this window ends.
    until: Option<Instant>,
}

/// The zero is that of the fastest frame of one to two of these. Longer follows an encoder's clock that runs differently
/// later; shorter takes a network's slow moment for it.
const ARRIVALS_WINDOW: Duration = Duration::from_secs(10);
/// Smaller changes of the zero are not told: ears and eyes take no offence at them.
const ZERO_STEP_MIN: Duration = Duration::from_millis(2);

impl Arrivals {
    fn handle(&mut self, now: Instant, micros: i64) {
        let Ok(since) = u64::try_from(micros) else { return };
        let Some(zero) = now.checked_sub(Duration::from_micros(since)) else { return };
        if self.until.is_none_or(|until| until <= now) {
            self.zeros = [self.zeros[1], None];
            self.until = Some(now + ARRIVALS_WINDOW);
        }
        self.zeros[1] = Some(self.zeros[1].map_or(zero, |earliest| earliest.min(zero)));
    }

    fn zero(&self) -> Option<Instant> {
        self.zeros.into_iter().flatten().min()
    }
}

impl FeedClock {
    /// What follows is of another timeline.
    pub(super) fn begin_timeline(&mut self) {
        (self.shift_micros, self.arrivals, self.told) = (None, Arrivals::default(), None);
    }

    /// A frame of this time came from the encoder.
    pub(super) fn handle_arrival(&mut self, now: Instant, micros: i64) {
        self.arrivals.handle(now, micros);
    }

    /// Where the zero of what is sent lies, if that is news.
    pub(super) fn poll_zero(&mut self) -> Option<Instant> {
        let (zero, shift) = (self.arrivals.zero()?, self.shift_micros?);
        let distance = Duration::from_micros(shift.unsigned_abs());
        let zero = if shift >= 0 { zero.checked_sub(distance) } else { zero.checked_add(distance) }?;
        let moved = self.told.map(|told| zero.max(told).saturating_duration_since(zero.min(told)));
        let is_news = moved.is_none_or(|moved| moved >= ZERO_STEP_MIN);
        is_news.then(|| *self.told.insert(zero))
    }

    /// What is added to times of `oldest..=newest`, which came now.
    pub(super) fn shift_micros(&mut self, now: Instant, oldest: i64, newest: i64) -> i64 {
        let shift = match (self.shift_micros, self.last) {
            (Some(shift), _) => shift,
            (None, None) => 0,
            // The pause is as long on the timeline as it was, and nothing comes before what was sent.
            (None, Some((last, at))) => {
                let pause = i64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(i64::MAX / 2);
                (last + pause - newest).max(last + STEP_MICROS - oldest)
            }
        };
        self.shift_micros = Some(shift);
        let at = newest + shift;
        if self.last.is_none_or(|(last, _)| at > last) {
            self.last = Some((at, now));
        }
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn times_of_the_next_encoder_go_on_after_a_pause_that_is_as_long_as_it_was() {
        let (mut clock, start) = (FeedClock::default(), Instant::now());
        assert_eq!(clock.shift_micros(start, 5 * SECOND, 5 * SECOND), 0, "the first one's are the timeline");
        clock.shift_micros(start + Duration::from_secs(1), 6 * SECOND, 6 * SECOND);
        clock.begin_timeline();
        let shift = clock.shift_micros(start + Duration::from_secs(4), 0, 40_000);
        assert_eq!(shift + 40_000, 9 * SECOND, "three seconds after the last");
        assert_eq!(clock.shift_micros(start + Duration::from_secs(5), SECOND, SECOND), shift);
    }

    #[test]
    fn a_group_of_pictures_that_comes_at_once_is_not_put_before_what_was_sent() {
        let (mut clock, start) = (FeedClock::default(), Instant::now());
        clock.shift_micros(start, 0, 10 * SECOND);
        clock.begin_timeline();
        let shift = clock.shift_micros(start + Duration::from_millis(100), 0, 3 * SECOND);
        assert_eq!(shift, 10 * SECOND + STEP_MICROS);
    }

    #[test]
    fn the_zero_is_where_the_fastest_frames_put_it_and_follows_a_clock_that_runs_slower() {
        let (mut clock, start) = (FeedClock::default(), Instant::now() + Duration::from_secs(3_600));
        clock.shift_micros(start, 0, 0);
        assert_eq!(clock.poll_zero(), None, "nothing came");
        // The first frame was 300 ms on its way, the others up to 20 ms.
        clock.handle_arrival(start + Duration::from_millis(300), 0);
        assert_eq!(clock.poll_zero(), Some(start + Duration::from_millis(300)));
        for frame in 1..25_u64 {
            let taken = Duration::from_millis(40 * frame);
            clock.handle_arrival(start + taken + Duration::from_millis(5 + frame % 16), taken.as_micros() as i64);
        }
        let zero = clock.poll_zero().expect("it was told another one");
        assert_eq!(zero.saturating_duration_since(start), Duration::from_millis(5));
        assert_eq!(clock.poll_zero(), None, "it is known");
        // The encoder's clock loses a millisecond in each second.
        for second in 1..120_u64 {
            clock.handle_arrival(start + Duration::from_millis(1_001 * second), (second * SECOND as u64) as i64);
        }
        let zero = clock.poll_zero().expect("it moved");
        assert!(zero.saturating_duration_since(start) >= Duration::from_millis(95));
        // Another encoder goes on behind.
        clock.begin_timeline();
        assert_eq!(clock.poll_zero(), None);
    }
}
