//! The alternate: the picture once more in H.264, made by a worker that comes late, goes, and leaves pictures out.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use support::checker::Expect;
use support::room::{Room, UNIX_SECS};
use support::source::{Arrival, Source, VIDEO, name_of, video_track};
use telstar_hls::{RenditionId, State};
use telstar_media::codec::H265Config;
use telstar_media::{CodecConfig, Frame, MediaKind, Origin, TrackInfo};
use telstar_units::TrackId;

const ALTERNATE: TrackId = TrackId(7);
/// HEVCDecoderConfigurationRecord of x265, 128x96.
const HVCC: &str = "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959409a10001002942010101600000030090000003000003001ea01020616595952930bc05a02000000300200000030321a2000100064401c073c189";

fn alternate_track() -> TrackInfo {
    TrackInfo { id: ALTERNATE, origin: Origin::Worker, ..video_track() }
}

/// The same source in HEVC.
fn in_hevc(frames: &[Arrival]) -> Vec<Arrival> {
    let record: Vec<u8> =
        (0..HVCC.len()).step_by(2).map(|at| u8::from_str_radix(&HVCC[at..at + 2], 16).expect("hex")).collect();
    let config = Arc::new(CodecConfig::H265(H265Config::parse(&record).expect("x265's record")));
    let mut frames = frames.to_vec();
    for arrival in frames.iter_mut().filter(|arrival| arrival.track == VIDEO) {
        arrival.frame.config = Arc::clone(&config);
    }
    frames
}

/// What a worker makes of the pictures, evenly: in the order in which they are shown, the first `delay_ms` after it came.
fn made_of(frames: &[Arrival], delay_ms: i64) -> Vec<Arrival> {
    // Whatever the source is in.
    let config = Arc::clone(&Source::default().frames().remove(0).frame.config);
    let mut made: Vec<Arrival> = frames.iter().filter(|arrival| arrival.track == VIDEO).cloned().collect();
    made.sort_by_key(|arrival| arrival.frame.pts);
    let start_ms = made.first().map_or(0, |first| first.frame.pts / 90 - first.at_ms);
    for arrival in &mut made {
        (arrival.at_ms, arrival.track) = (arrival.frame.pts / 90 - start_ms + delay_ms, ALTERNATE);
        let name = name_of(&arrival.frame.payload).replace('v', "h");
        let Frame { pts, ref payload, .. } = arrival.frame;
        let mut bytes = name.into_bytes();
        bytes.resize(payload.len() / 2, b'.');
        (arrival.frame.dts, arrival.frame.payload) = (pts, Bytes::from(bytes));
        if !matches!(*arrival.frame.config, CodecConfig::H264(_)) {
            arrival.frame.config = Arc::clone(&config);
        }
    }
    made
}

fn interleaved(one: &[Arrival], other: &[Arrival]) -> Vec<Arrival> {
    let mut all = [one, other].concat();
    all.sort_by_key(|arrival| arrival.at_ms);
    all
}

fn multivariant(room: &Room) -> String {
    let text = room.snapshot.multivariant.as_ref().expect("listed").text().to_vec();
    String::from_utf8(text).expect("text")
}

/// A room that plays `source` and, from `wanted_at_ms` on, an alternate of it.
fn play(source: &Source, expect: Expect, wanted_at_ms: i64, delay_ms: i64) -> (Room, Vec<Arrival>) {
    let mut room = Room::new(expect, source.kinds());
    room.start(UNIX_SECS, source);
    let frames = in_hevc(&source.frames());
    let made: Vec<Arrival> =
        made_of(&frames, delay_ms).into_iter().filter(|arrival| arrival.at_ms >= wanted_at_ms).collect();
    let (before, after): (Vec<Arrival>, Vec<Arrival>) =
        interleaved(&frames, &made).into_iter().partition(|arrival| arrival.at_ms < wanted_at_ms);
    room.play(&before);
    room.advance_to(wanted_at_ms);
    want(&mut room);
    for arrival in &after {
        room.advance_to(arrival.at_ms);
        room.play_one(arrival);
    }
    (room, made)
}

fn want(room: &mut Room) {
    room.packager.want_alternate(room.now(), true);
    room.packager.set_alternate(room.now(), Some(alternate_track()));
    room.drain();
}

/// From the first segment that it lists on, every picture is there once, when it is shown.
fn assert_complete(room: &Room, made: &[Arrival]) {
    let got = room.checker.samples(RenditionId::Alternate);
    let first = name_of(&got.first().expect("something was listed").payload);
    let from = made.iter().position(|arrival| name_of(&arrival.frame.payload) == first).expect("it was made");
    assert!(made[from].frame.key && got.len() > 100);
    for (made, got) in made[from..].iter().zip(&got) {
        assert_eq!(name_of(&made.frame.payload), name_of(&got.payload));
        assert_eq!((made.frame.pts, made.frame.key), (got.pts, got.sync));
    }
    // What is behind the newest boundary may be in the open part.
    assert!(made.len() - from - got.len() < 30, "{} of {}", got.len(), made.len() - from);
}

#[test]
fn segments_of_an_alternate_are_those_of_the_picture() {
    // With B-frames groups of whole runs of them, so that no two pictures are shown at once.
    for (gop_frames, b_frames, delay_ms) in [(60, 0, 80), (61, 2, 250), (30, 0, 400), (46, 2, 1_200), (300, 0, 80)] {
        let source = Source { gop_frames, b_frames, secs: 45.0, ..Source::default() };
        let (mut room, made) = play(&source, Expect::default(), 13_300, delay_ms);
        assert_complete(&room, &made);
        let (video, alternate) =
            (room.checker.segments(MediaKind::Video), room.checker.segments(RenditionId::Alternate));
        assert!(alternate.len() >= 3 && alternate[0].msn > video[0].msn);
        assert!(alternate.iter().all(|segment| !segment.gap && segment.parts[0].independent));
        let text = multivariant(&room);
        assert!(text.contains("CODECS=\"hvc1.") && text.contains("video/index.m3u8"), "{text}");
        assert!(text.contains("CODECS=\"avc1.64001f,mp4a.40.2\"") && text.contains("h264/index.m3u8"), "{text}");
        assert!(text.contains("SCORE=2") && text.contains("SCORE=1") && text.contains("FRAME-RATE=30"), "{text}");
        room.packager.finish(room.now());
        room.drain();
        assert_eq!(room.state, State::Ended);
        assert!(room.checker.playlist(RenditionId::Alternate).ended);
    }
}

#[test]
fn an_alternate_leaves_when_nobody_wants_it_and_comes_again() {
    let source = Source { secs: 60.0, ..Source::default() };
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    let frames = in_hevc(&source.frames());
    let made = made_of(&frames, 100);
    let mut steps = vec![(10_000, true), (25_000, false), (40_000, true)].into_iter().peekable();
    for arrival in interleaved(&frames, &made) {
        room.advance_to(arrival.at_ms);
        while let Some((_, wanted)) = steps.next_if(|(at, _)| *at <= room.now_ms) {
            if wanted {
                want(&mut room);
            } else {
                assert!(multivariant(&room).contains("h264/"));
                room.packager.want_alternate(room.now(), false);
                room.drain();
                assert!(!multivariant(&room).contains("h264/") && !multivariant(&room).contains("SCORE"));
                assert!(room.snapshot.lacks_alternate && room.snapshot.rendition(RenditionId::Alternate).is_none());
                room.checker.forget_alternate();
            }
        }
        room.play_one(&arrival);
    }
    assert!(multivariant(&room).contains("h264/") && !room.snapshot.lacks_alternate);
    let segments = room.checker.segments(RenditionId::Alternate);
    assert!(segments.len() >= 8 && segments.iter().all(|segment| !segment.gap), "what was missed is not listed");
}

#[test]
fn what_does_not_come_in_time_is_a_gap_of_the_same_number() {
    let source = Source { secs: 60.0, ..Source::default() };
    let frames = in_hevc(&source.frames());
    let uneven = Expect { even: false, keyframes_in_time: false, aligned: false };
    for (from_ms, to_ms, gaps) in [(20_000, 21_000, 0..1), (20_000, 29_500, 3..6)] {
        let mut room = Room::new(uneven, source.kinds());
        room.start(UNIX_SECS, &source);
        let mut made = made_of(&frames, 100);
        made.retain(|arrival| arrival.at_ms < from_ms || arrival.at_ms >= to_ms);
        // Whatever makes it begins with a picture that stands alone.
        if let Some(first) = made.iter_mut().find(|arrival| arrival.at_ms >= to_ms) {
            first.frame.key = true;
        }
        for arrival in interleaved(&frames, &made) {
            room.advance_to(arrival.at_ms);
            if room.snapshot.lacks_alternate && room.state == State::Live {
                want(&mut room);
            }
            room.play_one(&arrival);
        }
        let segments = room.checker.segments(RenditionId::Alternate);
        let count = segments.iter().filter(|segment| segment.gap).count();
        assert!(gaps.contains(&count), "{count}");
        let numbers: Vec<u64> = segments.iter().map(|segment| segment.msn).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) && segments.len() > 20);
        let newest = room.checker.playlist(MediaKind::Video).segments.last().map_or(0, |segment| segment.msn);
        assert!(newest - numbers.last().expect("listed") <= 1, "it has caught up");
    }
}

#[test]
fn a_worker_that_ends_is_followed_by_another_in_the_same_playlist() {
    let source = Source { secs: 40.0, ..Source::default() };
    let frames = in_hevc(&source.frames());
    let mut room = Room::new(Expect { even: false, ..Expect::default() }, source.kinds());
    room.start(UNIX_SECS, &source);
    let mut steps = [(20_500, None), (21_200, Some(alternate_track()))].into_iter().peekable();
    for arrival in interleaved(&frames, &made_of(&frames, 100)) {
        room.advance_to(arrival.at_ms);
        if room.snapshot.lacks_alternate && room.state == State::Live {
            want(&mut room);
        }
        while let Some((_, track)) = steps.next_if(|(at, _)| *at <= room.now_ms) {
            room.packager.set_alternate(room.now(), track);
            room.drain();
        }
        room.play_one(&arrival);
    }
    let segments = room.checker.segments(RenditionId::Alternate);
    assert!(segments.iter().all(|segment| !segment.gap), "it began again with the next segment");
    let maps: Vec<&String> = segments.iter().map(|segment| &segment.map).collect();
    assert!(maps.windows(2).all(|pair| pair[0] == pair[1]), "what it makes is the same");
}

#[test]
fn an_alternate_goes_along_behind_every_discontinuity() {
    // Other parameter sets, a connection that comes again, sound that is replaced.
    let source = Source { secs: 30.0, config_changes_at: Some(480), ..Source::default() };
    let frames = source.frames();
    let made = made_of(&frames, 150);
    let mut room = Room::new(Expect { even: false, ..Expect::default() }, source.kinds());
    for round in 0..2 {
        room.start(UNIX_SECS + round, &source);
        let begin = room.now_ms;
        for arrival in interleaved(&frames, &made) {
            room.advance_to(begin + arrival.at_ms);
            if room.snapshot.rendition(RenditionId::Alternate).is_none() && room.state == State::Live {
                want(&mut room);
            }
            room.play_one(&arrival);
        }
        room.packager.end_epoch(room.now());
        room.drain();
        room.advance_to(room.now_ms + 3_000);
    }
    let (video, alternate) = (room.checker.segments(MediaKind::Video), room.checker.segments(RenditionId::Alternate));
    let places = |segments: &[support::checker::ListedSegment]| -> Vec<u64> {
        segments.iter().filter(|segment| segment.discontinuity).map(|segment| segment.msn).collect()
    };
    assert_eq!(places(&video).len(), 3);
    assert_eq!(places(&video), places(&alternate));
    let gaps: Vec<u64> = alternate.iter().filter(|segment| segment.gap).map(|segment| segment.msn).collect();
    assert_eq!(gaps, [places(&video)[1]], "while the picture's first frames are held back, so is what is made of them");
    assert!(!room.snapshot.lacks_alternate, "every player takes H.264");
}

#[test]
fn nobody_waits_for_an_alternate_that_does_not_come() {
    let source = Source { secs: 40.0, ..Source::default() };
    let frames = in_hevc(&source.frames());
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    let mut lacked = Vec::new();
    for arrival in &frames {
        room.advance_to(arrival.at_ms);
        if arrival.at_ms >= 10_000 {
            room.packager.want_alternate(room.now(), true);
        }
        room.play_one(arrival);
        if room.state == State::Live && room.snapshot.lacks_alternate {
            lacked.push(room.now_ms);
        }
    }
    let last = *lacked.last().expect("it was lacked");
    assert!((17_900..18_500).contains(&last), "{last}");
    // Who asks much later waits for it again.
    room.packager.want_alternate(room.now(), false);
    room.drain();
    assert!(room.snapshot.lacks_alternate);
}

#[test]
fn behind_an_open_group_of_pictures_a_segment_begins_with_its_keyframe() {
    const FRAME_MS: i64 = 40;
    const GOP: i64 = 50;
    // Two pictures of each group are shown before its keyframe, which they follow (types 21 and 8: CRA and RASL).
    let plain = in_hevc(&Source { audio_hz: None, ..Source::default() }.frames());
    let frame = |n: i64| {
        let (gop, at) = (n / GOP, n % GOP);
        let (shown, nal_type) = match at {
            0 if gop > 0 => (2, 21),
            1 | 2 if gop > 0 => (at - 1, 8),
            _ => (at, if at == 0 { 19 } else { 1 }),
        };
        let unit = [&[nal_type << 1, 1], format!("v{n:08}").as_bytes()].concat();
        let payload = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into();
        let (dts, pts) = (n * FRAME_MS * 90, (gop * GOP + shown + 2) * FRAME_MS * 90);
        let config = Arc::clone(&plain[0].frame.config);
        Arrival {
            at_ms: n * FRAME_MS,
            track: VIDEO,
            frame: Frame { config, dts, pts, duration: 0, key: at == 0, payload },
        }
    };
    let frames: Vec<Arrival> = (0..40 * 25).map(frame).collect();
    let mut room = Room::new(Expect { even: false, keyframes_in_time: false, aligned: false }, vec![MediaKind::Video]);
    room.start(UNIX_SECS, &Source { audio_hz: None, ..Source::default() });
    for arrival in interleaved(&frames, &made_of(&frames, 100)) {
        room.advance_to(arrival.at_ms);
        if room.snapshot.lacks_alternate && room.state == State::Live {
            want(&mut room);
        }
        room.play_one(&arrival);
    }
    let playlist = room.checker.playlist(RenditionId::Alternate);
    assert!(playlist.independent_segments && playlist.segments.len() >= 4, "{playlist:?}");
    assert!(!room.checker.playlist(MediaKind::Video).independent_segments);
    let segments = room.checker.segments(RenditionId::Alternate);
    assert!(segments.iter().all(|segment| segment.parts[0].independent && !segment.gap));
}
