//! The DVR window: hours are listed, memory holds the live edge, everything that was listed is fetchable bit for bit.

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use support::checker::{Expect, Playlist};
use support::room::{Room, UNIX_SECS};
use support::source::{Rate, Source};
use telstar_hls::request::{self, Answer, Directives, Media};
use telstar_hls::{Budget, DvrWindow, HlsConfig, State};
use telstar_media::MediaKind;
use telstar_units::Epoch;

const KINDS: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];

fn room(window: DvrWindow, disk_bytes: u64, source: &Source) -> Room {
    let config = HlsConfig { dvr_window: window, ..HlsConfig::default() };
    let mut room = Room::with(Expect::default(), source.kinds(), config, Budget::new(1 << 30), Budget::new(disk_bytes));
    room.start(UNIX_SECS, source);
    room
}

fn last(secs: u64) -> DvrWindow {
    DvrWindow::Last(Duration::from_secs(secs))
}

fn listed_secs(playlist: &Playlist) -> f64 {
    playlist.finished().filter_map(|segment| segment.whole.as_ref()).map(|(_, secs)| secs).sum()
}

/// Every listed segment, read through the answers to requests.
fn read_all(room: &Room) -> BTreeMap<(&'static str, u64), Vec<u8>> {
    let mut read = BTreeMap::new();
    for kind in KINDS {
        let Some(view) = room.snapshot.rendition(kind).filter(|view| view.playlist().is_some()) else { continue };
        let text = String::from_utf8(view.playlist().expect("listed").text().to_vec()).expect("text");
        for segment in Playlist::read(&text).finished().filter(|segment| !segment.gap) {
            let (uri, _) = segment.whole.as_ref().expect("finished");
            let epoch = Epoch(uri.split('/').next().and_then(|epoch| epoch.parse().ok()).expect("an epoch"));
            let Media::Ready(content) = request::segment(&room.snapshot, kind, epoch, segment.msn) else {
                panic!("{uri} is listed, so it can be fetched");
            };
            read.insert((telstar_hls::rendition_name(kind), segment.msn), room.disk.read(&content));
        }
    }
    read
}

#[test]
fn memory_holds_the_live_edge_and_the_window_is_on_disk() {
    let source = Source { secs: 240.0, ..Source::default() };
    let mut room = room(last(120), 1 << 30, &source);
    let mut seen = BTreeMap::new();
    let frames = source.frames();
    let mut held_max = 0;
    for chunk in frames.chunks(2_000) {
        for arrival in chunk {
            room.advance_to(arrival.at_ms);
            room.play_one(arrival);
        }
        held_max = held_max.max(room.budget.used());
        for (key, bytes) in read_all(&room) {
            let known = seen.entry(key).or_insert_with(|| bytes.clone());
            assert!(*known == bytes, "{key:?} is the same from memory and from disk");
        }
    }
    let playlist = room.checker.playlist(MediaKind::Video);
    assert!((120.0..124.1).contains(&listed_secs(&playlist)), "{}", listed_secs(&playlist));
    // 240 s of this source are 8 MB; five segments and what is open are some 400 kB.
    assert!(held_max < 700_000, "{held_max} bytes in memory");
    assert_eq!(playlist.can_skip_until, Some(12.0), "six target durations of 2 s");
    // What left the window goes in the end, after the time that the standard gives it.
    assert!(room.disk.files.len() < 2 * 2 * (120 + 130) / 2, "{} files", room.disk.files.len());
    // Nobody lost anything, on the way from frames to parts.
    room.packager.finish(room.now());
    room.drain();
    assert_eq!(room.state, State::Ended);
    room.assert_complete(&frames, 48_000);
    assert_eq!(room.budget.used(), 0, "what has ended and is on disk takes no memory");
    assert!(!read_all(&room).is_empty());
}

#[test]
fn parts_stay_fetchable_when_their_bytes_are_on_disk() {
    let source = Source { secs: 60.0, ..Source::default() };
    let mut room = room(last(40), 1 << 30, &source);
    room.play(&source.frames());
    let view = room.snapshot.video.as_ref().expect("video");
    let segment = view.segments().into_iter().find(|segment| segment.kept.is_some()).expect("one is on disk only");
    let whole = room.disk.files.iter().find(|(id, _)| id.kind == MediaKind::Video && id.msn == segment.msn);
    let mut parts = Vec::new();
    for part in 0..segment.part_count() as u32 {
        let id = telstar_hls::PartId { epoch: segment.epoch, msn: segment.msn, part };
        let Media::Ready(content) = request::part(&room.snapshot, MediaKind::Video, id) else { panic!("{id:?}") };
        parts.extend(room.disk.read(&content));
    }
    assert!(parts == *whole.expect("kept").1);
}

#[test]
fn a_segment_that_is_not_kept_ends_the_window_behind_it() {
    let source = Source { secs: 120.0, ..Source::default() };
    let mut room = room(last(600), 1 << 30, &source);
    // What a failing disk takes away it takes away early.
    room.checker.retention = false;
    let frames = source.frames();
    let at = |ms: i64| frames.iter().position(|arrival| arrival.at_ms >= ms).expect("long enough");
    room.play(&frames[..at(60_000)]);
    let before = room.checker.playlist(MediaKind::Video);
    assert!(listed_secs(&before) > 55.0);
    room.disk.fails = 1;
    for arrival in &frames[at(60_000)..at(80_000)] {
        room.advance_to(arrival.at_ms);
        room.play_one(arrival);
    }
    let after = [MediaKind::Video, MediaKind::Audio].map(|kind| listed_secs(&room.checker.playlist(kind)));
    assert!(after.iter().any(|secs| *secs < 22.0), "the window begins anew: {after:?}");
    assert_eq!(room.counters().lost_segments, 1);
    assert!(!read_all(&room).is_empty());
    for arrival in &frames[at(80_000)..] {
        room.advance_to(arrival.at_ms);
        room.play_one(arrival);
    }
    assert!(room.budget.used() < 700_000, "{} bytes in memory", room.budget.used());
    let grown = [MediaKind::Video, MediaKind::Audio].map(|kind| listed_secs(&room.checker.playlist(kind)));
    assert!(grown.iter().all(|secs| *secs > 50.0), "and grows: {grown:?}");
}

#[test]
fn what_a_hanging_disk_owes_is_not_awaited_once_newer_segments_are_lost() {
    let source = Source { secs: 120.0, ..Source::default() };
    let mut room = room(last(600), 1 << 30, &source);
    room.checker.retention = false;
    let frames = source.frames();
    let middle = frames.iter().position(|arrival| arrival.at_ms >= 40_000).expect("long enough");
    room.play(&frames[..middle]);
    // Some segments are on the way to the disk, and no further ones are taken while they are.
    (room.disk.hangs, room.disk.fails) = (6, usize::MAX);
    for arrival in &frames[middle..] {
        room.advance_to(arrival.at_ms);
        room.play_one(arrival);
    }
    // 8 s are listed, and what left the list stays for twice as long.
    assert!(room.budget.used() < 1_100_000, "{} bytes in memory", room.budget.used());
    let lists = KINDS.map(|kind| listed_secs(&room.checker.playlist(kind)));
    assert!(lists.iter().all(|secs| (7.9..14.0).contains(secs)), "what memory holds is listed: {lists:?}");
    assert!(!read_all(&room).is_empty());
}

#[test]
fn the_disks_share_bounds_the_window() {
    let source = Source { secs: 200.0, ..Source::default() };
    let limit = 2_000_000;
    let mut room = room(last(3_600), limit, &source);
    room.checker.retention = false;
    room.play(&source.frames());
    let on_disk: usize = room.disk.files.values().map(Vec::len).sum();
    assert!(on_disk as u64 <= limit + 200_000, "{on_disk} bytes");
    assert!(room.counters().evicted_kept_bytes > 0);
    let lists = KINDS.map(|kind| listed_secs(&room.checker.playlist(kind)));
    assert!((lists[0] - lists[1]).abs() < 12.0, "both renditions lose alike: {lists:?}");
    assert!(!read_all(&room).is_empty());
}

#[test]
fn an_event_lists_everything_until_the_disk_is_full_and_then_says_that_it_does_not() {
    let source = Source { secs: 120.0, ..Source::default() };
    let mut room = room(DvrWindow::Event, 1 << 30, &source);
    room.play(&source.frames());
    let playlist = room.checker.playlist(MediaKind::Video);
    assert!(playlist.is_event && playlist.media_sequence == UNIX_SECS && listed_secs(&playlist) > 110.0);
    room.packager.finish(room.now());
    room.drain();
    let ended = room.checker.playlist(MediaKind::Video);
    assert!(ended.is_event && ended.ended && ended.media_sequence == UNIX_SECS);

    let mut room = self::room(DvrWindow::Event, 2_000_000, &source);
    room.checker.retention = false;
    let mut was_event = false;
    for arrival in &source.frames() {
        room.advance_to(arrival.at_ms);
        let snapshots = room.checker.snapshots;
        room.play_one(arrival);
        if room.checker.snapshots == snapshots {
            continue;
        }
        let Some(text) = room.snapshot.video.as_ref().and_then(|view| view.playlist()) else { continue };
        let playlist = Playlist::read(std::str::from_utf8(text.text()).expect("text"));
        was_event |= playlist.is_event;
        assert_eq!(playlist.is_event, playlist.media_sequence == UNIX_SECS, "the tag is there while nothing left");
    }
    assert!(was_event && !room.checker.playlist(MediaKind::Video).is_event);
}

#[test]
fn a_restarted_server_lists_the_old_window_and_goes_on_behind_a_discontinuity() {
    let source = Source { secs: 60.0, ..Source::default() };
    let config = || HlsConfig { dvr_window: last(600), ..HlsConfig::default() };
    let mut first = room(last(600), 1 << 30, &source);
    first.play(&source.frames());
    let before = read_all(&first);
    let listed = KINDS.map(|kind| first.checker.playlist(kind));
    // Killed: what the packager had told nobody is gone. Players have seen the segment that was open.
    let next_msn = listed[0].segments.last().expect("listed").msn + 1;
    let kept = first.disk.listing(next_msn);

    let (memory, disk) = (Budget::new(1 << 30), Budget::new(1 << 30));
    let mut second = Room::with(Expect::default(), source.kinds(), config(), memory, disk);
    second.disk = std::mem::take(&mut first.disk);
    second.checker.retention = false;
    second.packager.restore(second.now(), kept);
    second.drain();
    assert_eq!(second.state, State::Reconnecting);
    assert!(second.snapshot.multivariant.is_some(), "a viewer who comes now may go back");
    let restored = read_all(&second);
    assert!(!restored.is_empty());
    for (key, bytes) in &restored {
        assert!(before[key] == *bytes, "{key:?} is the same");
    }
    let missing: Vec<_> = before.keys().filter(|key| !restored.contains_key(*key)).collect();
    assert!(missing.is_empty(), "all that was listed and kept: {missing:?}");
    for (kind, old) in KINDS.into_iter().zip(&listed) {
        let new = second.checker.playlist(kind);
        assert_eq!((new.media_sequence, new.target_duration), (old.media_sequence, old.target_duration));
        let same = old.finished().zip(new.finished()).all(|(old, new)| {
            (old.msn, &old.whole, &old.date_time, &old.map) == (new.msn, &new.whole, &new.date_time, &new.map)
        });
        assert!(same && new.segments.last().is_some_and(|last| last.msn + 1 == next_msn));
    }

    second.start(UNIX_SECS + 90, &source);
    second.play(&source.frames());
    let playlist = second.checker.playlist(MediaKind::Video);
    let begins = playlist.segments.iter().position(|segment| segment.msn == next_msn).expect("it goes on");
    assert!(
        playlist.segments[begins].discontinuity
            && playlist.segments[begins].map.starts_with(&format!("{}/", UNIX_SECS + 90))
    );
    assert!(playlist.media_sequence == UNIX_SECS && listed_secs(&playlist) > 110.0);
    assert!(read_all(&second).len() > restored.len() + 40);
}

#[test]
fn a_window_that_was_lost_long_before_the_server_ended_is_not_listed_again() {
    let source = Source { secs: 60.0, ..Source::default() };
    let mut first = room(last(600), 1 << 30, &source);
    first.play(&source.frames());
    let newest = first.checker.playlist(MediaKind::Video).segments.last().expect("listed").msn;
    for (unknown, is_listed) in [(20, true), (2_000, false)] {
        let config = HlsConfig { dvr_window: last(600), ..HlsConfig::default() };
        let (memory, disk) = (Budget::new(1 << 30), Budget::new(1 << 30));
        let mut second = Room::with(Expect::default(), source.kinds(), config, memory, disk.clone());
        second.disk.inits = first.disk.inits.clone();
        second.checker.retention = false;
        second.packager.restore(second.now(), first.disk.listing(newest + unknown));
        second.drain();
        assert_eq!(second.snapshot.multivariant.is_some(), is_listed);
        assert!(is_listed || second.packager.is_idle() && disk.used() == 0, "it leaves the disk to others");
    }
}

/// Plays a source and holds each delta update against the playlist that a client had a while before.
fn check_deltas(source: &Source, window_secs: u64, pause: bool, lag: usize) {
    let config = HlsConfig { dvr_window: last(window_secs), ..HlsConfig::default() };
    let expect = Expect { even: false, keyframes_in_time: false, aligned: false };
    let mut room = Room::with(expect, source.kinds(), config, Budget::new(1 << 30), Budget::new(1 << 30));
    room.start(UNIX_SECS, source);
    let mut had: VecDeque<[Option<Playlist>; 2]> = VecDeque::new();
    let frames = source.frames();
    let middle = frames.len() / 2;
    let mut deltas = 0;
    for (index, arrival) in frames.iter().enumerate() {
        if pause && index == middle {
            room.packager.end_epoch(room.now());
            room.drain();
            room.start(UNIX_SECS + 1_000, source);
        }
        room.advance_to(arrival.at_ms);
        let snapshots = room.checker.snapshots;
        room.play_one(arrival);
        if room.checker.snapshots == snapshots {
            continue;
        }
        let read = |kind, query: &str| {
            let directives = Directives::parse(query).expect("directives");
            match request::answer(&room.snapshot, kind, &directives) {
                Answer::Ready(text) => Some(Playlist::read(std::str::from_utf8(text.text()).expect("text"))),
                _ => None,
            }
        };
        let full = KINDS.map(|kind| read(kind, ""));
        if had.len() > lag {
            let before = had.pop_front().expect("some");
            for (kind, (before, full)) in KINDS.into_iter().zip(before.into_iter().zip(&full)) {
                let (Some(before), Some(full)) = (before, full) else { continue };
                for skip in ["_HLS_skip=YES", "_HLS_skip=v2"] {
                    let delta = read(kind, skip).expect("the same is listed");
                    if delta.skipped == 0 {
                        assert_eq!(delta, *full);
                        continue;
                    }
                    deltas += 1;
                    assert_eq!(delta.discontinuity_sequence, full.discontinuity_sequence, "D8");
                    let until = delta.can_skip_until.expect("offered");
                    assert!(until >= 6.0 * delta.target_duration as f64, "L3");
                    let open = delta.segments.iter().filter(|segment| segment.whole.is_none());
                    let open_secs: f64 = open.flat_map(|segment| &segment.parts).map(|part| part.duration).sum();
                    let left = listed_secs(&delta) + open_secs;
                    assert!(left >= until - 0.001, "nothing within the skip boundary is left out: {left} s are left");
                    let mut expect = full.clone();
                    let first_kept = expect.segments.len() - delta.segments.len();
                    expect.segments[..first_kept].iter_mut().for_each(|segment| segment.parts.clear());
                    assert_eq!(delta.applied_to(&before), expect);
                }
            }
        }
        had.push_back(full);
    }
    assert!(deltas > 0, "there was something to leave out");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn applying_a_delta_update_to_an_earlier_playlist_gives_the_whole_playlist(
        fps in prop::sample::select(vec![5.0, 25.0, 30.0]),
        gop_secs in 1_usize..4,
        b_frames in 0_usize..3,
        has_audio: bool,
        pause: bool,
        window_secs in 40_u64..64,
        lag in 0_usize..12,
        config_changes_at in prop::option::of(100_usize..400),
    ) {
        let source = Source {
            rate: Some(Rate::Constant(fps)),
            gop_frames: fps as usize * gop_secs,
            b_frames,
            audio_hz: has_audio.then_some(48_000),
            secs: 80.0,
            config_changes_at,
            ..Source::default()
        };
        check_deltas(&source, window_secs, pause, lag);
    }
}

#[test]
fn a_source_that_goes_on_in_the_middle_of_a_group_keeps_the_listed_pictures() {
    // Three seconds of sound come before the next keyframe.
    let source = Source { rate: Some(Rate::Constant(5.0)), gop_frames: 15, secs: 80.0, ..Source::default() };
    check_deltas(&source, 40, true, 0);
}

#[test]
fn a_delta_update_names_an_init_segment_where_it_changes_and_not_again() {
    // At 30 frames a second, in a playlist of 60 s of which the last 12 s are never left out.
    for (changes_at, in_whole, in_delta) in [(900, 2, 0), (2_280, 2, 1)] {
        let source = Source { secs: 80.0, config_changes_at: Some(changes_at), ..Source::default() };
        let mut room = room(last(60), 1 << 30, &source);
        room.play(&source.frames());
        let view = room.snapshot.video.as_ref().expect("video");
        let text = |rendered: &telstar_hls::Rendered| String::from_utf8(rendered.text().to_vec()).expect("text");
        let (whole, delta) = (text(view.playlist().expect("listed")), text(view.delta_playlist().expect("listed")));
        let maps = |text: &str| text.matches("#EXT-X-MAP:").count();
        assert_eq!((maps(&whole), maps(&delta)), (in_whole, in_delta), "§4.4.5.2: skipped with its segments\n{delta}");
        let last = |text: &str| text.lines().rfind(|line| line.starts_with("#EXT-X-MAP:")).map(str::to_owned);
        assert!(in_delta == 0 || last(&whole) == last(&delta), "{delta}");
        assert!(delta.contains("#EXT-X-SKIP:"), "{delta}");
    }
}

#[test]
fn a_window_that_cannot_profit_offers_no_delta_updates() {
    let source = Source { secs: 60.0, ..Source::default() };
    for (window, expect) in [(last(22), None), (last(24), Some(12.0)), (DvrWindow::Off, None)] {
        let mut room = room(window, 1 << 30, &source);
        room.play(&source.frames());
        let playlist = room.checker.playlist(MediaKind::Video);
        assert_eq!(playlist.can_skip_until, expect);
        let delta = room.snapshot.video.as_ref().and_then(|view| view.delta_playlist()).expect("listed");
        assert_eq!(delta.text().windows(10).any(|text| text == b"EXT-X-SKIP"), expect.is_some(), "D8: ignored");
    }
}
