//! A source: a track without a connection, and what of it is kept for those who come later.
//!
//! In: packets in order, as the room's owner made them. Out: the packets since the last keyframe, with times that end at the live
//! edge. Whoever sends a source cannot be asked for a keyframe, so that this is the only way to a picture before the next one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::Codec;

use crate::descriptor::Descriptor;
use crate::engine::Format;

/// The longest group that is kept. Higher shows a picture at once of sources with rarer keyframes, and makes a viewer's decoder and
/// path work through more of what is over. Issue 5 names it.
const GROUP_TIME_MAX: Duration = Duration::from_secs(4);
/// The largest group that is kept: four seconds of 8 Mbit/s. Higher costs memory for each source that is watched.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How far apart the pictures of a group are for who begins with it. Lower makes some decoders take two for one, higher shows the
/// group in slow motion.
const STEP: Duration = Duration::from_millis(1);

/// What is kept of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) sequence: u64,
    /// In ticks, from the participant's zero.
    pub(crate) time: i64,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
    /// Of pictures.
    pub(crate) descriptor: Option<Descriptor>,
}

/// The packets since the last keyframe.
#[derive(Debug, Default)]
pub(crate) struct Group {
    packets: Vec<Kept>,
    bytes: usize,
    /// Pictures after the first.
    steps: i64,
}

impl Group {
    /// A packet came. Nothing is kept before a keyframe begins, nor after a group became too long, until the next one.
    pub(crate) fn push(&mut self, clock_rate: u32, packet: Kept) {
        let begins = packet.descriptor.is_some_and(|read| read.key_start);
        if begins {
            self.clear();
        } else if self.packets.is_empty() {
            return;
        }
        let first = self.packets.first().map_or(packet.time, |first| first.time);
        let last = self.packets.last().map_or(packet.time, |last| last.time);
        let is_long = packet.time.saturating_sub(first) > ticks(GROUP_TIME_MAX, clock_rate);
        if is_long || self.bytes + packet.payload.len() > GROUP_BYTES_MAX {
            *self = Group::default();
            return;
        }
        self.steps += i64::from(packet.time != last);
        self.bytes += packet.payload.len();
        self.packets.push(packet);
    }

    /// Forgets all; what comes next belongs to nothing.
    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        (self.bytes, self.steps) = (0, 0);
    }

    /// Whether its keyframe is of this time.
    pub(crate) fn begins_at(&self, time: i64) -> bool {
        self.packets.first().is_some_and(|first| first.time == time)
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The number of the keyframe's first packet.
    pub(crate) fn key(&self) -> Option<u64> {
        self.packets.first().map(|first| first.sequence)
    }

    /// The packets, each with the time that it goes out with: pictures a step apart, the last one at its own. `is_known`: whoever gets
    /// them has had what is live already. There is no time left between that and the live edge, so that pictures are a tick apart.
    pub(crate) fn compressed(&self, clock_rate: u32, is_known: bool) -> impl Iterator<Item = (i64, &Kept)> {
        let first = self.packets.first().map_or(0, |first| first.time);
        let edge = self.packets.last().map_or(0, |last| last.time);
        // A stream of more pictures than one in a step exists on paper only; it does not go beyond its own times.
        let widest = (edge - first) / self.steps.max(1);
        let step = if is_known { 1 } else { ticks(STEP, clock_rate).min(widest).max(1) };
        let (mut left, mut before) = (self.steps, first);
        self.packets.iter().map(move |packet| {
            left -= i64::from(packet.time != before);
            before = packet.time;
            (edge - left * step, packet)
        })
    }
}

/// A source.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    pub(crate) format: Option<Format>,
    /// The name of its stream: another one when its numbers begin anew.
    pub(crate) ssrc: u32,
    /// The number that comes next.
    pub(crate) next: Option<u64>,
    pub(crate) group: Group,
    /// When its first packets came since it is watched.
    pub(crate) began: Option<Instant>,
    /// When somebody last had a slot for it.
    pub(crate) watched: Option<Instant>,
    /// What the owner was told.
    pub(crate) told: bool,
}

impl Feed {
    /// Notes a packet's number. After a hole, and after a new beginning, it is another stream.
    pub(crate) fn follow(&mut self, sequence: u64) {
        if self.next.is_some_and(|next| next != sequence) {
            self.ssrc = self.ssrc.wrapping_add(1);
            self.group.clear();
        }
        self.next = Some(sequence.wrapping_add(1));
    }

    /// Nobody watches any more: what is kept would be old when the next one comes.
    pub(crate) fn rest(&mut self) {
        (self.group, self.began, self.next) = (Group::default(), None, None);
        self.ssrc = self.ssrc.wrapping_add(1);
    }

    /// What its packets say of pictures: its maker knows where a decoder can begin.
    pub(crate) fn describe(codec: Codec, payload: &[u8], marker: bool, key: bool) -> Option<Descriptor> {
        let read = Descriptor::read(codec, payload, marker).ok()?;
        Some(Descriptor { key_start: key, key: read.key || key, start: read.start || key, ..read })
    }
}

/// The pair of a participant's times and ours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    base: Option<(Instant, i64)>,
    /// It was told, and is not found out.
    is_set: bool,
}

/// What a clock says is believed if it puts a packet at most so long before its arrival.
const AGE_MAX: Duration = Duration::from_secs(5);

impl Clock {
    /// Where its zero lies.
    pub(crate) fn set(&mut self, zero: Instant) {
        *self = Clock { base: Some((zero, 0)), is_set: true };
    }

    /// When something was taken by that clock, on ours. The shortest way seen so far is what the clocks differ by; it must not lie in
    /// the future, or our sender reports (`egress/write.rs`) say nothing.
    pub(crate) fn taken(&mut self, now: Instant, micros: i64) -> Instant {
        let (base, base_micros) = *self.base.get_or_insert((now, micros));
        let ahead = micros.saturating_sub(base_micros);
        let distance = Duration::from_micros(ahead.unsigned_abs());
        let taken = if ahead >= 0 { base.checked_add(distance) } else { base.checked_sub(distance) };
        match taken {
            Some(taken) if self.is_set => taken.min(now),
            Some(taken) if taken <= now && now.saturating_duration_since(taken) <= AGE_MAX => taken,
            // This one came faster than those before, or the clock was set.
            _ => {
                self.base = Some((now, micros));
                now
            }
        }
    }
}

/// A time in microseconds.
pub(crate) fn micros(time: i64, clock_rate: u32) -> i64 {
    let micros = i128::from(time) * 1_000_000 / i128::from(clock_rate.max(1));
    micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

fn ticks(time: Duration, clock_rate: u32) -> i64 {
    time.as_millis() as i64 * i64::from(clock_rate) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;
    const FRAME: i64 = 3_000;

    /// Pictures of two packets each; the first is a keyframe.
    fn group(pictures: i64, bytes: usize) -> Group {
        let mut group = Group::default();
        for number in 0..pictures * 2 {
            let key_start = number == 0;
            group.push(
                RATE,
                Kept {
                    sequence: number as u64,
                    time: 1_000_000 + number / 2 * FRAME,
                    marker: number % 2 == 1,
                    payload: vec![0; bytes].into(),
                    descriptor: Some(Descriptor { key_start, ..Descriptor::default() }),
                },
            );
        }
        group
    }

    #[test]
    fn a_group_ends_at_the_live_edge_and_its_pictures_are_a_millisecond_apart() {
        let group = group(30, 10);
        let edge = 1_000_000 + 29 * FRAME;
        for (is_known, step) in [(false, 90), (true, 1)] {
            let times: Vec<i64> = group.compressed(RATE, is_known).map(|(time, _)| time).collect();
            assert_eq!(times.len(), 60);
            assert_eq!((times[0], times[59]), (edge - 29 * step, edge));
            assert!(times.chunks(2).all(|picture| picture[0] == picture[1]), "a picture has one time");
            assert!(times.chunks(2).collect::<Vec<_>>().windows(2).all(|pair| pair[1][0] - pair[0][0] == step));
        }
    }

    #[test]
    fn a_group_is_never_stretched() {
        let mut group = Group::default();
        for number in 0..10 {
            let descriptor = Some(Descriptor { key_start: number == 0, ..Descriptor::default() });
            group.push(
                RATE,
                Kept { sequence: number, time: number as i64 * 9, marker: true, payload: [0].into(), descriptor },
            );
        }
        assert_eq!(
            group.compressed(RATE, false).map(|(time, _)| time).collect::<Vec<_>>(),
            [0, 9, 18, 27, 36, 45, 54, 63, 72, 81]
        );
    }

    #[test]
    fn a_group_that_is_too_long_or_too_large_is_forgotten_until_the_next_keyframe() {
        assert_eq!(group(121, 10).len(), 242, "four seconds");
        assert_eq!(group(122, 10).len(), 0);
        assert_eq!(group(4, GROUP_BYTES_MAX / 8).len(), 8);
        let mut large = group(4, GROUP_BYTES_MAX / 8 + 1);
        assert_eq!(large.len(), 0);
        let packet =
            Kept { sequence: 900, time: 0, marker: true, payload: [0].into(), descriptor: Some(Descriptor::default()) };
        large.push(RATE, packet.clone());
        assert_eq!(large.len(), 0, "in the middle of nothing");
        large.push(RATE, Kept { descriptor: Some(Descriptor { key_start: true, ..Descriptor::default() }), ..packet });
        assert_eq!((large.len(), large.key()), (1, Some(900)));
    }

    #[test]
    fn a_hole_in_the_numbers_begins_another_stream() {
        let mut feed = Feed { group: group(2, 10), ..Feed::default() };
        feed.follow(3);
        feed.follow(4);
        assert_eq!((feed.ssrc, feed.group.len()), (0, 4));
        feed.follow(6);
        assert_eq!((feed.ssrc, feed.group.len()), (1, 0));
    }

    #[test]
    fn times_of_one_clock_keep_their_distances_and_are_never_in_the_future() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(clock.taken(at(100), 0), at(100));
        assert_eq!(clock.taken(at(150), 20_000), at(120));
        assert_eq!(clock.taken(at(150), 80_000), at(150), "faster than the first");
        assert_eq!(clock.taken(at(250), 80_000), at(150));
        assert_eq!(clock.taken(at(9_000), 90_000), at(9_000), "the clock was set");
        clock.set(at(1_000));
        assert_eq!(clock.taken(at(20_000), 500_000), at(1_500), "as it was told");
        assert_eq!(clock.taken(at(20_000), 60_000_000), at(20_000));
    }
}
