//! What goes otherwise than planned: encoders that stop, stall, change or come late; long groups of pictures; no memory.

mod support;

use support::checker::{Expect, millis_of};
use support::room::{Room, UNIX_SECS, check};
use support::source::{AUDIO, Arrival, Rate, Source, VIDEO};
use telstar_hls::{State, Warning};
use telstar_media::{MediaKind, TrackInfo};
use telstar_units::{Epoch, TrackId};

fn loose() -> Expect {
    Expect { even: false, keyframes_in_time: false, aligned: false }
}

fn seconds_warned(room: &Room) -> Vec<f64> {
    let seconds = |warning: &Warning| match warning {
        Warning::KeyframeInterval { seconds } => Some((seconds * 10.0).round() / 10.0),
        _ => None,
    };
    room.warnings.iter().filter_map(seconds).collect()
}

#[test]
fn a_segments_date_is_that_of_its_first_picture_and_sound_has_the_same_calendar() {
    let (room, _) = check(Source { b_frames: 3, ..Source::default() }, Expect::default());
    let shown: Vec<i64> =
        room.checker.samples(MediaKind::Video).iter().filter(|s| s.sync).map(|s| s.pts / 90).collect();
    let video = room.checker.segments(MediaKind::Video);
    let zero = millis_of(&video[0].date_time) - shown[0];
    for (segment, shown) in video.iter().zip(&shown) {
        assert!(
            (millis_of(&segment.date_time) - shown - zero).abs() <= 1,
            "{segment:?} shows its keyframe at {shown} ms"
        );
    }
    let first = &room.checker.samples(MediaKind::Audio)[0];
    let mut heard = first.pts as f64 / 48.0;
    for segment in room.checker.segments(MediaKind::Audio) {
        let date = (millis_of(&segment.date_time) - zero) as f64;
        assert!((date - heard).abs() <= 1.5, "{segment:?} is heard at {heard} ms");
        heard += segment.whole.as_ref().map_or(0.0, |(_, secs)| secs * 1_000.0);
    }
}

#[test]
fn a_group_of_a_minute_is_cut_at_ten_seconds_and_counted() {
    let source = Source { rate: Some(Rate::Constant(25.0)), gop_frames: 1_500, secs: 130.0, ..Source::default() };
    let (room, _) = check(source, Expect { keyframes_in_time: false, ..Expect::default() });
    let playlist = room.checker.playlist(MediaKind::Video);
    assert_eq!(playlist.target_duration, 10);
    assert_eq!(room.first_playlist_ms, Some(10_120), "once the first segment is cut");
    let segments = room.checker.segments(MediaKind::Video);
    let keyed: Vec<usize> = (0..segments.len()).filter(|&n| segments[n].parts[0].independent).collect();
    assert_eq!(keyed, [0, 6, 12], "keyframes begin segments, the cut ones between begin without");
    assert_eq!(room.counters().long_gop_cuts, 10);
    assert_eq!(seconds_warned(&room), [10.1, 60.0]);
}

#[test]
fn the_automatic_keyframe_interval_of_obs_is_named_in_seconds() {
    for (fps, secs, target_duration) in [(30.0, 8.3, 9), (25.0, 10.0, 10), (60.0, 4.2, 5)] {
        let source = Source { rate: Some(Rate::Constant(fps)), gop_frames: 250, secs: 45.0, ..Source::default() };
        let (room, _) = check(source, Expect::default());
        assert_eq!(seconds_warned(&room), [secs]);
        assert_eq!(room.checker.playlist(MediaKind::Video).target_duration, target_duration);
        assert_eq!(room.counters().long_gop_cuts, 0);
    }
}

#[test]
fn a_group_that_outlasts_the_target_a_little_is_cut_and_the_next_begins_a_segment() {
    // 250 frames of film last 10.4 s: more than the first playlist waits for.
    let source = Source { rate: Some(Rate::Constant(24.0)), gop_frames: 250, secs: 64.0, ..Source::default() };
    let (room, _) = check(source, Expect { keyframes_in_time: false, ..Expect::default() });
    let segments = room.checker.segments(MediaKind::Video);
    assert!((0..segments.len()).all(|n| segments[n].parts[0].independent == (n % 2 == 0)));
}

#[test]
fn scene_cuts_between_regular_keyframes_do_no_harm() {
    let scene_cuts = vec![10, 71, 95, 170, 301, 302, 450];
    let source = Source { gop_frames: 250, scene_cuts, secs: 40.0, ..Source::default() };
    let (room, _) = check(source, Expect { keyframes_in_time: false, ..Expect::default() });
    // Frame 71 comes 2.4 s after the start: the first whole segment.
    assert_eq!(room.checker.playlist(MediaKind::Video).target_duration, 3);
    assert!(room.counters().long_gop_cuts > 0);
}

#[test]
fn a_hint_that_cannot_come_true_any_more_is_replaced_at_once() {
    // Groups of 60, 60 and 90 frames: the third is expected to end with frame 179.
    let source = Source { gop_frames: 90, scene_cuts: vec![60, 120], audio_hz: None, ..Source::default() };
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &source);
    let frames = source.frames();
    room.play(&frames[..180]);
    let hint =
        |room: &Room| room.snapshot.video.as_ref().and_then(|view| view.hint()).map(|hint| (hint.msn, hint.part));
    assert_eq!(hint(&room), Some((UNIX_SECS + 3, 0)));
    room.advance_to(frames[180].at_ms);
    room.play_one(&frames[180]);
    assert_eq!(hint(&room), Some((UNIX_SECS + 2, 6)), "the group goes on");
}

#[test]
fn a_variable_frame_rate_keeps_every_rule_that_frames_allow() {
    let rates: [&[i64]; 3] = [&[16, 17, 33, 50, 200, 100, 16], &[200, 16, 16, 150], &[33, 33, 34, 66, 33, 100]];
    for intervals in rates {
        let rate = Some(Rate::Variable(intervals.to_vec()));
        let source = Source { rate, gop_frames: 30, secs: 40.0, b_frames: 2, ..Source::default() };
        let (room, _) = check(source, Expect { even: false, ..Expect::default() });
        let playlist = room.checker.playlist(MediaKind::Video);
        for segment in playlist.segments.iter().filter(|segment| segment.whole.is_some()) {
            assert!(segment.parts.iter().all(|part| part.duration <= playlist.part_target), "{segment:?}");
        }
    }
}

#[test]
fn audio_alone_is_a_stream() {
    for hz in [44_100, 48_000] {
        let source = Source { rate: None, audio_hz: Some(hz), ..Source::default() };
        let (room, _) = check(source, Expect::default());
        let playlist = room.checker.playlist(MediaKind::Audio);
        assert_eq!((playlist.target_duration, playlist.reports.len()), (2, 0));
        assert!((1_970..2_010).contains(&room.first_playlist_ms.expect("a playlist")));
        assert!(room.checker.parts_that_waited(MediaKind::Audio).iter().all(|&n| n < 8));
    }
}

#[test]
fn audio_that_comes_before_the_first_playlist_takes_part_from_the_start() {
    let source = Source { audio_delay_ms: 700, ..Source::default() };
    let (room, _) = check(source, Expect { aligned: false, ..Expect::default() });
    let audio = room.checker.segments(MediaKind::Audio);
    assert_eq!(audio[0].msn, UNIX_SECS);
    assert_eq!(millis_of(&audio[0].date_time) - millis_of(&room.checker.segments(MediaKind::Video)[0].date_time), 700);
}

#[test]
fn late_audio_appears_as_a_rendition_in_step_with_video() {
    let source = Source { audio_delay_ms: 7_500, ..Source::default() };
    let (room, _) = check(source, Expect { aligned: false, ..Expect::default() });
    let audio = room.checker.segments(MediaKind::Audio);
    // Four segments are over, the fourth began at 6 s.
    assert_eq!(audio[0].msn, UNIX_SECS + 3);
    assert!(audio.iter().all(|segment| !segment.discontinuity));
    let text = room.snapshot.multivariant.as_ref().expect("listed").text().clone();
    assert!(String::from_utf8_lossy(&text).contains("TYPE=AUDIO"));
}

#[test]
fn late_video_takes_over_behind_a_discontinuity() {
    let source = Source { video_delay_ms: 14_000, secs: 20.0, ..Source::default() };
    let mut only_audio = source.clone();
    only_audio.rate = None;
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &only_audio);
    let frames = source.frames();
    let (before, after) = frames.split_at(frames.iter().position(|arrival| arrival.track == VIDEO).expect("video"));
    room.play(before);
    for track in source.tracks() {
        room.packager.add_track(room.now(), track);
    }
    let zero_ms = after[0].at_ms;
    let shifted: Vec<Arrival> = after
        .iter()
        .cloned()
        .map(|mut a| {
            a.at_ms -= zero_ms;
            a
        })
        .collect();
    room.play(&shifted);
    room.packager.finish(room.now());
    room.drain();
    room.assert_complete(&frames, 48_000);
    let (video, audio) = (room.checker.segments(MediaKind::Video), room.checker.segments(MediaKind::Audio));
    assert!(video[0].discontinuity);
    assert!(audio.iter().any(|segment| segment.discontinuity && segment.msn == video[0].msn));
}

#[test]
fn an_encoder_that_comes_back_continues_behind_a_discontinuity() {
    let source = Source { secs: 9.5, ..Source::default() };
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    let before = room.checker.playlist(MediaKind::Video);
    room.packager.end_epoch(room.now());
    room.drain();
    assert_eq!(room.state, State::Reconnecting);
    let video = room.checker.playlist(MediaKind::Video);
    assert!(!video.ended && video.hint.is_none());
    assert!(video.segments.iter().all(|segment| segment.whole.is_some()), "what was open is finished");
    assert_eq!(video.segments.last().map(|s| s.msn), before.segments.last().map(|s| s.msn));
    let gone_ms = room.now_ms;
    room.advance_to(gone_ms + 3_000);
    room.start(UNIX_SECS + 13, &source);
    assert_eq!(room.state, State::Reconnecting, "live again with the first new part");
    let second = source.frames();
    room.play(&second[..60]);
    assert_eq!(room.state, State::Live, "without waiting for a group of pictures");
    let frames: Vec<Arrival> = second[60..]
        .iter()
        .cloned()
        .map(|mut a| {
            a.at_ms -= second[59].at_ms;
            a
        })
        .collect();
    room.play(&frames);
    let discontinuity: Vec<_> =
        room.checker.segments(MediaKind::Video).into_iter().filter(|segment| segment.discontinuity).collect();
    let [new] = discontinuity.as_slice() else { panic!("one discontinuity: {discontinuity:?}") };
    assert_eq!(new.msn, before.segments.last().map_or(0, |s| s.msn) + 1);
    assert!(new.parts[0].uri.starts_with(&format!("{}/", UNIX_SECS + 13)));
    assert!(millis_of(&new.date_time) > millis_of(&before.segments[0].date_time));
    room.packager.finish(room.now());
    room.drain();
    room.assert_complete(source.frames().iter().chain(&second), 48_000);
}

#[test]
fn an_encoder_that_comes_back_slower_keeps_the_target_duration_and_refits_parts() {
    let fast = Source { secs: 9.5, ..Source::default() };
    let slow = Source { rate: Some(Rate::Constant(5.0)), gop_frames: 20, secs: 20.0, ..Source::default() };
    let mut room = Room::new(Expect { keyframes_in_time: false, ..Expect::default() }, fast.kinds());
    room.start(UNIX_SECS, &fast);
    room.play(&fast.frames());
    room.packager.end_epoch(room.now());
    room.drain();
    room.start(UNIX_SECS + 10, &slow);
    room.play(&slow.frames());
    let playlist = room.checker.playlist(MediaKind::Video);
    assert_eq!(playlist.target_duration, 2);
    assert!(playlist.part_target >= 0.4);
    assert!(room.counters().long_gop_cuts > 0);
}

#[test]
fn a_new_stream_after_the_end_is_a_new_listing() {
    let source = Source { secs: 9.0, ..Source::default() };
    let other = Source { gop_frames: 120, secs: 9.0, ..Source::default() };
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    room.packager.finish(room.now());
    room.drain();
    let ended = room.checker.playlist(MediaKind::Video);
    room.advance_to(room.now_ms + 1_000);
    room.start(UNIX_SECS + 10, &other);
    assert_eq!(room.state, State::Waiting);
    assert!(room.snapshot.multivariant.is_none());
    let view = room.snapshot.video.as_ref().expect("the bytes of the old listing");
    let last = ended.segments.last().map_or(0, |segment| segment.msn);
    assert!(
        view.playlist().is_none() && view.segment(Epoch(UNIX_SECS), last).is_some(),
        "players may still fetch the end"
    );
    assert!(view.init(Epoch(UNIX_SECS), 1).is_some());
    room.play(&other.frames());
    let playlist = room.checker.playlist(MediaKind::Video);
    assert_eq!(playlist.target_duration, 4);
    assert!(playlist.media_sequence > last);
    assert!(playlist.discontinuity_sequence > ended.discontinuity_sequence);
}

#[test]
fn an_ended_stream_is_forgotten_in_time_and_gives_its_bytes_back() {
    let source = Source { secs: 9.0, ..Source::default() };
    let (mut room, _) = check(source, Expect::default());
    assert!(room.budget.used() > 0);
    room.advance_to(room.now_ms + 21_000);
    assert_eq!(room.state, State::Offline);
    assert!(room.snapshot.video.is_none());
    assert_eq!(room.budget.used(), 0);
    assert_eq!(room.packager.poll_timeout(), None);
}

#[test]
fn changed_parameter_sets_begin_a_discontinuity_in_both_renditions() {
    let source = Source { config_changes_at: Some(240), secs: 16.0, ..Source::default() };
    let (room, _) = check(source, Expect::default());
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let segments = room.checker.segments(kind);
        let broken: Vec<u64> = segments.iter().filter(|s| s.discontinuity).map(|s| s.msn - UNIX_SECS).collect();
        assert_eq!(broken, [4], "{kind:?}");
    }
    let segments = room.checker.segments(MediaKind::Video);
    assert_ne!(segments[3].map, segments[4].map);
}

#[test]
fn frames_dropped_by_a_congested_encoder_do_not_move_sound_and_picture_apart() {
    for count in [3, 20, 40] {
        let source = Source { dropped: Some((200, count)), secs: 20.0, ..Source::default() };
        let (room, _) = check(source, loose());
        assert_eq!(room.warnings, [], "{count} frames");
    }
}

#[test]
fn a_jump_of_the_sources_clock_begins_a_discontinuity() {
    let source = Source { secs: 10.0, ..Source::default() };
    let later = Source { start_ms: 40_000, secs: 10.0, ..Source::default() };
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    let frames = later.frames();
    room.play(&frames);
    room.packager.finish(room.now());
    room.drain();
    room.assert_complete(source.frames().iter().chain(&frames), 48_000);
    let jumps = room.warnings.iter().filter(|warning| matches!(warning, Warning::TimestampsJump { .. })).count();
    assert_eq!(jumps, 1, "{:?}", room.warnings);
    assert!(room.checker.segments(MediaKind::Video).iter().any(|segment| segment.discontinuity));
}

#[test]
fn sound_goes_on_when_the_picture_stalls() {
    let source = Source { secs: 30.0, ..Source::default() };
    let mut frames = source.frames();
    frames.retain(|arrival| arrival.track == AUDIO || !(9_000..21_000).contains(&arrival.at_ms));
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&frames);
    room.packager.finish(room.now());
    room.drain();
    // What comes before the next keyframe refers to pictures that never came, and sound long before it has no picture.
    frames.retain(|arrival| !(21_000..if arrival.track == AUDIO { 21_500 } else { 22_000 }).contains(&arrival.at_ms));
    room.assert_complete(&frames, 48_000);
    let video = room.checker.segments(MediaKind::Video);
    assert!(video.iter().any(|segment| segment.gap), "missing video is a gap");
}

#[test]
fn missing_sound_is_a_gap_and_numbers_stay_in_step() {
    let source = Source { secs: 30.0, ..Source::default() };
    let mut frames = source.frames();
    frames.retain(|arrival| arrival.track == VIDEO || !(9_000..21_000).contains(&arrival.at_ms));
    let mut room = Room::new(loose(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&frames);
    room.packager.finish(room.now());
    room.drain();
    room.assert_complete(&frames, 48_000);
    assert!(room.checker.segments(MediaKind::Audio).iter().any(|segment| segment.gap));
}

#[test]
fn a_coarsely_interleaving_encoder_is_cut_in_step() {
    // All video of a second, then all audio of it, and the other way round.
    for audio_first in [false, true] {
        let source = Source { secs: 16.0, ..Source::default() };
        let mut frames = source.frames();
        frames.sort_by_key(|arrival| (arrival.at_ms / 1_000, (arrival.track == AUDIO) != audio_first));
        for arrival in &mut frames {
            arrival.at_ms = arrival.at_ms / 1_000 * 1_000;
        }
        let mut room = Room::new(Expect { even: false, ..Expect::default() }, source.kinds());
        room.start(UNIX_SECS, &source);
        room.play(&frames);
        room.packager.finish(room.now());
        room.drain();
        room.assert_complete(&frames, 48_000);
    }
}

#[test]
fn a_timeline_that_begins_below_zero_is_shifted_as_a_whole() {
    let source = Source { start_ms: -300, secs: 9.0, ..Source::default() };
    let mut room = Room::new(Expect::default(), source.kinds());
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    let (video, audio) = (room.checker.samples(MediaKind::Video), room.checker.samples(MediaKind::Audio));
    assert_eq!((video[0].dts, audio[0].dts), (700 * 90, 700 * 48));
}

#[test]
fn beyond_the_byte_budget_the_oldest_segments_go_first() {
    let source = Source { secs: 60.0, ..Source::default() };
    let mut room = Room::with_budget(Expect { even: false, ..Expect::default() }, source.kinds(), 1 << 30);
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    let unlimited = room.budget.used();
    assert!(room.counters().evicted_bytes == 0);

    // Room for what is listed, but not for what is held beyond.
    let mut room = Room::without_retention(source.kinds(), unlimited * 2 / 3);
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    assert!(room.budget.used() <= room.budget.limit() + 200_000);
    assert!(room.counters().evicted_bytes > 0);
    assert!(room.warnings.iter().any(|warning| matches!(warning, Warning::BudgetEvicted { .. })));
}

#[test]
fn frames_of_unknown_tracks_and_frames_out_of_order_are_counted_and_dropped() {
    let source = Source { secs: 6.0, audio_hz: None, ..Source::default() };
    let mut room = Room::new(Expect { even: false, ..Expect::default() }, source.kinds());
    room.start(UNIX_SECS, &source);
    let mut frames = source.frames();
    let late = frames[100].clone();
    frames.insert(130, Arrival { at_ms: frames[130].at_ms, ..late });
    let unknown = frames[0].clone();
    frames.push(Arrival { at_ms: 6_000, track: AUDIO, ..unknown });
    room.play(&frames);
    assert_eq!(room.counters().frames_dropped, 2);
}

#[test]
fn sound_of_another_sample_rate_goes_on_behind_a_discontinuity() {
    let first = Source { secs: 8.0, ..Source::default() };
    let second = Source { secs: 8.0, start_ms: 8_000, audio_hz: Some(44_100), ..Source::default() };
    let mut room = Room::new(loose(), first.kinds());
    room.start(UNIX_SECS, &first);
    room.play(&first.frames());
    let [_, audio] = second.tracks().try_into().expect("two tracks");
    let changed = TrackId(3);
    room.packager.replace_track(room.now(), AUDIO, TrackInfo { id: changed, ..audio });
    room.drain();
    assert_eq!(room.state, State::Live, "viewers see no end");
    let frames = second.frames().into_iter().map(|arrival| match arrival.track == AUDIO {
        true => Arrival { track: changed, ..arrival },
        false => arrival,
    });
    room.play(&frames.collect::<Vec<_>>());
    assert_eq!(room.counters().frames_dropped, 0);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let segments = room.checker.segments(kind);
        let broken: Vec<u64> = segments.iter().filter(|s| s.discontinuity).map(|s| s.msn - UNIX_SECS).collect();
        assert_eq!(broken, [4], "{kind:?}");
    }
    let late = Arrival { track: AUDIO, ..first.frames().pop().expect("a frame") };
    room.play_one(&late);
    assert_eq!(room.counters().frames_dropped, 1, "the old track is over");
}

#[test]
fn a_packager_that_ended_is_idle_when_nothing_is_fetchable_and_its_numbers_are_passed_on() {
    let source = Source { secs: 9.0, ..Source::default() };
    let mut room = Room::new(loose(), source.kinds());
    assert!(room.packager.is_idle());
    room.start(UNIX_SECS, &source);
    room.play(&source.frames());
    room.packager.finish(room.now());
    room.drain();
    let last = room.checker.segments(MediaKind::Video).last().map(|segment| segment.msn).expect("segments");
    assert!(!room.packager.is_idle(), "players may still fetch the end");
    room.advance_to(room.now_ms + 120_000);
    assert!(room.packager.is_idle() && room.packager.poll_timeout().is_none());
    assert_eq!(room.budget.used(), 0);
    let numbers = room.packager.next_numbers();
    assert!(numbers.msn > last && numbers.discontinuity_sequence > UNIX_SECS, "{numbers:?} after {last}");
}
