use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use telstar_units::{Timescale, rescale};

use super::*;
use crate::codec::{CodecConfig, OpusConfig, Vp8Config};
use crate::rtp::Packetiser;

const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
const SECOND: i64 = 90_000;
const PICTURE: i64 = SECOND / 30;

/// A VP8 frame.
fn picture(index: i64, key: bool, len: usize, width: u16) -> Frame {
    let mut payload = BytesMut::new();
    match key {
        true => payload.extend([0x50, 0, 0, 0x9d, 0x01, 0x2a].into_iter().chain(width.to_le_bytes()).chain([0xb4, 0])),
        false => payload.extend([0x51]),
    }
    payload.extend((0..len).map(|at| (at as i64 * 7 + index) as u8));
    let config = Arc::new(CodecConfig::Vp8(Vp8Config { width: width.into(), height: 180 }));
    Frame { config, dts: index * PICTURE, pts: index * PICTURE, duration: 0, key, payload: payload.freeze() }
}

fn pictures(count: i64, gop: i64, len: usize) -> Vec<Frame> {
    (0..count).map(|index| picture(index, index % gop == 0, len, 320)).collect()
}

/// 20 ms of stereo each.
fn sounds(count: i64) -> Vec<Frame> {
    let config = Arc::new(CodecConfig::Opus(OpusConfig::plain(2, 0)));
    let frame = |index: i64| Frame {
        config: config.clone(),
        dts: index * 960,
        pts: index * 960,
        duration: 960,
        key: true,
        payload: vec![0xfc, index as u8].into(),
    };
    (0..count).map(frame).collect()
}

/// A stream of a sender: which, its first number and time, how many milliseconds its packets are on the way.
#[derive(Clone, Copy)]
struct Sender {
    codec: Codec,
    ssrc: u32,
    first_sequence: u64,
    first_time: u32,
    way_ms: u64,
}

const CAMERA: Sender = Sender { codec: Codec::Vp8, ssrc: 7, first_sequence: 100, first_time: 5_000, way_ms: 20 };
const MICROPHONE: Sender = Sender { codec: Codec::Opus, ssrc: 9, first_sequence: 65_530, first_time: 77, way_ms: 20 };

impl Sender {
    fn timescale(self) -> Timescale {
        if self.codec == Codec::Opus { Timescale::new(48_000).expect("not zero") } else { Timescale::VIDEO }
    }

    fn packets(self, zero: Instant, frames: &[Frame]) -> Vec<Arrived> {
        let (mut packetiser, mut packets) = (Packetiser::new(self.codec).expect("has one"), Vec::new());
        frames.iter().for_each(|frame| packetiser.push(frame, &mut packets));
        let arrived = |time| {
            let micros = rescale(time, self.timescale(), Timescale::MICROS) as u64;
            zero + Duration::from_micros(micros) + Duration::from_millis(self.way_ms)
        };
        let packet = |packet: crate::Packet| Arrived {
            ssrc: self.ssrc,
            sequence: self.first_sequence + packet.sequence,
            time: self.first_time.wrapping_add(packet.time as u32),
            marker: packet.marker,
            payload: packet.payload,
            report: None,
            arrived: arrived(packet.time),
        };
        packets.into_iter().map(packet).collect()
    }
}

/// What landed, with the times in milliseconds when it did.
#[derive(Default)]
struct Bench {
    zero: Option<Instant>,
    words: Vec<String>,
    frames: Vec<(TrackId, Frame)>,
    at_ms: Vec<u64>,
}

impl Bench {
    fn drain(&mut self, landing: &mut Landing, now: Instant) {
        while let Some(landed) = landing.poll(now) {
            match landed {
                Landed::Track(info) => self.words.push(format!("track {} {}", info.codec.name(), info.timescale.hz())),
                Landed::Frame(track, frame) => {
                    self.frames.push((track, frame));
                    let zero = self.zero.expect("is set");
                    self.at_ms.push(now.duration_since(zero).as_millis() as u64);
                }
                Landed::KeyframeWanted(track) => self.words.push(format!("keyframe of {}", track.0)),
                Landed::Dropped(count) => self.words.push(format!("dropped {count}")),
            }
        }
    }

    /// Frames as the sender made them: index by time, key, payload.
    fn facts(&self) -> Vec<(bool, Bytes)> {
        self.frames.iter().map(|(_, frame)| (frame.key, frame.payload.clone())).collect()
    }

    fn times(&self, track: TrackId) -> Vec<i64> {
        self.frames.iter().filter(|(id, _)| *id == track).map(|(_, frame)| frame.dts).collect()
    }
}

fn facts(frames: &[Frame]) -> Vec<(bool, Bytes)> {
    frames.iter().map(|frame| (frame.key, frame.payload.clone())).collect()
}

/// Plays packets in the order of their arrival, with timers between them, and some time after the last.
fn play(zero: Instant, mut packets: Vec<(TrackId, Arrived)>) -> Bench {
    let mut landing = Landing::new(zero);
    assert!(landing.add_track(VIDEO, Codec::Vp8) && landing.add_track(AUDIO, Codec::Opus));
    let mut bench = Bench { zero: Some(zero), ..Bench::default() };
    packets.sort_by_key(|(_, packet)| packet.arrived);
    let end = packets.last().map_or(zero, |(_, packet)| packet.arrived) + 2 * WAIT;
    for (track, packet) in packets {
        let now = packet.arrived;
        timers(&mut landing, &mut bench, now);
        landing.push(now, track, packet);
        bench.drain(&mut landing, now);
    }
    timers(&mut landing, &mut bench, end);
    assert_eq!(landing.poll_timeout(), None, "nothing waits for ever");
    bench
}

fn timers(landing: &mut Landing, bench: &mut Bench, until: Instant) {
    while let Some(timeout) = landing.poll_timeout().filter(|timeout| *timeout <= until) {
        bench.drain(landing, timeout);
    }
}

fn of(track: TrackId, packets: Vec<Arrived>) -> Vec<(TrackId, Arrived)> {
    packets.into_iter().map(|packet| (track, packet)).collect()
}

#[test]
fn frames_come_as_they_were_sent_behind_the_track_that_they_are_of() {
    let zero = Instant::now();
    let (video, audio) = (pictures(60, 30, 3_000), sounds(100));
    let mut packets = of(VIDEO, CAMERA.packets(zero, &video));
    packets.extend(of(AUDIO, MICROPHONE.packets(zero, &audio)));
    let bench = play(zero, packets);
    assert_eq!(bench.words, ["track VP8 90000", "track Opus 48000"]);
    let of_track = |id| bench.frames.iter().filter(move |(track, _)| *track == id).map(|(_, frame)| frame.clone());
    assert_eq!(facts(&of_track(VIDEO).collect::<Vec<_>>()), facts(&video));
    assert_eq!(facts(&of_track(AUDIO).collect::<Vec<_>>()), facts(&audio));
    assert!(of_track(VIDEO).zip(&video).all(|(frame, sent)| frame.config == sent.config && frame.pts == frame.dts));
    // 20 ms on the way.
    assert!(bench.times(VIDEO).into_iter().eq((0..60).map(|index| 1_800 + index * PICTURE)));
    assert!(bench.times(AUDIO).into_iter().eq((0..100).map(|index| 960 + index * 960)));
    // Only the first wait, because they might not be the first.
    for ((track, frame), at) in bench.frames.iter().zip(&bench.at_ms) {
        let came = frame.dts * 1_000 / if *track == VIDEO { 90_000 } else { 48_000 };
        assert_eq!(*at, came.max(20 + 150) as u64);
    }
}

#[test]
fn a_resend_within_the_wait_costs_no_picture_and_a_later_one_costs_them_until_the_next_keyframe() {
    let zero = Instant::now();
    let video = pictures(60, 30, 3_000);
    for (late_ms, lost) in [(149, 0), (151, 21)] {
        let mut packets = CAMERA.packets(zero, &video);
        // The middle one of picture 9; the packet behind it is the first that shows the hole.
        let resent = packets.iter_mut().filter(|packet| packet.time == 5_000 + 9 * PICTURE as u32).nth(1);
        resent.expect("three packets each").arrived += Duration::from_millis(late_ms);
        let bench = play(zero, of(VIDEO, packets));
        let expect = [&video[..9], &video[9 + lost..]].concat();
        assert_eq!(bench.facts(), facts(&expect), "{late_ms} ms late");
        let words: Vec<_> = bench.words.iter().filter(|word| word.starts_with("dropped")).collect();
        assert_eq!(words.len(), lost);
    }
}

#[test]
fn a_keyframe_is_asked_for_at_once_and_again_while_none_comes() {
    let zero = Instant::now();
    let video = pictures(90, 90, 100);
    let mut packets = CAMERA.packets(zero, &video);
    packets.remove(10);
    let bench = play(zero, of(VIDEO, packets));
    assert_eq!(bench.frames.len(), 10);
    let asked = bench.words.iter().filter(|word| *word == "keyframe of 1").count();
    // Picture 11 leaves 150 ms after it has shown the hole; the last one comes 2.6 s later.
    assert_eq!(asked, 6, "{:?}", bench.words);
    assert_eq!(bench.words.iter().filter(|word| *word == "dropped 1").count(), 79);
}

#[test]
fn who_joins_in_the_middle_asks_for_a_keyframe_and_begins_with_it() {
    let zero = Instant::now();
    let video = pictures(60, 30, 3_000);
    let packets = CAMERA.packets(zero, &video).split_off(10);
    let bench = play(zero, of(VIDEO, packets));
    assert_eq!(bench.facts(), facts(&video[30..]));
    assert!(bench.words.starts_with(&["dropped 1".into(), "keyframe of 1".into()]), "{:?}", bench.words);
}

#[test]
fn numbers_and_times_wrap() {
    let zero = Instant::now();
    let video = pictures(60, 30, 3_000);
    let sender = Sender { first_sequence: 65_500, first_time: u32::MAX - 30 * 3_000, ..CAMERA };
    let bench = play(zero, of(VIDEO, sender.packets(zero, &video)));
    assert_eq!(bench.facts(), facts(&video));
    assert!(bench.times(VIDEO).into_iter().eq((0..60).map(|index| 1_800 + index * PICTURE)));
}

#[test]
fn sound_that_is_lost_leaves_a_gap_of_its_length() {
    let zero = Instant::now();
    let mut packets = MICROPHONE.packets(zero, &sounds(100));
    packets.drain(40..45);
    let bench = play(zero, of(AUDIO, packets));
    let expect = (0..100).filter(|index| !(40..45).contains(index)).map(|index| 960 + index * 960);
    assert!(bench.times(AUDIO).into_iter().eq(expect));
    assert_eq!(bench.words, ["track Opus 48000"]);
}

#[test]
fn another_stream_of_the_track_begins_with_a_keyframe_and_late_packets_do_not_bring_the_first_back() {
    let zero = Instant::now();
    let before = pictures(31, 60, 3_000);
    let after: Vec<Frame> = (31..90).map(|index| picture(index, index % 10 == 0, 3_000, 640)).collect();
    let mut packets = CAMERA.packets(zero, &before);
    let late = packets.len() - 1;
    packets[late].arrived += Duration::from_millis(60);
    let other = Sender { ssrc: 8, first_sequence: 3, first_time: 0x8000_0000, ..CAMERA };
    packets.extend(other.packets(zero, &after));
    let bench = play(zero, of(VIDEO, packets));
    assert_eq!(bench.facts(), facts(&[&before[..30], &after[9..]].concat()));
    let sizes: Vec<_> = bench.frames.iter().filter_map(|(_, frame)| frame.config.picture_size()).collect();
    assert_eq!((sizes[29], sizes[30]), ((320, 180), (640, 180)));
    assert!(bench.times(VIDEO).is_sorted_by(|earlier, later| earlier < later));
    assert_eq!(bench.times(VIDEO)[30], 1_800 + 40 * PICTURE);
}

#[test]
fn a_jump_of_the_senders_clock_is_taken_out() {
    let zero = Instant::now();
    let video = pictures(60, 30, 100);
    for jump in [1_000_000u32, 1_000_000u32.wrapping_neg()] {
        let mut packets = CAMERA.packets(zero, &video);
        packets[20..].iter_mut().for_each(|packet| packet.time = packet.time.wrapping_add(jump));
        let bench = play(zero, of(VIDEO, packets));
        assert_eq!(bench.facts(), facts(&video));
        let times = bench.times(VIDEO);
        assert!(times.is_sorted_by(|earlier, later| earlier < later));
        assert!((times[59] - 1_800 - 59 * PICTURE).abs() < PICTURE, "{times:?}");
    }
}

#[test]
fn a_hole_is_given_up_on_when_too_much_waits_behind_it() {
    let zero = Instant::now();
    let push = |count: u64, len: usize| {
        let mut landing = Landing::new(zero);
        landing.add_track(AUDIO, Codec::Opus);
        let packet = |sequence| Arrived {
            ssrc: 1,
            sequence,
            time: sequence as u32 * 960,
            marker: false,
            payload: vec![0xfc; len].into(),
            report: None,
            arrived: zero,
        };
        for sequence in 0..count {
            landing.push(zero, AUDIO, packet(1_000 + sequence));
        }
        let mut bench = Bench { zero: Some(zero), ..Bench::default() };
        bench.drain(&mut landing, zero);
        bench.frames.len()
    };
    assert_eq!(push(PACKETS_MAX as u64, 10), 0);
    assert_eq!(push(PACKETS_MAX as u64 + 1, 10), PACKETS_MAX + 1);
    assert_eq!(push(4, BYTES_MAX / 4), 0);
    assert_eq!(push(5, BYTES_MAX / 4), 5);
}

/// A sender whose clocks run `ppm` too fast beside its calendar, with a report every `every` packets from `from` on.
fn reported(sender: Sender, zero: Instant, frames: &[Frame], ppm: i64, from: usize, every: usize) -> Vec<Arrived> {
    // What the sender believes the date to be at its time 0.
    const CALENDAR: u64 = 3_900_000_000;
    let hz = i64::from(sender.timescale().hz());
    let mut packets = sender.packets(zero, frames);
    let mut report = None;
    for (index, packet) in packets.iter_mut().enumerate() {
        let media = i64::from(packet.time.wrapping_sub(sender.first_time));
        packet.time = sender.first_time.wrapping_add((media + media * ppm / 1_000_000) as u32);
        if index >= from && (index - from).is_multiple_of(every) {
            // A tenth of a second after the packet was made.
            let at = media + hz / 10;
            let fraction = ((at % hz) as u64) << 32;
            let ntp = ((CALENDAR + (at / hz) as u64) << 32) + fraction / hz as u64;
            report = Some((ntp, sender.first_time.wrapping_add((at + at * ppm / 1_000_000) as u32)));
        }
        packet.report = report;
    }
    packets
}

#[test]
fn reports_bring_sound_and_picture_together_within_a_millisecond() {
    let zero = Instant::now();
    let (video, audio) = (pictures(60 * 30, 30, 100), sounds(60 * 50));
    // The sound is 80 ms later on its way than the picture, and both clocks drift. First with reports from the beginning,
    // then from the third second on.
    for (from, skip_secs) in [(0, 0), (90, 23)] {
        let mut packets = of(VIDEO, reported(CAMERA, zero, &video, 100, from, 30));
        let late = Sender { way_ms: 100, first_time: u32::MAX - 48_000, ..MICROPHONE };
        packets.extend(of(AUDIO, reported(late, zero, &audio, -150, from, 250)));
        let bench = play(zero, packets);
        assert_eq!(bench.facts().len(), video.len() + audio.len());
        // By the frame's number when it was made, in seconds; where it landed, less that.
        let errors = |track, per_second: i64, hz: f64| {
            let times = bench.times(track).into_iter().zip(0i64..);
            times
                .skip((skip_secs * per_second) as usize)
                .map(move |(time, index)| time as f64 / hz - index as f64 / per_second as f64)
        };
        let spread = errors(VIDEO, 30, 90_000.0)
            .chain(errors(AUDIO, 50, 48_000.0))
            .fold((f64::MAX, f64::MIN), |(least, most), error| (least.min(error), most.max(error)));
        assert!(spread.1 - spread.0 < 0.001, "from {from}: {spread:?}");
    }
}

#[test]
fn a_report_from_another_year_changes_nothing() {
    let zero = Instant::now();
    let audio = sounds(500);
    let mut packets = reported(MICROPHONE, zero, &audio, 0, 0, 100);
    packets[200..].iter_mut().for_each(|packet| {
        packet.report = packet.report.map(|(ntp, time)| (ntp + (40_000_000 << 32), time));
    });
    let bench = play(zero, of(AUDIO, packets));
    assert!(bench.times(AUDIO).into_iter().eq((0..500).map(|index| 960 + index * 960)));
}

#[test]
fn a_track_that_ends_gives_what_waits() {
    let zero = Instant::now();
    let mut landing = Landing::new(zero);
    assert!(landing.add_track(AUDIO, Codec::Opus) && !landing.add_track(VIDEO, Codec::Flac));
    for packet in MICROPHONE.packets(zero, &sounds(5)) {
        landing.push(zero, AUDIO, packet.clone());
        landing.push(zero, VIDEO, packet);
    }
    let mut bench = Bench { zero: Some(zero), ..Bench::default() };
    bench.drain(&mut landing, zero);
    assert_eq!(bench.frames.len(), 0);
    landing.remove_track(AUDIO);
    bench.drain(&mut landing, zero);
    assert_eq!(bench.frames.len(), 5);
}

#[test]
fn truncation_at_every_byte_never_panics() {
    let zero = Instant::now();
    let packets = CAMERA.packets(zero, &pictures(3, 2, 50));
    for at in 0..packets.len() {
        for len in 0..packets[at].payload.len() {
            let mut cut = packets.clone();
            cut[at].payload.truncate(len);
            let bench = play(zero, of(VIDEO, cut));
            assert!(bench.frames.len() <= 3);
        }
    }
}

proptest! {
    #[test]
    fn any_order_within_the_wait_gives_the_same_frames(
        delays in prop::collection::vec(0u64..149, 300),
        copies in prop::collection::vec((0usize..300, 0u64..500), 0..50),
    ) {
        let zero = Instant::now();
        let (video, audio) = (pictures(60, 20, 2_000), sounds(100));
        let mut packets = of(VIDEO, CAMERA.packets(zero, &video));
        packets.extend(of(AUDIO, MICROPHONE.packets(zero, &audio)));
        let in_order = play(zero, packets.clone());
        // Duplicates come later still. The first packet of each track sets its clock and comes when it did before.
        let firsts = [0, packets.iter().position(|(track, _)| *track == AUDIO).expect("sound")];
        for (index, (_, packet)) in packets.iter_mut().enumerate().filter(|(index, _)| !firsts.contains(index)) {
            packet.arrived += Duration::from_millis(delays[index % delays.len()]);
        }
        for (index, later) in copies {
            let mut copy = packets[index % packets.len()].clone();
            copy.1.arrived += Duration::from_millis(later);
            packets.push(copy);
        }
        let shuffled = play(zero, packets);
        for track in [VIDEO, AUDIO] {
            let facts = |bench: &Bench| {
                let of_track = bench.frames.iter().filter(|(id, _)| *id == track);
                of_track.map(|(_, frame)| (frame.dts, frame.key, frame.payload.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(facts(&shuffled), facts(&in_order));
        }
        prop_assert!(shuffled.words.iter().all(|word| word.starts_with("track")), "{:?}", shuffled.words);
    }

    #[test]
    fn whatever_comes_times_increase_and_nothing_panics(
        packets in prop::collection::vec(
            (0u32..3, 0u64..400, any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..20), 0u64..400), 0..200,
        ),
        report in prop::option::of((any::<u64>(), any::<u32>())),
    ) {
        let zero = Instant::now();
        let mut all = Vec::new();
        for (at, (ssrc, sequence, time, marker, payload, later)) in packets.into_iter().enumerate() {
            let arrived = zero + Duration::from_millis(at as u64 * 10 + later);
            let time = if marker { time } else { at as u32 * 900 };
            let packet = Arrived { ssrc, sequence, time, marker, payload: payload.into(), report, arrived };
            all.push((if at % 3 == 0 { AUDIO } else { VIDEO }, packet));
        }
        let bench = play(zero, all);
        for track in [VIDEO, AUDIO] {
            prop_assert!(bench.times(track).is_sorted_by(|earlier, later| earlier < later));
        }
    }
}
